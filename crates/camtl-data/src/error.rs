//! Errors of reading, tokenising and caching data.

use std::path::PathBuf;

pub use crate::spec::{RowError, RowProblem};
use crate::suggest::{did_you_mean, one_of};
use crate::task::{TaskError, TaskSpec};
use crate::tokenize::TokenizerError;
use camtl_files::nearest;

/// Why a task's data could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be opened, read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), io_remedy(source))]
    Io {
        /// `"read"`, `"create the cache folder"`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A stream that is not a file (standard input) failed.
    #[error("cannot read {origin}: {source}")]
    Stream {
        /// What the stream was called by its reader.
        origin: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The task file itself.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The task has no such split.
    #[error("task `{task}` has no split `{split}`; its task file names {}{}", one_of(known), did_you_mean(suggestion.as_deref()))]
    UnknownSplit {
        /// The task.
        task: String,
        /// What was asked for.
        split: String,
        /// The splits it has.
        known: Vec<String>,
        /// The nearest of them.
        suggestion: Option<String>,
    },
    /// None of the task's files is there.
    #[error("task `{task}`: none of its files is below {}: looked for {}; check the data folder", data_dir.display(), one_of(looked_for))]
    NoFiles {
        /// The task.
        task: String,
        /// Where they were looked for.
        data_dir: PathBuf,
        /// Their paths below it.
        looked_for: Vec<String>,
    },
    /// A file without a single usable row.
    #[error("{origin}: no rows{}; expected at least one example", skipped_note(*skipped, *skipped_labels))]
    NoRows {
        /// The file.
        origin: String,
        /// Malformed rows that were left out.
        skipped: u64,
        /// Rows that were left out for their label.
        skipped_labels: u64,
    },
    /// A token cache that was just written cannot be read.
    #[error("token cache {}: {reason}; check the disk, or choose another cache folder", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is not what it was when it was encoded.
    #[error("{} was changed since it was encoded; load the task again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A row, a header or a value in it.
    #[error(transparent)]
    Row(#[from] Box<RowError>),
}

fn io_remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::NotFound => "; check the data folder and the path in the task file",
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; free some space, or choose another folder"
        }
        _ => "",
    }
}

fn skipped_note(malformed: u64, labels: u64) -> String {
    match (malformed, labels) {
        (0, 0) => String::new(),
        (n, 0) => format!(" but {n} malformed one(s)"),
        (0, n) => format!(" but {n} left out for their label (`skip_labels`)"),
        (n, m) => {
            format!(" but {n} malformed one(s) and {m} left out for their label (`skip_labels`)")
        }
    }
}
impl DataError {
    /// The error of a split that is not in the task file.
    pub(crate) fn unknown_split(spec: &TaskSpec, split: &str) -> Self {
        Self::UnknownSplit {
            task: spec.name.clone(),
            split: split.to_owned(),
            known: spec.files.keys().cloned().collect(),
            suggestion: nearest(split, spec.files.keys().map(String::as_str)).map(str::to_owned),
        }
    }
}
