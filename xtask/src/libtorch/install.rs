//! Makes a libtorch folder from pinned wheels: locked, resumable, checked by hash, placed atomically.
//!
//! 1. `lock.txt` in the folder equals the committed list: done, in milliseconds.
//! 2. Take the lock; a second process waits and then finds step 1 true.
//! 3. Fetch each wheel that is not in `.cache/wheels` yet; pip downloads, SHA-256 decides.
//! 4. A folder that is there already and holds exactly the wheels' files (unpacked by hand, or by an
//!    earlier version of the list with the same content) is adopted as it is: nothing is rebuilt.
//! 5. Otherwise unpack into `.libtorch.tmp` and rename that into place; only then are the wheels removed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::VERSION;
use super::layout::{LINKER_SCRIPT, Set};
use crate::archive::{Archive, Limits};
use crate::disk::{self, writing};
use crate::error::failure;
use crate::fetch::progress;
use crate::python::{Python, Requirement};
use crate::workspace::{human_bytes, shown};

/// How an installation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was complete before.
    Ready,
    /// The folder was complete but had no `lock.txt`; its files were compared with the wheels'.
    Adopted,
    /// It was made now.
    Installed,
}

/// One installation: which set, from which list, into which folder.
#[derive(Debug, Clone)]
pub struct Install {
    set: Set,
    folder: PathBuf,
    lock_text: String,
    lock_origin: String,
    wheels: PathBuf,
    /// Checks for free disk space before downloading.
    check_space: bool,
}

impl Install {
    /// The set as the workspace at `root` pins it.
    ///
    /// # Errors
    /// If the list of wheels cannot be read.
    pub fn of_workspace(root: &Path, set: Set) -> anyhow::Result<Self> {
        let lock_file = set.lock_file(root);
        let lock_text = fs::read_to_string(&lock_file).with_context(|| {
            format!(
                "cannot read the pinned list of wheels {}",
                shown(&lock_file)
            )
        })?;
        Ok(Self {
            set,
            folder: set.folder(root),
            lock_text,
            lock_origin: shown(&lock_file),
            wheels: root.join(".cache").join("wheels"),
            check_space: true,
        })
    }

    /// The same set from another list into `root`, without asking for disk space: for tests.
    pub fn from_list(root: &Path, set: Set, lock_text: &str) -> Self {
        Self {
            set,
            folder: set.folder(root),
            lock_text: lock_text.into(),
            lock_origin: "the list of wheels".into(),
            wheels: root.join(".cache").join("wheels"),
            check_space: false,
        }
    }

    /// The folder that is made.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// True if the folder was made from exactly this list and no required file is missing.
    pub fn is_ready(&self) -> bool {
        fs::read_to_string(self.folder.join("lock.txt")).is_ok_and(|text| text == self.lock_text)
            && self.missing().is_empty()
    }

    /// Required files that are not there or empty.
    pub fn missing(&self) -> Vec<&'static str> {
        let present = |f: &str| fs::metadata(self.folder.join(f)).is_ok_and(|m| m.len() > 0);
        self.set
            .required()
            .iter()
            .copied()
            .filter(|f| !present(f))
            .collect()
    }

    /// Makes the folder unless it is ready.
    ///
    /// # Errors
    /// Without Python or pip, without network, on a hash mismatch, a damaged wheel or a full disk. The
    /// folder is then as it was, and complete wheels stay for the next try.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        if self.is_ready() {
            return Ok(Outcome::Ready);
        }
        let name = self
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let _lock = disk::lock(
            &self
                .wheels
                .join(format!("{}.lock", name.trim_start_matches('.'))),
            &format!("another process is setting up {}", shown(&self.folder)),
        )?;
        if self.is_ready() {
            return Ok(Outcome::Ready);
        }
        let requirements = Requirement::parse_list(&self.lock_text, &self.lock_origin)?;
        if self.check_space {
            disk::require_free(&self.wheels, self.set.bytes_needed(), self.set.title())?;
        }
        let python = Python::find()?;
        python.pip_version()?;
        eprintln!(
            "{}: downloading {} wheels through pip",
            self.set.title(),
            requirements.len()
        );
        let mut paths = Vec::new();
        for requirement in &requirements {
            paths.push(python.wheel(requirement, &self.wheels)?);
        }
        let outcome = self.place(&paths)?;
        for path in &paths {
            disk::remove_if_there(path)?;
        }
        Ok(outcome)
    }

    fn place(&self, wheels: &[PathBuf]) -> anyhow::Result<Outcome> {
        let mut archives = Vec::new();
        for wheel in wheels {
            let archive = Archive::open(wheel, Limits::WHEEL)?;
            let wanted: Vec<(String, PathBuf)> = archive
                .names()
                .filter_map(|name| Some((name.to_owned(), self.set.target(name)?)))
                .collect();
            archives.push((archive, wanted));
        }
        if self.holds(&mut archives)? {
            disk::write_atomically(&self.folder.join("lock.txt"), self.lock_text.as_bytes())?;
            return Ok(Outcome::Adopted);
        }
        let staged = self.folder.with_extension("tmp");
        disk::remove_if_there(&staged)?;
        writing(fs::create_dir_all(&staged), &staged)?;
        let result = self.fill(&staged, &mut archives);
        if result.is_err() {
            // Half-unpacked files are of no use to the next try; the wheels are.
            let _ = fs::remove_dir_all(&staged);
        }
        result?;
        disk::place_folder(&staged, &self.folder)?;
        Ok(Outcome::Installed)
    }

    /// True if the folder already has every file of the wheels, byte for byte.
    fn holds(&self, archives: &mut [(Archive, Vec<(String, PathBuf)>)]) -> anyhow::Result<bool> {
        if !self.missing().is_empty() || !self.has_own_files(&self.folder) {
            return Ok(false);
        }
        for (archive, wanted) in archives {
            for (name, target) in wanted.iter() {
                if !archive.matches(name, &self.folder.join(target))? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn has_own_files(&self, folder: &Path) -> bool {
        let is = |name: &str, text: &str| {
            fs::read_to_string(folder.join(name)).is_ok_and(|t| t.trim() == text.trim())
        };
        (!self.set.is_libtorch() || is("build-version", VERSION))
            && (self.set != Set::Cpu || is("lib/libtorch.so", LINKER_SCRIPT))
    }

    fn fill(
        &self,
        staged: &Path,
        archives: &mut [(Archive, Vec<(String, PathBuf)>)],
    ) -> anyhow::Result<()> {
        let bar = progress::counter(&format!("unpacking {}", self.set.title()));
        let mut total = 0u64;
        for (archive, wanted) in archives {
            archive.unpack(staged, wanted, |n| {
                total += n;
                bar.inc(n);
            })?;
        }
        bar.finish_and_clear();
        let write = |name: &str, text: &str| {
            let path = staged.join(name);
            writing(fs::write(&path, text), &path)
        };
        if self.set == Set::Cpu {
            write("lib/libtorch.so", LINKER_SCRIPT)?;
        }
        if self.set.is_libtorch() {
            // torch-sys compares this with the version it binds.
            write("build-version", VERSION)?;
        }
        write("lock.txt", &self.lock_text)?;
        let missing: Vec<_> = self
            .set
            .required()
            .iter()
            .filter(|f| !staged.join(f).is_file())
            .copied()
            .collect();
        if !missing.is_empty() {
            return Err(failure(
                format!(
                    "the wheels of {} lack {}",
                    self.lock_origin,
                    missing.join(", ")
                ),
                "the list of wheels does not fit this version of xtask; restore third_party/ from git",
            ));
        }
        eprintln!("{}: {} unpacked", self.set.title(), human_bytes(total));
        Ok(())
    }
}
