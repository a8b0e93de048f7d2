//! `download.json`: what was fetched from where, with which SHA-256, and whether that was pinned.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::hash;
use crate::workspace::shown;

/// The file's name, in the folder of a collection or a model.
pub const FILE_NAME: &str = "download.json";

/// The record of one folder: data sets (or a model) by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record(pub BTreeMap<String, Entry>);

/// What is known of one data set or model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was downloaded.
    pub sources: Vec<SourceEntry>,
    /// The files it became, by path relative to its folder.
    pub files: BTreeMap<String, FileEntry>,
}

/// One downloaded file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEntry {
    /// Address or path.
    pub from: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// True if the SHA-256 was known beforehand and compared; false if it was only noted.
    pub verified: bool,
}

/// One resulting file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its SHA-256.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

impl Entry {
    /// Hashes the files of `folder` into the record.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn hash_files(&mut self, folder: &Path, files: &[&str]) -> anyhow::Result<()> {
        for name in files {
            let path = folder.join(name);
            let open =
                fs::File::open(&path).with_context(|| format!("cannot open {}", shown(&path)))?;
            let (sha256, bytes) =
                hash::of_reader(open).with_context(|| format!("cannot read {}", shown(&path)))?;
            self.files
                .insert((*name).to_owned(), FileEntry { sha256, bytes });
        }
        Ok(())
    }
}

/// Adds or replaces one entry in the record of `folder`.
///
/// # Errors
/// If the record cannot be written. A damaged record is replaced.
pub fn note(folder: &Path, name: &str, entry: Entry) -> anyhow::Result<()> {
    let path = folder.join(FILE_NAME);
    let mut record: Record = fs::read(&path)
        .ok()
        .and_then(|b| serde_json::from_slice(&b).ok())
        .unwrap_or_default();
    record.0.insert(name.to_owned(), entry);
    let mut text = serde_json::to_vec_pretty(&record)?;
    text.push(b'\n');
    disk::write_atomically(&path, &text)
}
