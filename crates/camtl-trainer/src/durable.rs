//! Writes that survive a crash: whole files and whole folders appear at once or not at all.
//!
//! Everything is written under a temporary name beside its destination, each file is flushed
//! to the disk, the name is changed in one step, and the parent folder is flushed so that the
//! new name lasts too. A reader never sees a half-written file under its final name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Prefix of temporary names; [`remove_leftovers`] deletes what a crash left behind.
pub(crate) const TEMPORARY: &str = ".tmp-";
/// Prefix of folders being deleted, so that a half-deleted folder is never mistaken for a whole one.
pub(crate) const TRASH: &str = ".trash-";

/// Prefix of a folder that is being replaced, until its successor has its name.
const REPLACED: &str = ".old-";

/// Flushes a folder's entries (names) to the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes `bytes` to `path`, replacing what was there in one step.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_file_with(path, |file| file.write_all(bytes))
}

/// Fills a file by `fill` and gives it the name `path` in one step.
pub(crate) fn write_file_with(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let (folder, name) = split(path)?;
    let temporary = folder.join(format!("{TEMPORARY}{name}"));
    let result = (|| {
        let mut file = File::create(&temporary)?;
        fill(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(&folder)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// A folder that is filled under a temporary name and then put in place in one step.
/// Dropped without [`StagedFolder::commit`], it is removed.
#[derive(Debug)]
pub(crate) struct StagedFolder {
    temporary: PathBuf,
    destination: PathBuf,
    committed: bool,
}

impl StagedFolder {
    /// Creates the temporary folder beside `destination`.
    pub(crate) fn create(destination: &Path) -> io::Result<Self> {
        let (parent, name) = split(destination)?;
        let temporary = parent.join(format!("{TEMPORARY}{name}"));
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        fs::create_dir(&temporary)?;
        Ok(Self {
            temporary,
            destination: destination.to_path_buf(),
            committed: false,
        })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Flushes every file of the folder and gives the folder its final name. An older folder of
    /// that name is moved aside first and deleted afterwards; [`remove_leftovers`] brings it back if
    /// the process ends in between.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        sync_tree(&self.temporary)?;
        let (parent, name) = split(&self.destination)?;
        let replaced = parent.join(format!("{REPLACED}{name}"));
        if self.destination.exists() {
            if replaced.exists() {
                fs::remove_dir_all(&replaced)?;
            }
            fs::rename(&self.destination, &replaced)?;
        }
        if let Err(error) = fs::rename(&self.temporary, &self.destination) {
            if replaced.exists() {
                let _ = fs::rename(&replaced, &self.destination);
            }
            return Err(error);
        }
        self.committed = true;
        sync_folder(&parent)?;
        if replaced.exists() {
            fs::remove_dir_all(&replaced)?;
        }
        Ok(())
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Deletes a folder so that a crash in between leaves nothing under its name.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    let (parent, name) = split(path)?;
    let trash = parent.join(format!("{TRASH}{name}"));
    if trash.exists() {
        fs::remove_dir_all(&trash)?;
    }
    fs::rename(path, &trash)?;
    sync_folder(&parent)?;
    fs::remove_dir_all(&trash)
}

/// Removes temporary and half-deleted entries that an interrupted process left in `folder`, and
/// gives a folder that was about to be replaced its name back if nothing has that name.
pub(crate) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let Some(original) = name.strip_prefix(REPLACED) {
            let original = folder.join(original);
            match original.exists() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::rename(entry.path(), original)?,
            }
        }
        if name.starts_with(TEMPORARY) || name.starts_with(TRASH) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Flushes every file and folder below `folder`.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// The parent folder (`.` for a bare name) and the name as text.
fn split(path: &Path) -> io::Result<(PathBuf, String)> {
    let name = path
        .file_name()
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} names no file", path.display()),
            )
        })?
        .to_string_lossy()
        .into_owned();
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok((parent, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write_file(&path, b"old").unwrap();
        let error = write_file_with(&path, |file| {
            file.write_all(b"half of the ne")?;
            Err(io::Error::from_raw_os_error(28)) // ENOSPC
        })
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "the temporary file is gone"
        );
    }

    #[test]
    fn an_uncommitted_folder_disappears_and_a_committed_one_replaces() {
        let parent = tempfile::tempdir().unwrap();
        let destination = parent.path().join("step-1");
        {
            let staged = StagedFolder::create(&destination).unwrap();
            fs::write(staged.path().join("a"), b"1").unwrap();
        }
        assert!(!destination.exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        for text in ["1", "2"] {
            let staged = StagedFolder::create(&destination).unwrap();
            fs::write(staged.path().join("a"), text).unwrap();
            staged.commit().unwrap();
            assert_eq!(fs::read_to_string(destination.join("a")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".tmp-step-3")).unwrap();
        fs::create_dir(folder.path().join(".trash-step-1")).unwrap();
        fs::create_dir(folder.path().join("step-2")).unwrap();
        fs::write(folder.path().join(".tmp-x"), b"").unwrap();
        // Killed while step-2 was replaced, after and before its successor had the name.
        fs::create_dir(folder.path().join(".old-step-2")).unwrap();
        fs::create_dir(folder.path().join(".old-step-4")).unwrap();
        remove_leftovers(folder.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["step-2", "step-4"]);
    }
}
