//! Folders that appear whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::place::{TEMPORARY, made_and_locked, name, parent, remove_abandoned, temporary_prefix};

/// Prefix of folders being deleted, so that a half-deleted folder is never mistaken for a whole one.
const TRASH: &str = ".trash-";

/// Prefix of a folder that is being replaced, until its successor has its name.
const REPLACED: &str = ".old-";

/// A folder that is filled under a temporary name and then takes its own in one step. Dropped
/// without [`StagedFolder::commit`], it is removed.
#[derive(Debug)]
pub struct StagedFolder {
    staged: tempfile::TempDir,
    destination: PathBuf,
    /// Says that the writer lives; ends with it.
    _lock: Option<File>,
}

impl StagedFolder {
    /// Prepares to make `destination`, whose parent folders are created. What killed processes
    /// left of the same folder is removed; a folder that one of them had moved aside comes back.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn create(destination: &Path) -> io::Result<Self> {
        let parent = parent(destination);
        fs::create_dir_all(parent)?;
        remove_abandoned(destination);
        let aside = beside(destination, REPLACED)?;
        if aside.exists() && !destination.exists() {
            fs::rename(&aside, destination)?;
        }
        let prefix = temporary_prefix(destination);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o777)); // less the umask
        }
        let (staged, lock) = made_and_locked(|| builder.tempdir_in(parent), |dir| dir.path())?;
        Ok(Self {
            staged,
            destination: destination.to_path_buf(),
            _lock: lock,
        })
    }

    /// Where to write.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staged.path()
    }

    /// Flushes every file of the folder and gives the folder its final name, in place of an older
    /// one, as [`place_folder`] does.
    ///
    /// # Errors
    /// Whatever the file system reports; the older folder then has its name.
    pub fn commit(self) -> io::Result<()> {
        sync_tree(self.staged.path())?;
        #[cfg(unix)]
        if let Ok(there) = fs::metadata(&self.destination) {
            fs::set_permissions(self.staged.path(), there.permissions())?;
        }
        place_folder(self.staged.path(), &self.destination)?;
        // It has another name now, under which it stays.
        let _ = self.staged.keep();
        Ok(())
    }
}

/// Puts the folder `staged` in the place of `target`, which is replaced if it exists.
///
/// The old folder is moved aside first and deleted last, so `target` is never half of both.
/// [`remove_leftovers`] and [`StagedFolder::create`] bring it back if the process ends in between.
///
/// # Errors
/// If a rename fails; an old folder is then put back.
pub fn place_folder(staged: &Path, target: &Path) -> io::Result<()> {
    let parent = parent(target);
    fs::create_dir_all(parent)?;
    let aside = beside(target, REPLACED)?;
    if target.exists() {
        remove_if_there(&aside)?;
        fs::rename(target, &aside)?;
    }
    if let Err(error) = fs::rename(staged, target) {
        if aside.exists() {
            let _ = fs::rename(&aside, target);
        }
        return Err(error);
    }
    sync_folder(parent)?;
    remove_if_there(&aside)
}

/// Deletes a folder so that a crash in between leaves nothing under its name.
///
/// # Errors
/// Whatever the file system reports.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    let trash = beside(path, TRASH)?;
    remove_if_there(&trash)?;
    fs::rename(path, &trash)?;
    sync_folder(parent(path))?;
    fs::remove_dir_all(&trash)
}

/// Removes a file or a folder that may not be there.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// Removes temporary and half-deleted entries that an interrupted process left in `folder`, and
/// gives a folder that was about to be replaced its name back if nothing has that name. Nobody
/// else may be writing in `folder`.
///
/// # Errors
/// Whatever the file system reports.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
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
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// Flushes a folder's entries (names) to the disk; file systems that cannot are left alone.
///
/// # Errors
/// Whatever the file system reports, but for that it has no such operation.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Flushes every file and folder below `folder`.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

fn beside(path: &Path, prefix: &str) -> io::Result<PathBuf> {
    let name = name(path).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} has no name of its own", path.display()),
        )
    })?;
    Ok(path.with_file_name(format!("{prefix}{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn an_uncommitted_folder_disappears_and_a_committed_one_replaces() {
        let root = tempfile::tempdir().unwrap();
        let destination = root.path().join("a/step-1");
        {
            let staged = StagedFolder::create(&destination).unwrap();
            fs::write(staged.path().join("a"), b"1").unwrap();
        }
        assert!(names(&root.path().join("a")).is_empty());
        for round in ["first", "second"] {
            let staged = StagedFolder::create(&destination).unwrap();
            fs::write(staged.path().join(round), round).unwrap();
            assert!(!destination.join(round).exists());
            staged.commit().unwrap();
            assert_eq!(names(&destination), [round]);
        }
        drop(StagedFolder::create(&destination).unwrap());
        assert_eq!(names(&destination), ["second"], "given up without a trace");
        assert_eq!(names(&root.path().join("a")), ["step-1"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_has_the_rights_of_the_one_that_is_there_else_the_umask_s() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let root = tempfile::tempdir().unwrap();
        let (new, ordinary) = (root.path().join("new"), root.path().join("ordinary"));
        fs::create_dir(&ordinary).unwrap();
        StagedFolder::create(&new).unwrap().commit().unwrap();
        assert_eq!(mode(&new), mode(&ordinary));
        fs::set_permissions(&new, fs::Permissions::from_mode(0o700)).unwrap();
        StagedFolder::create(&new).unwrap().commit().unwrap();
        assert_eq!(mode(&new), 0o700);
    }

    #[test]
    fn what_a_killed_process_left_goes_and_an_older_folder_comes_back() {
        let root = tempfile::tempdir().unwrap();
        for left in [".tmp-out.killed", ".old-out"] {
            fs::create_dir(root.path().join(left)).unwrap();
            fs::write(root.path().join(left).join("x"), left).unwrap();
        }
        let living = StagedFolder::create(&root.path().join("out")).unwrap();
        let other = StagedFolder::create(&root.path().join("out")).unwrap();
        assert!(living.path().exists() && other.path().exists());
        drop((living, other));
        assert_eq!(names(root.path()), ["out"]);
        assert_eq!(
            fs::read_to_string(root.path().join("out/x")).unwrap(),
            ".old-out"
        );
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
        assert_eq!(names(folder.path()), ["step-2", "step-4"]);
    }

    #[test]
    fn folders_are_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (staged, target) = (dir.path().join("new"), dir.path().join("target"));
        for (folder, file) in [(&target, "old"), (&staged, "new")] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join(file), file).unwrap();
        }
        place_folder(&staged, &target).unwrap();
        assert_eq!(names(dir.path()), ["target"]);
        assert_eq!(names(&target), ["new"]);
    }
}
