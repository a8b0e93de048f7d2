//! Where an output goes, and the temporary names beside it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Prefix of temporary names: `.tmp-NAME.RANDOM`.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// What stands under a path that is to be written.
#[derive(Debug)]
pub(crate) enum Target {
    /// A regular file or nothing: replaced in one step. The path has no link at its end.
    Replaceable(PathBuf),
    /// A device, a pipe or what a process has open: its content is not ours to replace.
    Through,
}

/// What `path` is, after its links.
pub(crate) fn target(path: &Path) -> io::Result<Target> {
    // More links than this are a circle for the system, too.
    const LINKS: usize = 40;
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "there is a folder of that name",
            ));
        }
        Ok(found) if !found.is_file() => return Ok(Target::Through),
        _ => {}
    }
    let mut place = path.to_path_buf();
    for _ in 0..LINKS {
        // `/dev/stdout` leads to `/proc/self/fd/1`: a file that a shell opened, perhaps to append to.
        if place.starts_with("/proc") || place.starts_with("/dev/fd") {
            return Ok(Target::Through);
        }
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => {
                place = parent(&place).join(fs::read_link(&place)?);
            }
            _ => {
                name(&place).ok_or_else(|| invalid("the path names no file"))?;
                return Ok(Target::Replaceable(place));
            }
        }
    }
    Err(invalid("a circle of symbolic links"))
}

/// The folder that `path` stands in; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The last part of `path` as text.
pub(crate) fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// How the temporary names of `path` begin. A name may have 255 bytes, so a long one is cut.
pub(crate) fn temporary_prefix(path: &Path) -> String {
    let name: String = name(path).unwrap_or_default().chars().take(50).collect();
    format!("{TEMPORARY}{name}.")
}

/// Makes a temporary entry by `make` and locks it, so that [`remove_abandoned`] knows that its
/// owner lives. Where the file system has no locks, nothing is locked and nothing removed.
pub(crate) fn made_and_locked<T>(
    make: impl Fn() -> io::Result<T>,
    path: impl Fn(&T) -> &Path,
) -> io::Result<(T, Option<File>)> {
    loop {
        let made = make()?;
        let lock = match File::open(path(&made)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => return Ok((made, None)),
        };
        match lock.try_lock() {
            // Between making and locking, another process may have taken it for abandoned: it
            // holds the lock until the entry is gone.
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(_)) => return Ok((made, None)),
            Ok(()) if path(&made).exists() => return Ok((made, Some(lock))),
            Ok(()) => {}
        }
    }
}

/// Removes what processes that were killed left beside `path` under its temporary names.
pub(crate) fn remove_abandoned(path: &Path) {
    let prefix = temporary_prefix(path);
    let Ok(entries) = fs::read_dir(parent(path)) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(&prefix) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        // The lock is held until the entry is gone, or its maker could take it in between.
        if file.try_lock().is_ok() {
            // Litter at worst: the next writer tries again.
            let _ = match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
                _ => fs::remove_file(entry.path()),
            };
        }
    }
}
