//! Folders and files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A folder that is filled under a temporary name and then takes its own.
#[derive(Debug)]
pub(crate) struct StagedFolder {
    staged: tempfile::TempDir,
    destination: PathBuf,
}

impl StagedFolder {
    /// Prepares to make `destination`, whose parent folders are created.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub(crate) fn new(destination: &Path) -> io::Result<Self> {
        let parent = parent(destination);
        fs::create_dir_all(parent)?;
        let staged = tempfile::Builder::new()
            .prefix(".tmp-camtl-")
            .tempdir_in(parent)?;
        Ok(Self {
            staged,
            destination: destination.to_path_buf(),
        })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        self.staged.path()
    }

    /// Puts the folder in place, replacing what was there. If a step fails, the old folder is put back.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub(crate) fn commit(self) -> io::Result<()> {
        for entry in fs::read_dir(self.staged.path())? {
            let path = entry?.path();
            if path.is_file() {
                File::open(&path)?.sync_all()?;
            }
        }
        open_to_others(self.staged.path())?;
        let parent = parent(&self.destination);
        let old = if self.destination.exists() {
            let aside = tempfile::Builder::new()
                .prefix(".old-camtl-")
                .tempdir_in(parent)?;
            let moved = aside.path().join("old");
            fs::rename(&self.destination, &moved)?;
            Some((aside, moved))
        } else {
            None
        };
        let staged = self.staged.keep();
        if let Err(error) = fs::rename(&staged, &self.destination) {
            if let Some((_, moved)) = &old {
                fs::rename(moved, &self.destination)?;
            }
            fs::remove_dir_all(&staged)?;
            return Err(error);
        }
        File::open(parent)?.sync_all()
        // What was there before goes with its temporary folder.
    }
}

/// Writes a file under a temporary name, which then takes its own.
///
/// # Errors
/// Whatever the file system reports.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(parent(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    readable_by_others(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Temporary files are private; results have the rights any other new file would have.
///
/// # Errors
/// Whatever the file system reports.
#[cfg(unix)]
pub(crate) fn readable_by_others(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
pub(crate) fn readable_by_others(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
pub(crate) fn open_to_others(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
pub(crate) fn open_to_others(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_replaced_whole_and_leaves_no_traces() {
        let root = tempfile::tempdir().unwrap();
        let destination = root.path().join("a/out");
        for round in ["first", "second"] {
            let staged = StagedFolder::new(&destination).unwrap();
            fs::write(staged.path().join(round), round).unwrap();
            assert!(!destination.join(round).exists());
            staged.commit().unwrap();
            let names: Vec<_> = fs::read_dir(&destination)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(names, [round]);
        }
        drop(StagedFolder::new(&destination).unwrap());
        assert!(
            destination.join("second").exists(),
            "given up without a trace"
        );
        assert_eq!(fs::read_dir(root.path().join("a")).unwrap().count(), 1);
    }
}
