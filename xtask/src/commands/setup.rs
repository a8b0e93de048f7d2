//! `cargo xtask setup`: libtorch into `.libtorch`, with `--cuda` the CUDA set and compiler as well.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use lexopt::prelude::*;

use super::unexpected;
use crate::error::failure;
use crate::libtorch::install::{Install, Outcome};
use crate::libtorch::layout::Set;
use crate::libtorch::{Source, VERSION};
use crate::workspace::{root, shown};

pub(super) const SUMMARY: &str =
    "libtorch 2.11.0 into .libtorch/ (with --cuda: CUDA libraries and nvcc)";

const HELP: &str = "\
Prepares what the workspace is built against.

Usage: cargo xtask setup [--cuda]

Without options: libtorch 2.11.0 for CPUs into .libtorch/ (500 MB on disk, 545 MB
downloaded). The files come from the Python package index through pip, so your
mirror, proxy and certificates are used; every wheel is pinned by SHA-256 in
third_party/libtorch-cpu.txt, and your Python's version does not matter.

  --cuda      also libtorch for CUDA 13.0 into .libtorch-cuda/ (3.8 GB on disk,
              2.5 GB downloaded) and the CUDA compiler into .cuda/ (0.3 GB).
              Neither needs a GPU. When .libtorch-cuda/ is there, commands that
              start camtl put it on the library path.
  -h, --help  this text

Set-up is done in a moment when everything is there, continues after an
interruption, and waits if another one is at work. `train`, `test` and the other
commands run it themselves.

Needs Python 3.8 or newer with pip (PYTHON names another interpreter than
python3), on Linux x86_64 with glibc 2.28 or newer.

Your own libtorch wins: with LIBTORCH (a folder with lib/ and include/) or
LIBTORCH_USE_PYTORCH in the environment nothing is downloaded. Changing between
the two rebuilds the tensor crates (2 to 4 minutes); use another CARGO_TARGET_DIR
to keep both.
";

pub(super) fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut cuda = false;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("cuda") => cuda = true,
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            other => return Err(unexpected(other, "setup")),
        }
    }
    let root = root();
    ensure_libtorch(&root, true)?;
    if cuda {
        for set in [Set::Cuda, Set::Toolkit] {
            install(&root, set, true)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes sure there is a libtorch to build against; says nothing if all is well unless `tell`.
///
/// # Errors
/// If it cannot be set up, or the user's own choice is not usable.
pub(super) fn ensure_libtorch(root: &Path, tell: bool) -> anyhow::Result<()> {
    match Source::from_environment(root) {
        Source::Managed(_) => install(root, Set::Cpu, tell),
        Source::PythonTorch => {
            eprintln!(
                "using the torch of python3, because LIBTORCH_USE_PYTORCH is set: nothing to set up"
            );
            Ok(())
        }
        Source::Folder(folder) => {
            if !folder.join("lib").is_dir() || !folder.join("include").is_dir() {
                return Err(failure(
                    format!("LIBTORCH={} has no lib/ and include/", folder.display()),
                    format!(
                        "set LIBTORCH to a libtorch {VERSION}, or unset it and run `cargo xtask setup`"
                    ),
                ));
            }
            if tell {
                eprintln!(
                    "using LIBTORCH={}, because it is set: nothing to set up",
                    folder.display()
                );
            }
            Ok(())
        }
    }
}

/// Makes sure one of the pinned sets is there.
///
/// # Errors
/// If it cannot be set up.
pub fn install(root: &Path, set: Set, tell: bool) -> anyhow::Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(failure(
            format!("the pinned {} is for Linux on x86_64", set.title()),
            format!("get libtorch {VERSION} for this system and set LIBTORCH to its folder"),
        ));
    }
    let install = Install::of_workspace(root, set)?;
    let folder = shown(install.folder());
    match install.run()? {
        Outcome::Ready if tell => eprintln!("{}: ready in {folder}", set.title()),
        Outcome::Ready => {}
        Outcome::Adopted => eprintln!(
            "{}: {folder} holds exactly the pinned files, kept as it is",
            set.title()
        ),
        Outcome::Installed => eprintln!("{}: installed in {folder}", set.title()),
    }
    Ok(())
}
