//! Tasks described by data: what a TOML file says about a task's files, columns, labels and metrics.
//!
//! A task file is all that is needed to train on data of one's own:
//!
//! ```
//! use camtl_data::task::{TaskKind, TaskSpec};
//!
//! let spec = TaskSpec::from_toml(
//!     r#"
//!     name = "weather"
//!     kind = "classification"
//!     labels = ["dry", "wet"]
//!     metrics = ["accuracy"]
//!     format = "csv"
//!     fields = { text_a = "report", label = "sky" }
//!
//!     [files]
//!     train = "weather/train.csv"
//!     dev = "weather/dev.csv"
//!     test = { path = "weather/test.csv", labelled = false }
//!     "#,
//!     "weather.toml",
//! )?;
//! assert_eq!(spec.kind.num_outputs(), 2);
//! assert_eq!(spec.label_index("wet"), Some(1));
//! # Ok::<(), camtl_data::task::TaskError>(())
//! ```
//!
//! Misspelt keys, labels and metrics are refused with their line and the nearest known word.

mod file;
mod paths;
mod submission;
mod validate;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::metrics::{Evidence, MetricKind};
use crate::suggest::TomlProblem;

pub use crate::formats::FileFormat;
pub use crate::kinds::TaskKind;
pub use crate::spec::{Column, Fields, LAST_COLUMN, MentionColumns};
pub use file::TaskFile;
pub use submission::{Submission, SubmissionFormat};

/// Everything that is known about a task before its data is read.
///
/// Serialised, it has the form of a task file (see [`TaskFile`]), in TOML as well as in JSON; deserialising
/// makes the same checks as [`TaskSpec::from_toml`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TaskFile", into = "TaskFile")]
pub struct TaskSpec {
    /// Short identifier: ASCII letters, digits, `-`, `_` and `.`. It names the head, the cache files and the
    /// rows of every report.
    pub name: String,
    /// Full name for people.
    pub title: Option<String>,
    /// What is predicted.
    pub kind: TaskKind,
    /// Metrics in the order they are reported. The first is the one that early stopping and views with a single
    /// number use.
    pub metrics: Vec<MetricKind>,
    /// Format of every file whose split does not say otherwise.
    pub format: FileFormat,
    /// Whether delimited files begin with a row of column names.
    pub header: bool,
    /// Number of columns of delimited files without a header; when absent, the first row decides.
    pub columns: Option<usize>,
    /// Where texts, labels and keys are found in a row.
    pub fields: Fields,
    /// What to do with rows of the wrong shape.
    pub malformed_rows: MalformedRows,
    /// What stands for a second text: `{ cause = "because", effect = "so" }`. Where it is not empty, other second texts
    /// are errors.
    pub replace_text_b: BTreeMap<String, String>,
    /// How many tokens apart the windows of a long context begin, for spans; when absent, 128 and at most half a window.
    pub doc_stride: Option<usize>,
    /// Labels whose rows are left out and counted: SNLI writes `-` where the annotators did not agree.
    pub skip_labels: Vec<String>,
    /// Folder that a download of the task's collection makes (`glue`). The files are looked for below it first, then
    /// below the data folder itself.
    pub folder: Option<PathBuf>,
    /// The files, by split: `train`, `dev`, `dev_mismatched`, `test`, `test_mismatched`, ...
    pub files: BTreeMap<String, SplitSource>,
    /// How predictions are written for the server that scores the task.
    pub submission: Option<Submission>,
}

/// What to do with a row of the wrong shape: too few or too many columns, a blank line, a line that is no JSON.
///
/// Only shapes are meant. An unknown label, a score out of range or bad UTF-8 is always an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MalformedRows {
    /// Stop at the first one.
    #[default]
    Error,
    /// Leave them out, count them in [`ReadReport`](crate::reader::ReadReport), warn through `tracing`.
    Skip,
}

/// One split's file, and where it differs from the task's other files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitSource {
    /// Path below the data folder; an absolute path stands for itself.
    pub path: PathBuf,
    /// Format, if not the task's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<FileFormat>,
    /// Header, if not the task's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Number of columns, if not the task's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<usize>,
    /// Columns, if not the task's; replaces the task's `fields` as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
    /// Whether the file has labels (`true` when absent). Server test files have none.
    #[serde(skip_serializing_if = "is_true")]
    pub labelled: bool,
    /// Treatment of malformed rows, if not the task's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed_rows: Option<MalformedRows>,
    /// Metrics, if not the task's: diagnostics are scored by measures of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<MetricKind>>,
}

// Serde hands the field over by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_true(value: &bool) -> bool {
    *value
}

impl SplitSource {
    /// A file with the task's own format and fields.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            header: None,
            columns: None,
            fields: None,
            labelled: true,
            malformed_rows: None,
            metrics: None,
        }
    }
}

/// How a split is read once the task's settings and its own are put together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitLayout {
    /// File format.
    pub format: FileFormat,
    /// Whether a delimited file begins with column names.
    pub header: bool,
    /// Number of columns of a delimited file without a header.
    pub columns: Option<usize>,
    /// Columns; `label` is `None` for a split without labels.
    pub fields: Fields,
    /// Treatment of malformed rows.
    pub malformed_rows: MalformedRows,
    /// Labels whose rows are left out.
    pub skip_labels: Vec<String>,
    /// What stands for a second text.
    pub replace_text_b: BTreeMap<String, String>,
    /// How many tokens apart windows begin.
    pub doc_stride: Option<usize>,
}

/// A task file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The file could not be read.
    #[error("cannot read the task file {}: {source}", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, a value of the wrong type.
    #[error("{0}")]
    Toml(TomlProblem),
    /// Well-formed, but contradictory or incomplete.
    #[error("{origin}: task `{task}`: {problem}")]
    Invalid {
        /// File name, or what the text was called by its reader.
        origin: String,
        /// The task's name.
        task: String,
        /// What is wrong and what to do; several findings are joined by `; `.
        problem: String,
    },
}

impl TaskSpec {
    /// A task with TSV files that have a header, and no files yet; its fields are public for the rest.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        kind: TaskKind,
        metrics: Vec<MetricKind>,
        fields: Fields,
    ) -> Self {
        Self {
            name: name.into(),
            title: None,
            kind,
            metrics,
            format: FileFormat::Tsv,
            header: true,
            columns: None,
            fields,
            malformed_rows: MalformedRows::Error,
            replace_text_b: BTreeMap::new(),
            doc_stride: None,
            skip_labels: Vec::new(),
            folder: None,
            files: BTreeMap::new(),
            submission: None,
        }
    }

    /// Reads and checks a task file.
    ///
    /// # Errors
    /// When the file cannot be read or [`TaskSpec::from_toml`] refuses its text.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TaskError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| TaskError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads and checks the text of a task file; `origin` is its name in messages.
    ///
    /// # Errors
    /// Unknown, missing or mistyped keys (with line and the nearest known key), and everything that
    /// [`TaskSpec::validate`] refuses.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, TaskError> {
        let file: TaskFile = toml::from_str(text)
            .map_err(|error| TaskError::Toml(TomlProblem::new(text, origin, &error)))?;
        Self::from_file_form(file, origin)
    }

    /// The class of a label name; `None` for an unknown name and for regression.
    #[must_use]
    pub fn label_index(&self, label: &str) -> Option<u32> {
        let at = self.kind.labels().iter().position(|name| name == label)?;
        u32::try_from(at).ok()
    }

    /// The name of a class; `None` when there is no such class.
    #[must_use]
    pub fn label_name(&self, class: u32) -> Option<&str> {
        let at = usize::try_from(class).ok()?;
        self.kind.labels().get(at).map(String::as_str)
    }

    /// What metrics can compare where the files have this format.
    pub(crate) fn evidence(&self, format: FileFormat) -> Vec<Evidence> {
        let own = self.kind.evidence().iter().copied();
        own.chain(format.definition().evidence).collect()
    }

    /// How the file of `split` is read: its own settings where it has some, else the task's.
    #[must_use]
    pub fn layout(&self, split: &str) -> Option<SplitLayout> {
        let source = self.files.get(split)?;
        let format = source.format.unwrap_or(self.format);
        let mut fields = format
            .own_fields()
            .unwrap_or_else(|| source.fields.clone().unwrap_or_else(|| self.fields.clone()));
        if !source.labelled {
            fields.label = None;
        }
        Some(SplitLayout {
            format,
            header: source.header.unwrap_or(self.header),
            columns: source.columns.or(self.columns),
            fields,
            malformed_rows: source.malformed_rows.unwrap_or(self.malformed_rows),
            skip_labels: self.skip_labels.clone(),
            replace_text_b: self.replace_text_b.clone(),
            doc_stride: self.doc_stride,
        })
    }

    /// The task as one of its splits is scored: with the split's own metrics and format where it has some. A part that is
    /// held out of the training split ([`HOLDOUT`](crate::HOLDOUT)) is scored as that.
    #[must_use]
    pub fn of_split(&self, split: &str) -> Cow<'_, Self> {
        let held_out = (split == crate::HOLDOUT).then_some("train");
        let named = [Some(split), held_out];
        let Some(source) = named
            .into_iter()
            .flatten()
            .find_map(|split| self.files.get(split))
        else {
            return Cow::Borrowed(self);
        };
        if source.metrics.is_none() && source.format.is_none() {
            return Cow::Borrowed(self);
        }
        let mut spec = self.clone();
        if let Some(metrics) = &source.metrics {
            spec.metrics.clone_from(metrics);
        }
        spec.format = source.format.unwrap_or(self.format);
        Cow::Owned(spec)
    }

    /// Whether the task's texts come in pairs.
    #[must_use]
    pub fn is_pair(&self) -> bool {
        self.fields.text_b.is_some()
    }
}
