//! One process at a time: a lock file that dies with its owner.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use anyhow::Context as _;

use crate::disk::writing;
use crate::workspace::shown;

/// Holds an exclusive lock until dropped; the operating system releases it if the process dies.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock, waiting while another process holds it.
    ///
    /// `waiting` is printed once if there is anything to wait for, e.g. "another `cargo xtask setup`
    /// is at work".
    ///
    /// # Errors
    /// If the lock file cannot be made or locked.
    pub fn acquire(path: &Path, waiting: &str) -> anyhow::Result<Self> {
        if let Some(folder) = path.parent() {
            writing(std::fs::create_dir_all(folder), folder)?;
        }
        let file = writing(
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path),
            path,
        )?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("{waiting}; waiting for it (lock: {})", shown(path));
                file.lock()
                    .with_context(|| format!("cannot lock {}", shown(path)))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", shown(path)));
            }
        }
        Ok(Self { _file: file })
    }
}
