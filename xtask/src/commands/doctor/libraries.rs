//! libtorch: which one, the right version, whole, and really loadable.

use std::fs;
use std::path::Path;

use super::{Check, Status};
use crate::libtorch::install::Install;
use crate::libtorch::layout::Set;
use crate::libtorch::{Source, VERSION};
use crate::python::Python;
use crate::workspace::shown;

pub(super) fn checks(root: &Path, python: &anyhow::Result<Python>) -> Vec<Check> {
    let source = Source::from_environment(root);
    let mut checks = vec![which(root, &source)];
    if checks[0].status == Status::Error {
        return checks;
    }
    if let (Some(folder), Ok(python)) = (source.folder(), python) {
        checks.push(loads(folder, python));
    }
    checks
}

fn which(root: &Path, source: &Source) -> Check {
    match source {
        Source::PythonTorch => Check::new(
            "libtorch",
            Status::Warn,
            "the torch of python3 is used, because LIBTORCH_USE_PYTORCH is set (even to 0)",
            format!("it must be torch {VERSION}; unset LIBTORCH_USE_PYTORCH to use .libtorch"),
        ),
        Source::Folder(folder) => {
            let version = fs::read_to_string(folder.join("build-version")).unwrap_or_default();
            let version = version.trim();
            if !folder.join("lib").is_dir() || !folder.join("include").is_dir() {
                Check::new(
                    "libtorch",
                    Status::Error,
                    format!("LIBTORCH={} has no lib/ and include/", folder.display()),
                    format!(
                        "set LIBTORCH to a libtorch {VERSION}, or unset it and run cargo xtask setup"
                    ),
                )
            } else if version.split('+').next() == Some(VERSION) {
                Check::ok(
                    "libtorch",
                    format!("{version} in LIBTORCH={}", folder.display()),
                )
            } else {
                let found = if version.is_empty() {
                    "of unknown version"
                } else {
                    version
                };
                Check::new(
                    "libtorch",
                    if version.is_empty() {
                        Status::Warn
                    } else {
                        Status::Error
                    },
                    format!("{found} in LIBTORCH={}", folder.display()),
                    format!("tch 0.24 needs exactly {VERSION}"),
                )
            }
        }
        Source::Managed(folder) => managed(root, folder),
    }
}

fn managed(root: &Path, folder: &Path) -> Check {
    let setup = "cargo xtask setup";
    if !folder.is_dir() {
        return Check::new(
            "libtorch",
            Status::Error,
            format!("{} is not there", shown(folder)),
            setup,
        );
    }
    let install = match Install::of_workspace(root, Set::Cpu) {
        Ok(install) => install,
        Err(error) => {
            return Check::new(
                "libtorch",
                Status::Error,
                format!("{error:#}"),
                "git checkout third_party",
            );
        }
    };
    let missing = install.missing();
    if !missing.is_empty() {
        let message = format!("{} lacks {}", shown(folder), missing.join(", "));
        return Check::new("libtorch", Status::Error, message, setup);
    }
    if install.is_ready() {
        Check::ok("libtorch", format!("{VERSION} (CPU) in {}", shown(folder)))
    } else {
        Check::new(
            "libtorch",
            Status::Warn,
            format!("{} was not made from the pinned wheels", shown(folder)),
            format!("{setup} compares it with them and replaces it if it differs"),
        )
    }
}

/// Opens the library in another process, as the loader will.
fn loads(folder: &Path, python: &Python) -> Check {
    let library = folder.join("lib").join("libtorch_cpu.so");
    match python.eval("import ctypes, sys; ctypes.CDLL(sys.argv[1])", &[&library]) {
        Ok(_) => Check::ok("library", format!("{} loads", shown(&library))),
        Err(error) => Check::new(
            "library",
            Status::Error,
            format!("{} does not load: {error}", shown(&library)),
            format!("remove {} and run cargo xtask setup", shown(folder)),
        ),
    }
}
