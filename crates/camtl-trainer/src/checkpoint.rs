//! Checkpoints of a run: the only writer of run state.
//!
//! ```text
//! run/checkpoints/step-300/
//!   manifest.json           step, and size and checksum of every other file
//!   state.json              step, sampler, best so far, early stopping, counters
//!   optimizer.safetensors   AdamW's moments over the flat buffer of trained parameters
//!   model.safetensors       all weights, frozen ones too
//!   camtl.json              the model's configuration
//! ```
//!
//! A folder appears under its name only when every file in it is on the disk, and is moved away
//! before it is deleted; so whatever is called `step-N` is complete, and a kill at any moment
//! leaves the previous checkpoint as it was. What the disk does to files later is found by the
//! checksums: a damaged checkpoint is passed over for the next older one.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use camtl_files::StagedFolder;

/// Name of the folder of checkpoints inside a run folder.
pub const CHECKPOINTS: &str = "checkpoints";
const MANIFEST: &str = "manifest.json";
const FORMAT: u32 = 1;

/// What a checkpoint holds, with sizes and checksums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// Updates made when the checkpoint was taken.
    pub step: u64,
    /// Every file but the manifest, by name.
    pub files: Vec<ManifestFile>,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Name inside the folder.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// CRC-32C (Castagnoli) in hexadecimal.
    pub crc32c: String,
}

/// A checkpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its folder.
    pub folder: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// The checkpoints of one run.
#[derive(Debug, Clone)]
pub struct CheckpointStore {
    folder: PathBuf,
}

impl CheckpointStore {
    /// The checkpoints of `run_dir`; makes nothing.
    pub fn new(run_dir: &Path) -> Self {
        Self {
            folder: run_dir.join(CHECKPOINTS),
        }
    }

    /// Makes the folder and removes what an interrupted save or deletion left in it.
    pub(crate) fn prepare(&self) -> Result<(), TrainError> {
        fs::create_dir_all(&self.folder)
            .and_then(|()| camtl_files::remove_leftovers(&self.folder))
            .map_err(|source| TrainError::io("prepare the checkpoint folder", &self.folder, source))
    }

    /// The folder of the checkpoint taken after `step` updates.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step}"))
    }

    /// The steps of the checkpoints that are there, oldest first, whether intact or not.
    ///
    /// # Errors
    /// The folder cannot be listed. A missing folder has no checkpoints.
    pub fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let fail = |source| TrainError::io("list the checkpoints in", &self.folder, source);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = entry.map_err(fail)?.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix("step-"));
            if let Some(step) = step.and_then(|step| step.parse().ok()) {
                steps.push(step);
            }
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Takes a checkpoint: `fill` writes the files into the folder it is given; they are checksummed,
    /// flushed and put in place as a whole. After an error the earlier checkpoints are as they were.
    pub(crate) fn save(
        &self,
        step: u64,
        fill: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<PathBuf, TrainError> {
        let path = self.path(step);
        let fail = |source| TrainError::io("save the checkpoint", &path, source);
        let staged = StagedFolder::create(&path).map_err(fail)?;
        fill(staged.path())?;
        let manifest = Manifest {
            format: FORMAT,
            step,
            files: describe(staged.path()).map_err(fail)?,
        };
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| fail(error.into()))?;
        fs::write(staged.path().join(MANIFEST), text).map_err(fail)?;
        staged.commit().map_err(fail)?;
        Ok(path)
    }

    /// Checks sizes and checksums of one checkpoint.
    ///
    /// # Errors
    /// [`Damaged`], with the file and what is wrong with it.
    pub fn verify(&self, step: u64) -> Result<Manifest, Damaged> {
        let folder = self.path(step);
        verify(&folder, step).map_err(|problem| Damaged { folder, problem })
    }

    /// The newest checkpoint that is intact, and the newer ones that are not. `None` when there is
    /// no checkpoint at all.
    ///
    /// # Errors
    /// There are checkpoints and all of them are damaged.
    pub fn newest_intact(&self) -> Result<Option<(Manifest, Vec<Damaged>)>, TrainError> {
        let steps = self.steps()?;
        let mut damaged = Vec::new();
        for step in steps.iter().rev() {
            match self.verify(*step) {
                Ok(manifest) => return Ok(Some((manifest, damaged))),
                Err(problem) => damaged.push(problem),
            }
        }
        match damaged.is_empty() {
            true => Ok(None),
            false => Err(TrainError::NoIntactCheckpoint {
                folder: self.folder.clone(),
                damaged,
            }),
        }
    }

    /// Deletes all but the newest `keep_last` checkpoints and those of the steps in `keep`.
    pub(crate) fn prune(&self, keep_last: usize, keep: &[u64]) -> Result<(), TrainError> {
        let steps = self.steps()?;
        let old = steps.len().saturating_sub(keep_last);
        for step in &steps[..old] {
            if !keep.contains(step) {
                self.remove(*step)?;
            }
        }
        Ok(())
    }

    /// Deletes one checkpoint.
    pub(crate) fn remove(&self, step: u64) -> Result<(), TrainError> {
        let path = self.path(step);
        camtl_files::remove_folder(&path)
            .map_err(|source| TrainError::io("delete the old checkpoint", &path, source))
    }
}

/// Sizes and checksums of the files of a folder, by name.
fn describe(folder: &Path) -> io::Result<Vec<ManifestFile>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    names
        .into_iter()
        .filter(|name| name != MANIFEST)
        .map(|name| {
            let (bytes, crc) = checksum(&folder.join(&name))?;
            Ok(ManifestFile {
                name,
                bytes,
                crc32c: format!("{crc:08x}"),
            })
        })
        .collect()
}

fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut buffer = vec![0u8; 1 << 20];
    let (mut bytes, mut crc) = (0u64, 0u32);
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, crc));
        }
        bytes += read as u64;
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
    }
}

fn verify(folder: &Path, step: u64) -> Result<Manifest, String> {
    let text = fs::read(folder.join(MANIFEST)).map_err(|error| format!("{MANIFEST}: {error}"))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| format!("{MANIFEST} is not a manifest: {error}"))?;
    if manifest.format != FORMAT {
        return Err(format!(
            "{MANIFEST} has format {}, this version of camtl reads format {FORMAT}",
            manifest.format
        ));
    }
    if manifest.step != step {
        return Err(format!(
            "{MANIFEST} is that of step {}, not of step {step}",
            manifest.step
        ));
    }
    for file in &manifest.files {
        if file.name.contains(['/', '\\']) || file.name.starts_with("..") {
            return Err(format!(
                "{MANIFEST} names {:?}, outside the folder",
                file.name
            ));
        }
        let (bytes, crc) = checksum(&folder.join(&file.name))
            .map_err(|error| format!("{}: {error}", file.name))?;
        if bytes != file.bytes {
            return Err(format!(
                "{} has {bytes} bytes, expected {}",
                file.name, file.bytes
            ));
        }
        if format!("{crc:08x}") != file.crc32c {
            return Err(format!(
                "{} has checksum {crc:08x}, expected {}",
                file.name, file.crc32c
            ));
        }
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, CheckpointStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path());
        store.prepare().unwrap();
        (folder, store)
    }

    fn save(store: &CheckpointStore, step: u64) {
        store
            .save(step, |folder| {
                fs::write(folder.join("state.json"), format!("{{\"step\":{step}}}")).unwrap();
                fs::write(folder.join("model.safetensors"), vec![step as u8; 3000]).unwrap();
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn a_damaged_newest_checkpoint_is_passed_over() {
        let (_folder, store) = store();
        assert_eq!(store.newest_intact().unwrap(), None);
        for step in [5, 10, 100] {
            save(&store, step);
        }
        assert_eq!(store.steps().unwrap(), [5, 10, 100]);
        assert_eq!(store.newest_intact().unwrap().unwrap().0.step, 100);

        // One flipped bit.
        let weights = store.path(100).join("model.safetensors");
        let mut bytes = fs::read(&weights).unwrap();
        bytes[1234] ^= 4;
        fs::write(&weights, &bytes).unwrap();
        let (manifest, damaged) = store.newest_intact().unwrap().unwrap();
        assert_eq!(manifest.step, 10);
        assert_eq!(damaged.len(), 1);
        assert!(
            damaged[0]
                .problem
                .contains("model.safetensors has checksum"),
            "{damaged:?}"
        );

        // A file cut short, and a manifest that is not JSON.
        fs::write(store.path(10).join("state.json"), "{").unwrap();
        assert_eq!(store.newest_intact().unwrap().unwrap().0.step, 5);
        fs::write(store.path(5).join(MANIFEST), "nothing").unwrap();
        let error = store.newest_intact().unwrap_err().to_string();
        for part in [
            "step-100",
            "step-10:",
            "state.json has 1 bytes",
            "step-5: manifest.json is not",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn a_failed_save_leaves_the_earlier_ones() {
        let (_folder, store) = store();
        save(&store, 1);
        let full = |folder: &Path| {
            fs::write(folder.join("model.safetensors"), b"half").unwrap();
            Err(TrainError::io(
                "write",
                folder,
                io::Error::from_raw_os_error(28),
            ))
        };
        assert!(
            store
                .save(2, full)
                .unwrap_err()
                .to_string()
                .contains("No space left")
        );
        assert_eq!(store.steps().unwrap(), [1]);
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
        assert_eq!(store.newest_intact().unwrap().unwrap().0.step, 1);
        // The same step again replaces the folder.
        assert!(store.save(1, full).is_err());
        assert_eq!(store.newest_intact().unwrap().unwrap().0.step, 1);
    }

    #[test]
    fn pruning_keeps_the_newest_and_the_named() {
        let (_folder, store) = store();
        for step in 1..=6 {
            save(&store, step);
        }
        store.prune(2, &[3]).unwrap();
        assert_eq!(store.steps().unwrap(), [3, 5, 6]);
        store.prune(2, &[3]).unwrap();
        assert_eq!(store.steps().unwrap(), [3, 5, 6]);
    }

    #[test]
    fn strange_entries_and_names_do_no_harm() {
        let (_folder, store) = store();
        save(&store, 7);
        fs::create_dir(store.folder.join("step-x")).unwrap();
        fs::create_dir(store.folder.join(".tmp-step-9")).unwrap();
        assert_eq!(store.steps().unwrap(), [7]);
        // A renamed checkpoint is not taken for another step's.
        fs::rename(store.path(7), store.path(70)).unwrap();
        let error = store.newest_intact().unwrap_err().to_string();
        assert!(error.contains("is that of step 7"), "{error}");
        // A manifest that points outside.
        save(&store, 8);
        let text = fs::read_to_string(store.path(8).join(MANIFEST)).unwrap();
        fs::write(
            store.path(8).join(MANIFEST),
            text.replace("state.json", "../state.json"),
        )
        .unwrap();
        assert!(
            store
                .verify(8)
                .unwrap_err()
                .problem
                .contains("outside the folder")
        );
    }
}
