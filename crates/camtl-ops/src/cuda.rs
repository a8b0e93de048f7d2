//! Opening CUDA: libtorch's GPU library, the plugin with the kernels, the GPU.
//!
//! The binary is the same with and without a GPU. Asked for one, it opens
//! `libtorch_cuda.so`, then `libcamtl_cuda.so`, which `cargo xtask kernels` builds,
//! and asks it for the driver and the GPU. What is missing is named; nothing is
//! computed elsewhere instead.
//!
//! ```
//! use camtl_ops::open_cuda;
//!
//! match open_cuda(0) {
//!     Ok(device) => assert_eq!(device, tch::Device::Cuda(0)),
//!     // For example: no driver, and what to do about it.
//!     Err(error) => assert!(error.to_string().contains("cuda: ")),
//! }
//! ```

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tch::{Device, Kind, Tensor};

use crate::error::{OpsError, Result};
use crate::ffi::cuda::{Plugin, open_library};
use crate::fused;

/// The version of libtorch this crate is linked against.
const TORCH_VERSION: &str = "2.11.0";
/// The plugin's file name.
const PLUGIN: &str = "libcamtl_cuda.so";
/// The oldest compute capability there is code for.
const OLDEST_CAPABILITY: i64 = 80;
/// Widest rows of the row kernels, and longest sequences of attention.
const MAX_COLUMNS: i64 = 1024;
const MAX_LENGTH: i64 = 512;
const MAX_SEQUENCES: i64 = 65_535;

static OPENED: OnceLock<Result<Plugin>> = OnceLock::new();

/// Makes GPU number `index` usable and gives its device.
///
/// Must be called before anything else asks libtorch about CUDA: libtorch decides
/// at its first call whether it has a GPU.
///
/// # Errors
/// [`OpsError::Cuda`] if `libtorch_cuda.so`, the plugin, the driver or the GPU is
/// missing, or the GPU is older than the kernels; the error says what to do.
pub fn open_cuda(index: usize) -> Result<Device> {
    let plugin = plugin()?;
    let count = plugin.devices().map_err(|error| {
        let message = text_of(error);
        fail(
            format!("no NVIDIA driver that answers ({message})"),
            "install or update the driver (580 or newer for CUDA 13.0); in a container, pass the GPU through \
             (docker run --gpus all); nvidia-smi must list it",
        )
    })?;
    if index as i64 >= count {
        return Err(fail(
            format!("GPU {index} was asked for, and there are {count}"),
            "nvidia-smi lists the GPUs; CUDA_VISIBLE_DEVICES may hide some",
        ));
    }
    let capability = plugin.capability(index as i64)?;
    if capability < OLDEST_CAPABILITY {
        return Err(fail(
            format!(
                "GPU {index} has compute capability {}.{}, and the kernels are for 8.0 and newer",
                capability / 10,
                capability % 10
            ),
            "use a GPU of the Ampere generation or newer, or train.device = \"cpu\"",
        ));
    }
    Ok(Device::Cuda(index))
}

/// Why this process has no NVIDIA GPU; `None` if it has one, whether or not [`open_cuda`] can use it.
///
/// Asks nobody but the file system (`/dev/nvidia0` and so on, `/dev/dxg` under WSL) and
/// `CUDA_VISIBLE_DEVICES`, so that a missing driver or library cannot look like a missing GPU.
#[must_use]
pub fn no_gpu() -> Option<String> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let devices = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    no_gpu_among(
        devices.filter_map(|entry| entry.file_name().into_string().ok()),
        visible.as_deref(),
    )
}

/// [`no_gpu`] for these names in `/dev` and this value of `CUDA_VISIBLE_DEVICES`.
fn no_gpu_among(
    mut devices: impl Iterator<Item = String>,
    visible: Option<&str>,
) -> Option<String> {
    if let Some(visible) = visible.filter(|visible| matches!(visible.trim(), "" | "-1")) {
        return Some(format!("CUDA_VISIBLE_DEVICES = {visible:?} hides all GPUs"));
    }
    let is_gpu = |name: String| {
        name == "dxg"
            || name
                .strip_prefix("nvidia")
                .is_some_and(|number| number.parse::<u32>().is_ok())
    };
    match devices.any(is_gpu) {
        true => None,
        false => Some("there is no NVIDIA GPU (no /dev/nvidia0, no /dev/dxg)".to_owned()),
    }
}

/// The plugin; opened at the first call.
pub(crate) fn plugin() -> Result<Plugin> {
    OPENED.get_or_init(open).clone()
}

fn open() -> Result<Plugin> {
    open_library(Path::new("libtorch_cuda.so")).map_err(|reason| {
        fail(
            format!("libtorch_cuda.so cannot be opened ({reason})"),
            "run `cargo xtask setup --cuda` and start camtl through `cargo xtask`, or put the lib folder of a torch \
             2.11.0+cu130 on LD_LIBRARY_PATH \
             (python3 -c 'import torch, os; print(os.path.join(os.path.dirname(torch.__file__), \"lib\"))')",
        )
    })?;
    let candidates = plugin_candidates();
    let Some(path) = candidates.iter().find(|path| path.is_file()) else {
        let looked: Vec<String> = candidates
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(fail(
            format!(
                "the kernels' library is not there; looked for {}",
                looked.join(", ")
            ),
            "build it with `cargo xtask kernels` (needs no GPU), or name it in CAMTL_CUDA_PLUGIN",
        ));
    };
    let library = open_library(path).map_err(|reason| {
        fail(
            format!("{} cannot be opened ({reason})", path.display()),
            "it must be built against the libtorch in use, 2.11.0+cu130: build it again with `cargo xtask kernels`",
        )
    })?;
    let plugin = Plugin::of_library(library).map_err(|reason| {
        fail(
            format!("{} cannot be used: {reason}", path.display()),
            "build it again with `cargo xtask kernels`",
        )
    })?;
    if plugin.torch_version() != TORCH_VERSION {
        return Err(fail(
            format!(
                "{} was built against libtorch {}, and this is {TORCH_VERSION}",
                path.display(),
                plugin.torch_version()
            ),
            "build it again with `cargo xtask kernels`",
        ));
    }
    tracing::info!(plugin = %path.display(), "CUDA kernels opened");
    Ok(plugin)
}

/// `CAMTL_CUDA_PLUGIN`, or beside the program, in `lib` next to its folder, or where
/// `cargo xtask kernels` writes it in a workspace.
fn plugin_candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("CAMTL_CUDA_PLUGIN").filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let folder = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_path_buf));
    let Some(folder) = folder else {
        return vec![PLUGIN.into()];
    };
    let mut candidates = vec![folder.join(PLUGIN)];
    if let Some(parent) = folder.parent() {
        candidates.push(parent.join("lib").join(PLUGIN));
        candidates.push(parent.join("release").join(PLUGIN));
        // Tests and examples lie one folder deeper than binaries.
        if let Some(target) = parent.parent() {
            candidates.push(target.join("release").join(PLUGIN));
        }
    }
    candidates
}

fn fail(message: String, remedy: &str) -> OpsError {
    OpsError::Cuda {
        message,
        remedy: remedy.to_owned(),
    }
}

fn text_of(error: OpsError) -> String {
    match error {
        OpsError::Libtorch { message, .. } => message,
        other => other.to_string(),
    }
}

/// The plugin, if this tensor lies on a GPU and the fused form is wanted. A tensor on a
/// GPU without the plugin is an error, not a reason to compute more slowly.
pub(crate) fn wanted(x: &Tensor) -> Result<Option<Plugin>> {
    if !fused()
        || !matches!(x.device(), Device::Cuda(_))
        || !matches!(x.kind(), Kind::Float | Kind::BFloat16)
    {
        return Ok(None);
    }
    plugin().map(Some)
}

/// The plugin, if its row kernels take rows like those of `x` of at most `widest` columns.
pub(crate) fn for_rows(x: &Tensor, widest: Option<i64>) -> Result<Option<Plugin>> {
    let columns = x.size().last().copied().unwrap_or(0);
    let fits = columns % 8 == 0 && widest.unwrap_or(columns) >= columns;
    if fits { wanted(x) } else { Ok(None) }
}

/// The same for rows that one warp holds.
pub(crate) fn for_held_rows(x: &Tensor) -> Result<Option<Plugin>> {
    for_rows(x, Some(MAX_COLUMNS))
}

/// The plugin, if its attention takes this: bf16, or float32 under bf16 autocast. In
/// float32 attention is libtorch's.
pub(crate) fn for_attention(
    q: &Tensor,
    head_dim: i64,
    max_len: i64,
    sequences: i64,
) -> Result<Option<Plugin>> {
    if !matches!(head_dim, 32 | 64) || max_len > MAX_LENGTH || sequences > MAX_SEQUENCES {
        return Ok(None);
    }
    Ok(wanted(q)?.filter(|plugin| q.kind() == Kind::BFloat16 || plugin.autocast()))
}

/// The plugin for flat float32 buffers.
pub(crate) fn for_flat(x: &Tensor) -> Result<Option<Plugin>> {
    if x.kind() == Kind::Float {
        wanted(x)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::no_gpu_among;

    #[test]
    fn a_gpu_is_there_by_its_device_file_unless_it_is_hidden() {
        let among =
            |names: &[&str], visible| no_gpu_among(names.iter().map(ToString::to_string), visible);
        assert_eq!(among(&["null", "nvidia0"], None), None);
        assert_eq!(among(&["dxg"], Some("0,1")), None);
        // Control nodes of the driver are there without a GPU passed through.
        let reason = among(&["nvidiactl", "nvidia-uvm", "tty"], None).unwrap();
        assert!(reason.contains("no NVIDIA GPU"), "{reason}");
        for hidden in ["", "-1"] {
            let reason = among(&["nvidia0"], Some(hidden)).unwrap();
            assert!(reason.contains("CUDA_VISIBLE_DEVICES"), "{reason}");
        }
    }
}
