//! One process at a time: a lock file that dies with its owner.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

/// An exclusive lock on a file, held until dropped. The operating system ends it with the process,
/// however that ends, so that nothing ever has to be unlocked by hand.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Why a lock could not be taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held {
        /// What that process wrote into the file, `process ID`; empty if it could not be read.
        holder: String,
    },
    /// The file cannot be made or locked.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { holder } if holder.is_empty() => {
                f.write_str("another process has the lock")
            }
            Self::Held { holder } => write!(f, "{holder} has the lock"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LockError {}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl FileLock {
    /// Takes the lock `path`, a file whose folder exists.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process has it.
    pub fn try_take(path: &Path) -> Result<Self, LockError> {
        let mut file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self::signed(file)?),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(LockError::Held {
                    holder: holder.trim().to_owned(),
                })
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Takes the lock `path`, a file whose folder exists. If another process has it, calls
    /// `waiting` once and waits.
    ///
    /// # Errors
    /// If the file cannot be made or locked.
    pub fn take(path: &Path, waiting: impl FnOnce()) -> io::Result<Self> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Self::signed(file)
    }

    /// Writes who has the lock, for the message of the next.
    fn signed(mut file: File) -> io::Result<Self> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_or_waits_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let lock = FileLock::try_take(&path).unwrap();
        let error = FileLock::try_take(&path).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("process {} has the lock", std::process::id())
        );
        let mut first = Some(lock);
        let second = FileLock::take(&path, || drop(first.take())).unwrap();
        assert!(first.is_none(), "it said that it waits");
        drop(second);
        FileLock::try_take(&path).unwrap();
    }
}
