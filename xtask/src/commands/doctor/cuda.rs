//! CUDA: driver and GPUs, the CUDA libraries, the plugin, the compiler. All optional.

use std::path::{Path, PathBuf};

use super::{Check, Status, first_line};
use crate::libtorch::install::Install;
use crate::libtorch::layout::Set;
use crate::workspace::shown;

pub(super) fn checks(root: &Path) -> Vec<Check> {
    vec![
        driver(),
        set("libtorch_cuda", root, Set::Cuda),
        set("nvcc", root, Set::Toolkit),
        plugin(root),
    ]
}

fn driver() -> Check {
    let query = [
        "--query-gpu=name,driver_version,compute_cap,memory.total",
        "--format=csv,noheader",
    ];
    match first_line("nvidia-smi", &query) {
        Some(gpu) if !gpu.is_empty() => Check::ok("gpu", gpu),
        _ => Check::new(
            "gpu",
            Status::Note,
            "no NVIDIA GPU or driver answers (nvidia-smi); device = \"cpu\" works",
            "for device = \"cuda\" a driver for CUDA 13.0 (580 or newer) is needed",
        ),
    }
}

fn set(name: &'static str, root: &Path, set: Set) -> Check {
    let ready = Install::of_workspace(root, set).is_ok_and(|install| install.is_ready());
    let folder = set.folder(root);
    if ready {
        Check::ok(name, format!("{} in {}", set.title(), shown(&folder)))
    } else {
        Check::new(
            name,
            Status::Note,
            format!(
                "{} is not set up (only device = \"cuda\" needs it)",
                set.title()
            ),
            "cargo xtask setup --cuda",
        )
    }
}

/// Where the plugin may lie: the CUDA set, or the folders cargo builds into.
fn plugin(root: &Path) -> Check {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let places = [
        Set::Cuda.folder(root).join("lib"),
        target.join("release"),
        target.join("debug"),
        target,
    ];
    match places
        .iter()
        .map(|p| p.join("libcamtl_cuda.so"))
        .find(|p| p.is_file())
    {
        Some(path) => Check::ok("plugin", shown(&path)),
        None => Check::new(
            "plugin",
            Status::Note,
            "libcamtl_cuda.so is not built (only device = \"cuda\" needs it)",
            "cargo xtask setup --cuda, then cargo xtask kernels",
        ),
    }
}
