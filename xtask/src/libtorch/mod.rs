//! libtorch 2.11.0: which one is used, and how `.libtorch` comes to be.
//!
//! The tensor crates are linked against the libtorch that `.cargo/config.toml` names: `.libtorch`
//! in the workspace's root, unless the user's own `LIBTORCH` or `LIBTORCH_USE_PYTORCH` says
//! otherwise. [`install`] makes that folder from hash-pinned wheels.

pub mod install;
pub mod layout;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The version that `tch` binds; wheels, headers and libraries must be exactly this one.
pub const VERSION: &str = "2.11.0";

/// Which libtorch a build in this workspace uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The workspace's own folder, managed by `cargo xtask setup`.
    Managed(PathBuf),
    /// The user's `LIBTORCH`.
    Folder(PathBuf),
    /// The user's `LIBTORCH_USE_PYTORCH`: the torch that `python3` imports.
    PythonTorch,
}

impl Source {
    /// Reads the environment: `LIBTORCH_USE_PYTORCH` wins over `LIBTORCH`, which wins over `.libtorch`.
    ///
    /// cargo itself sets `LIBTORCH` to `.libtorch` (from `.cargo/config.toml`), which is not the
    /// user's choice.
    pub fn from_environment(root: &Path) -> Self {
        Self::choose(
            root,
            std::env::var_os("LIBTORCH_USE_PYTORCH"),
            std::env::var_os("LIBTORCH"),
        )
    }

    fn choose(root: &Path, use_pytorch: Option<OsString>, libtorch: Option<OsString>) -> Self {
        let managed = root.join(".libtorch");
        // torch-sys looks only whether the variable is set, so `=0` counts as well.
        if use_pytorch.is_some() {
            return Self::PythonTorch;
        }
        match libtorch.map(PathBuf::from) {
            Some(folder) if !same_path(&folder, &managed) => Self::Folder(folder),
            _ => Self::Managed(managed),
        }
    }

    /// For messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Managed(folder) => crate::workspace::shown(folder),
            Self::Folder(folder) => format!("LIBTORCH={}", folder.display()),
            Self::PythonTorch => "the torch of python3 (LIBTORCH_USE_PYTORCH)".into(),
        }
    }

    /// The folder with `lib/` and `include/`, where it is known without asking Python.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Managed(folder) | Self::Folder(folder) => Some(folder),
            Self::PythonTorch => None,
        }
    }
}

/// Equal as written, or the same file on disk.
fn same_path(a: &Path, b: &Path) -> bool {
    a.components().eq(b.components())
        || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_choice_wins_and_cargos_own_is_no_choice() {
        let root = Path::new("/ws");
        let managed = Source::Managed("/ws/.libtorch".into());
        assert_eq!(Source::choose(root, None, None), managed);
        assert_eq!(
            Source::choose(root, None, Some("/ws/.libtorch".into())),
            managed
        );
        assert_eq!(
            Source::choose(root, None, Some("/ws/./.libtorch".into())),
            managed
        );
        assert_eq!(
            Source::choose(root, None, Some("/opt/lt".into())),
            Source::Folder("/opt/lt".into())
        );
        assert_eq!(
            Source::choose(root, Some("0".into()), Some("/opt/lt".into())),
            Source::PythonTorch
        );
    }
}
