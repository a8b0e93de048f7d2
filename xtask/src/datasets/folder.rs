//! A local folder as the source: official archives, or files already in the official layout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::catalogue::{DataSet, Source};
use crate::disk::writing;
use crate::workspace::shown;

/// What a folder offers for a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// The official download of every source.
    Sources(Vec<PathBuf>),
    /// Files in the official layout; `missing` are not there.
    Files {
        /// Name and path of those that are there.
        found: Vec<(&'static str, PathBuf)>,
        /// Names of those that are not.
        missing: Vec<&'static str>,
    },
    /// Neither.
    Nothing,
}

/// Looks for a data set in a folder: `CoLA.zip`, or `CoLA/train.tsv` (also below `glue/`).
pub fn look(folder: &Path, set: &DataSet) -> Offer {
    let sources: Vec<PathBuf> = set
        .sources
        .iter()
        .filter_map(|source| archive_in(folder, source))
        .collect();
    if sources.len() == set.sources.len() {
        return Offer::Sources(sources);
    }
    // The collection's folder itself, the folder above it, or the data set's folder.
    let last = Path::new(set.folder).file_name().unwrap_or_default();
    for base in [folder.join(set.folder), folder.join(last)] {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in set.files {
            let path = base.join(name);
            if path.is_file() {
                found.push((*name, path))
            } else {
                missing.push(*name)
            }
        }
        if !found.is_empty() {
            return Offer::Files { found, missing };
        }
    }
    Offer::Nothing
}

/// `train/SQuAD.jsonl.gz` before `SQuAD.jsonl.gz`: two sources may share their last name.
fn archive_in(folder: &Path, source: &Source) -> Option<PathBuf> {
    let parts: Vec<&str> = source.url.rsplit('/').take(2).collect();
    let two = parts.iter().rev().collect::<PathBuf>();
    [folder.join(two), folder.join(source.file_name())]
        .into_iter()
        .find(|p| p.is_file())
}

/// Copies a file, naming both ends if that fails.
///
/// # Errors
/// If the source cannot be read or the target not be written.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(parent) = to.parent() {
        writing(fs::create_dir_all(parent), parent)?;
    }
    let mut reader =
        fs::File::open(from).with_context(|| format!("cannot open {}", shown(from)))?;
    let mut writer = writing(fs::File::create(to), to)?;
    writing(std::io::copy(&mut reader, &mut writer), to)
        .with_context(|| format!("cannot copy {}", shown(from)))?;
    writing(writer.sync_all(), to)
}
