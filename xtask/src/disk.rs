//! Free disk space, durable writes, locks, and errors that say when a disk is full.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use camtl_files::FileLock;

use crate::error::{OrHint as _, failure};
use crate::workspace::{human_bytes, shown};

/// Bytes free for this user on the file system of `path` (or of its nearest existing parent).
///
/// Asks `df -Pk`, which every POSIX system has; `None` if it cannot say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let existing = path
        .ancestors()
        .find(|p| p.exists())
        .filter(|p| !p.as_os_str().is_empty());
    let output = Command::new("df")
        .arg("-Pk")
        .arg(existing.unwrap_or(Path::new(".")))
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_df(&text)
}

/// The `Available` column of `df -Pk`, in bytes.
fn parse_df(text: &str) -> Option<u64> {
    let line = text.lines().nth(1)?;
    // The device may contain spaces, so columns are counted from its end: blocks, used, available,
    // capacity (`8%`), mount point.
    let words: Vec<&str> = line.split_whitespace().collect();
    let capacity = words.iter().position(|w| w.len() > 1 && w.ends_with('%'))?;
    words
        .get(capacity.checked_sub(1)?)?
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// Fails early if `path` has less than `needed` bytes free; passes if nobody can say.
///
/// # Errors
/// With both numbers and the folder.
pub fn require_free(path: &Path, needed: u64, purpose: &str) -> anyhow::Result<()> {
    match free_bytes(path) {
        Some(free) if free < needed => Err(failure(
            format!(
                "{purpose} needs {} in {}, and {} is free",
                human_bytes(needed),
                shown(path),
                human_bytes(free)
            ),
            "free some space there, then run the same command again",
        )),
        _ => Ok(()),
    }
}

/// Explains a failed write: a full disk is named as such.
///
/// # Errors
/// The given error with the path, and with a remedy if the disk is full.
pub fn writing<T>(result: io::Result<T>, path: &Path) -> anyhow::Result<T> {
    let full = matches!(
        &result,
        Err(e) if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    );
    let result = result.with_context(|| format!("cannot write {}", shown(path)));
    if full {
        return result.or_hint(|| {
            "the disk is full: free some space, then run the same command again; \
             what was downloaded so far is kept and not fetched twice"
                .into()
        });
    }
    result
}

/// Writes `bytes` to `path` so that after a crash either the old or the new content is there.
///
/// # Errors
/// If the folder cannot be written or the disk is full; the old content is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        writing(fs::create_dir_all(folder), folder)?;
    }
    writing(camtl_files::write(path, bytes), path)
}

/// Takes the lock `path`; `waiting` is printed if another process has it, e.g. "another
/// `cargo xtask setup` is at work".
///
/// # Errors
/// If the lock file cannot be made or locked.
pub fn lock(path: &Path, waiting: &str) -> anyhow::Result<FileLock> {
    if let Some(folder) = path.parent() {
        writing(fs::create_dir_all(folder), folder)?;
    }
    let lock = FileLock::take(path, || {
        eprintln!("{waiting}; waiting for it (lock: {})", shown(path));
    });
    writing(lock, path)
}

/// Puts the folder `staged` in the place of `target` as [`camtl_files::place_folder`] does.
///
/// # Errors
/// If a rename fails; an old folder is then put back.
pub fn place_folder(staged: &Path, target: &Path) -> anyhow::Result<()> {
    writing(camtl_files::place_folder(staged, target), target)
}

/// Removes a file or folder that may not be there.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    camtl_files::remove_if_there(path).with_context(|| format!("cannot remove {}", shown(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_is_read_whatever_the_device_is_called() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                    my disk 264095012 19123456 76543210 21% /home of someone\n";
        assert_eq!(parse_df(text), Some(76_543_210 * 1024));
        assert_eq!(parse_df("nonsense"), None);
    }

    #[test]
    fn a_full_disk_is_named() {
        let error = writing::<()>(Err(io::ErrorKind::StorageFull.into()), Path::new("big.bin"))
            .expect_err("full");
        let text = crate::error::render(&error);
        assert!(
            text.contains("cannot write big.bin") && text.contains("disk is full"),
            "{text}"
        );
    }
}
