//! Free disk space, durable writes, and errors that say when a disk is full.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

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
    let folder = path.parent().unwrap_or(Path::new("."));
    writing(fs::create_dir_all(folder), folder)?;
    let mut temporary = writing(tempfile::NamedTempFile::new_in(folder), folder)?;
    writing(temporary.write_all(bytes), temporary.path())?;
    writing(temporary.as_file().sync_all(), path)?;
    set_usual_permissions(temporary.path());
    writing(temporary.persist(path).map_err(|e| e.error), path)?;
    sync_folder(folder);
    Ok(())
}

/// `tempfile` makes files private; a downloaded or generated file is not a secret.
#[cfg(unix)]
fn set_usual_permissions(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o644));
}

#[cfg(not(unix))]
fn set_usual_permissions(_: &Path) {}

/// Makes a rename inside `folder` durable; file systems that cannot are left alone.
pub fn sync_folder(folder: &Path) {
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
}

/// Puts the folder `staged` in the place of `target`, which is replaced if it exists.
///
/// The old folder is renamed away first and removed last, so `target` is never half of both. An
/// interruption between the two renames leaves `staged` complete, and the next run finishes.
///
/// # Errors
/// If a rename fails; an old folder is then put back.
pub fn place_folder(staged: &Path, target: &Path) -> anyhow::Result<()> {
    let parent = target.parent().unwrap_or(Path::new("."));
    writing(fs::create_dir_all(parent), parent)?;
    let old = target.exists().then(|| retired_name(target));
    if let Some(old) = &old {
        writing(fs::rename(target, old), target)?;
    }
    if let Err(error) = fs::rename(staged, target) {
        if let Some(old) = &old {
            let _ = fs::rename(old, target);
        }
        return writing(Err(error), target);
    }
    sync_folder(parent);
    if let Some(old) = &old {
        let _ = fs::remove_dir_all(old);
    }
    Ok(())
}

fn retired_name(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(
        ".{}.old-{}",
        name.trim_start_matches('.'),
        std::process::id()
    ))
}

/// Removes a file or folder that may not be there.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    result.with_context(|| format!("cannot remove {}", shown(path)))
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
    fn folders_are_replaced_whole() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let (staged, target) = (dir.path().join("new"), dir.path().join("target"));
        fs::create_dir(&target)?;
        fs::write(target.join("old"), "old")?;
        fs::create_dir(&staged)?;
        fs::write(staged.join("new"), "new")?;
        place_folder(&staged, &target)?;
        let names: Vec<_> = fs::read_dir(dir.path())?
            .map(|e| e.map(|e| e.file_name()))
            .collect::<Result<_, _>>()?;
        assert_eq!(names, ["target"]);
        assert!(target.join("new").exists() && !target.join("old").exists());
        Ok(())
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
