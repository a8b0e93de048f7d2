//! One trainer per run folder.
//!
//! The lock is the operating system's lock on `.lock`, which ends with the process however it
//! ends, so a killed run never has to be unlocked by hand.

use std::path::Path;

use camtl_files::{FileLock, LockError};

use crate::error::TrainError;

/// Held while a trainer works in a run folder.
#[derive(Debug)]
pub(crate) struct RunLock {
    _lock: FileLock,
}

impl RunLock {
    /// Takes the lock of `run_dir`, which must exist.
    pub(crate) fn take(run_dir: &Path) -> Result<Self, TrainError> {
        let path = run_dir.join(".lock");
        match FileLock::try_take(&path) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(LockError::Held { holder }) => Err(TrainError::Locked {
                run_dir: run_dir.to_path_buf(),
                holder,
            }),
            Err(LockError::Io(source)) => {
                Err(TrainError::io("lock the run folder by", &path, source))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_trainer_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        let error = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        RunLock::take(folder.path()).unwrap();
    }
}
