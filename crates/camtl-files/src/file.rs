//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use crate::folder::sync_folder;
use crate::place::{Target, made_and_locked, parent, remove_abandoned, target, temporary_prefix};

/// A file being written: nothing of it is seen under its name before [`OutputFile::commit`].
///
/// - A regular file, or nothing: the bytes go to a temporary file beside it, which is flushed to the
///   disk and takes the name in one step. It has the rights of the file that was there, else those
///   that the umask leaves. Symbolic links are followed.
/// - A file that cannot be replaced but written (its folder is read-only, it is a mount point): the
///   bytes are kept aside and written into it at the end.
/// - A device or a pipe: the bytes go through as they come.
///
/// Dropped without a commit, it leaves what was there. A temporary file that a killed process left
/// is removed by the next writer of the same name.
#[derive(Debug)]
pub struct OutputFile {
    out: BufWriter<File>,
    end: End,
    /// Says that the writer lives; ends with it.
    _lock: Option<File>,
}

/// What makes the bytes the file's.
#[derive(Debug)]
enum End {
    Rename(tempfile::TempPath, PathBuf),
    Copy(File),
    Nothing,
}

impl OutputFile {
    /// Opens `path` for writing; refuses now what would fail at the end.
    ///
    /// # Errors
    /// There is a folder of that name, no folder to put it in, or no right to write.
    pub fn create(path: &Path) -> io::Result<Self> {
        let (file, end, lock) = match target(path)? {
            Target::Through => {
                // What a shell opened to append to keeps what it has.
                let file = OpenOptions::new().append(true).open(path)?;
                (file, End::Nothing, None)
            }
            Target::Replaceable(place) => match temporary(&place) {
                Ok((file, lock)) => {
                    let (file, temporary) = file.into_parts();
                    (file, End::Rename(temporary, place), lock)
                }
                Err(error) => match OpenOptions::new().write(true).open(&place) {
                    Ok(there) => (tempfile::tempfile()?, End::Copy(there), None),
                    Err(_) => return Err(error),
                },
            },
        };
        Ok(Self {
            out: BufWriter::with_capacity(1 << 20, file),
            end,
            _lock: lock,
        })
    }

    /// Makes what was written the file's content.
    ///
    /// # Errors
    /// Whatever the file system reports; the old content is then untouched, unless it had to be
    /// overwritten in place.
    pub fn commit(self) -> io::Result<()> {
        let Self { out, end, _lock } = self;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        match end {
            End::Nothing => Ok(()),
            End::Copy(there) => copy(file, there),
            End::Rename(temporary, place) => {
                file.sync_all()?;
                match temporary.persist(&place) {
                    Ok(()) => sync_folder(parent(&place)),
                    // A mount point, or another user's file in a folder such as /tmp.
                    Err(failed)
                        if matches!(
                            failed.error.kind(),
                            io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied
                        ) =>
                    {
                        match OpenOptions::new().write(true).open(&place) {
                            Ok(there) => copy(File::open(&failed.path)?, there),
                            Err(_) => Err(failed.error),
                        }
                    }
                    Err(failed) => Err(failed.error),
                }
            }
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes `bytes` to `path` as [`OutputFile`] does.
///
/// # Errors
/// Whatever the file system reports; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Fills `path` by `fill` as [`OutputFile`] does.
///
/// # Errors
/// Those of `fill` and whatever the file system reports; the old file is then untouched.
pub fn write_with<T>(
    path: &Path,
    fill: impl FnOnce(&mut OutputFile) -> io::Result<T>,
) -> io::Result<T> {
    let mut file = OutputFile::create(path)?;
    let value = fill(&mut file)?;
    file.commit()?;
    Ok(value)
}

/// A locked temporary file beside `place`, with the rights that `place` has or would have.
fn temporary(place: &Path) -> io::Result<(tempfile::NamedTempFile, Option<File>)> {
    // A file that its owner made read-only is not to be changed by way of its folder.
    let there = match OpenOptions::new().write(true).open(place) {
        Ok(file) => Some(file.metadata()?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    remove_abandoned(place);
    let prefix = temporary_prefix(place);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666)); // less the umask
    }
    let (file, lock) = made_and_locked(|| builder.tempfile_in(parent(place)), |file| file.path())?;
    if let Some(there) = there {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            // Only root may give a file away; anyone else's rename makes it his own.
            let _ = fchown(file.as_file(), Some(there.uid()), Some(there.gid()));
        }
        file.as_file().set_permissions(there.permissions())?;
    }
    Ok((file, lock))
}

/// Writes what `from` holds into `there`, in place of what it holds.
fn copy(mut from: File, mut there: File) -> io::Result<()> {
    from.rewind()?;
    there.set_len(0)?;
    io::copy(&mut from, &mut there)?;
    there.sync_all()
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
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write(&path, b"old").unwrap();
        let error = write_with(&path, |file| {
            file.write_all(b"half of the ne")?;
            Err::<(), _>(io::Error::from_raw_os_error(28)) // ENOSPC
        })
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["state.json"]);
    }

    #[test]
    fn what_a_killed_writer_left_goes_and_what_a_living_one_has_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(folder.path().join(".tmp-a.killed"), "half").unwrap();
        fs::write(folder.path().join(".tmp-other.killed"), "half").unwrap();
        let mut living = OutputFile::create(&path).unwrap();
        living.write_all(b"1").unwrap();
        write(&path, b"2").unwrap();
        living.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"1");
        assert_eq!(names(folder.path()), [".tmp-other.killed", "a"]);
    }

    #[test]
    fn a_name_of_255_bytes_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("é".repeat(127));
        write(&path, b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = OutputFile::create(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert!(OutputFile::create(&folder.path().join("none/x")).is_err());
        assert!(OutputFile::create(Path::new("..")).is_err());
    }
}

#[cfg(all(test, unix))]
mod unix_tests {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        symlink("second", at("first")).unwrap();
        symlink("far/file", at("second")).unwrap();
        for text in ["new", "replaced"] {
            write(&at("first"), text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(at("far/file")).unwrap(), text);
        }
        assert!(fs::symlink_metadata(at("first")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(at("second")).unwrap().is_symlink());
        symlink("circle", at("circle")).unwrap();
        assert!(write(&at("circle"), b"").is_err());
    }

    #[test]
    fn devices_and_pipes_are_written_through() {
        write(Path::new("/dev/null"), b"gone").unwrap();
        let null = fs::metadata("/dev/null").unwrap();
        assert!(null.file_type().is_char_device());
        assert_eq!(
            write(Path::new("/dev/full"), b"x").unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn what_a_process_has_open_is_appended_to() {
        use std::os::fd::AsRawFd as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "before\n").unwrap();
        let open = OpenOptions::new().append(true).open(&path).unwrap();
        let link = folder.path().join("stdout");
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), &link).unwrap();
        write(&link, b"after\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\nafter\n");
    }

    #[test]
    fn the_rights_are_those_of_the_file_that_is_there_else_the_umask_s() {
        let folder = tempfile::tempdir().unwrap();
        let (new, ordinary) = (folder.path().join("new"), folder.path().join("ordinary"));
        File::create(&ordinary).unwrap();
        write(&new, b"").unwrap();
        assert_eq!(mode(&new), mode(&ordinary));
        for bits in [0o600, 0o664, 0o755] {
            set_mode(&new, bits);
            write(&new, b"x").unwrap();
            assert_eq!(mode(&new), bits);
        }
    }

    /// Root may write anywhere, so the test below runs again as nobody.
    const AS_NOBODY: &str = "CAMTL_FILES_TEST_AS_NOBODY";

    #[test]
    fn a_file_whose_folder_is_read_only_is_written_in_place_or_refused_at_once() {
        if let Some(folder) = std::env::var_os(AS_NOBODY) {
            return in_place(Path::new(&folder));
        }
        let folder = tempfile::tempdir().unwrap();
        let me = fs::metadata(folder.path()).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        for (name, bits) in [("open", 0o666), ("closed", 0o444)] {
            fs::write(folder.path().join(name), "a longer text").unwrap();
            set_mode(&folder.path().join(name), bits);
        }
        set_mode(folder.path(), 0o555);
        if me.uid() != 0 {
            in_place(folder.path());
        } else {
            // The program may stand where nobody may not go.
            let program = folder.path().join("tests");
            fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            let done = Command::new(&program)
                .args(["--exact", "file::unix_tests::a_file_whose_folder_is_read_only_is_written_in_place_or_refused_at_once"])
                .env(AS_NOBODY, folder.path())
                .current_dir("/")
                .uid(65_534)
                .gid(65_534)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success() && text.contains("1 passed"), "{text}");
        }
        set_mode(folder.path(), 0o755);
    }

    fn in_place(folder: &Path) {
        let open = folder.join("open");
        let mut file = OutputFile::create(&open).unwrap();
        file.write_all(b"short").unwrap();
        assert_eq!(
            fs::read(&open).unwrap(),
            b"a longer text",
            "not before the end"
        );
        file.commit().unwrap();
        assert_eq!(fs::read(&open).unwrap(), b"short");
        for refused in ["closed", "new"] {
            let error = OutputFile::create(&folder.join(refused)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{refused}");
        }
    }
}
