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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::metrics::MetricKind;
use crate::suggest::{TomlProblem, nearest, one_of};

pub use file::TaskFile;

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
    /// The files, by split: `train`, `dev`, `dev_mismatched`, `test`, `test_mismatched`, ...
    pub files: BTreeMap<String, SplitSource>,
    /// How predictions are written for the server that scores the task.
    pub submission: Option<Submission>,
}

/// What a task predicts from a text or a pair of texts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TaskKind {
    /// One of several labels. Class `i` is the i-th name.
    Classification {
        /// Label names as the data spells them.
        labels: Vec<String>,
    },
    /// A score.
    Regression {
        /// Smallest score that may occur.
        min: f32,
        /// Largest score that may occur.
        max: f32,
    },
}

impl TaskKind {
    /// Width of the task's output layer: the number of classes, or 1 for a score.
    #[must_use]
    pub fn num_outputs(&self) -> usize {
        match self {
            Self::Classification { labels } => labels.len(),
            Self::Regression { .. } => 1,
        }
    }

    /// Whether a score is predicted (trained with squared error).
    #[must_use]
    pub fn is_regression(&self) -> bool {
        matches!(self, Self::Regression { .. })
    }

    /// Label names; empty for regression.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Classification { labels } => labels,
            Self::Regression { .. } => &[],
        }
    }
}

/// Layout of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileFormat {
    /// Tab-separated, one row per line, no quoting at all: a quote is a character like any other (GLUE).
    Tsv,
    /// Comma-separated with quoted fields, doubled quotes and line breaks inside quotes (RFC 4180).
    Csv,
    /// One JSON object per line.
    Jsonl,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tsv => "tsv",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        })
    }
}

/// A column of a row: by name (the header's, or a JSON key) or by position from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Column {
    /// Name in the header, key of a JSON object, or, beginning with `/`, a JSON pointer to a nested value.
    Name(String),
    /// Position, counted from 0.
    Index(usize),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// Where a row holds what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// The first (or only) text.
    pub text_a: Column,
    /// The second text of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_b: Option<Column>,
    /// Label name or score. Needed unless no split has labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// The file's own identifier of the row, kept as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Column>,
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
    /// Path below the data folder.
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
}

/// Files for the server that scores a task's test splits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// File name by split, as the server expects it.
    pub files: BTreeMap<String, String>,
    /// The server's spelling of labels it spells otherwise than the data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Submission {
    /// The server's spelling of a label name.
    #[must_use]
    pub fn spelling<'a>(&'a self, label: &'a str) -> &'a str {
        self.labels.get(label).map_or(label, String::as_str)
    }
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
        /// What is wrong and what to do.
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

    /// How the file of `split` is read: its own settings where it has some, else the task's.
    #[must_use]
    pub fn layout(&self, split: &str) -> Option<SplitLayout> {
        let source = self.files.get(split)?;
        let mut fields = source.fields.clone().unwrap_or_else(|| self.fields.clone());
        if !source.labelled {
            fields.label = None;
        }
        Some(SplitLayout {
            format: source.format.unwrap_or(self.format),
            header: source.header.unwrap_or(self.header),
            columns: source.columns.or(self.columns),
            fields,
            malformed_rows: source.malformed_rows.unwrap_or(self.malformed_rows),
        })
    }

    /// Whether the task's texts come in pairs.
    #[must_use]
    pub fn is_pair(&self) -> bool {
        self.fields.text_b.is_some()
    }

    /// Checks what the types cannot: names, labels, ranges, metrics against the kind, columns against the format.
    ///
    /// # Errors
    /// The first contradiction, in words; `origin` is the task's source in the message.
    pub fn validate(&self, origin: &str) -> Result<(), TaskError> {
        self.problem().map_or(Ok(()), |problem| {
            Err(TaskError::Invalid {
                origin: origin.to_owned(),
                task: self.name.clone(),
                problem,
            })
        })
    }

    fn problem(&self) -> Option<String> {
        name_problem("name", &self.name)
            .or_else(|| self.kind_problem())
            .or_else(|| self.metrics_problem())
            .or_else(|| self.files_problem())
            .or_else(|| self.submission_problem())
    }

    fn kind_problem(&self) -> Option<String> {
        match &self.kind {
            TaskKind::Classification { labels } => {
                if labels.len() < 2 {
                    return Some(format!(
                        "`labels` names {} label(s); classification needs at least two",
                        labels.len()
                    ));
                }
                let mut seen = BTreeSet::new();
                for label in labels {
                    if label.is_empty() {
                        return Some("`labels` holds an empty name".to_owned());
                    }
                    if !seen.insert(label) {
                        return Some(format!("`labels` names `{label}` twice"));
                    }
                }
                None
            }
            TaskKind::Regression { min, max } => {
                let sound = min.is_finite() && max.is_finite() && min < max;
                (!sound).then(|| {
                    format!(
                        "`range` is [{min}, {max}]; expected two finite numbers, the smaller first"
                    )
                })
            }
        }
    }

    fn metrics_problem(&self) -> Option<String> {
        if self.metrics.is_empty() {
            return Some(
                "`metrics` is empty; name at least one (the first drives early stopping)"
                    .to_owned(),
            );
        }
        let regression = self.kind.is_regression();
        let fitting = || {
            one_of(
                MetricKind::ALL
                    .iter()
                    .filter(|metric| metric.compares_scores() == regression)
                    .map(|metric| metric.name()),
            )
        };
        let mut seen = BTreeSet::new();
        for metric in &self.metrics {
            if metric.compares_scores() != regression {
                let kind = if regression {
                    "regression"
                } else {
                    "classification"
                };
                return Some(format!(
                    "metric `{metric}` does not fit {kind}; use {}",
                    fitting()
                ));
            }
            if *metric == MetricKind::F1 && self.kind.num_outputs() != 2 {
                return Some(format!(
                    "metric `f1` is that of the second of two labels, but the task has {}; use `macro-f1`",
                    self.kind.num_outputs()
                ));
            }
            if !seen.insert(*metric) {
                return Some(format!("`metrics` names `{metric}` twice"));
            }
        }
        None
    }

    fn files_problem(&self) -> Option<String> {
        for (split, source) in &self.files {
            if let Some(problem) = name_problem("split", split) {
                return Some(problem);
            }
            if source.path.as_os_str().is_empty() {
                return Some(format!("files.{split}: the path is empty"));
            }
            let Some(layout) = self.layout(split) else {
                continue;
            };
            if source.labelled && layout.fields.label.is_none() {
                return Some(format!(
                    "files.{split}: no `label` among its fields; name the column, or write `labelled = false`"
                ));
            }
            let fields = &layout.fields;
            let named = [
                ("text_a", Some(&fields.text_a)),
                ("text_b", fields.text_b.as_ref()),
                ("label", fields.label.as_ref()),
                ("key", fields.key.as_ref()),
            ];
            for (field, column) in named {
                let Some(column) = column else { continue };
                match (layout.format, layout.header, column) {
                    (FileFormat::Jsonl, _, Column::Index(index)) => {
                        return Some(format!(
                            "files.{split}: field `{field}` is position {index}, but JSON objects have keys; give a name"
                        ));
                    }
                    (FileFormat::Tsv | FileFormat::Csv, false, Column::Name(name)) => {
                        return Some(format!(
                            "files.{split}: field `{field}` is column `{name}`, but the file has no header (`header = false`); give a position from 0"
                        ));
                    }
                    (FileFormat::Tsv | FileFormat::Csv, false, Column::Index(index))
                        if layout.columns.is_some_and(|columns| *index >= columns) =>
                    {
                        return Some(format!(
                            "files.{split}: field `{field}` is position {index} (from 0), but `columns` says there are {}",
                            layout.columns.unwrap_or_default()
                        ));
                    }
                    _ => {}
                }
            }
        }
        None
    }

    fn submission_problem(&self) -> Option<String> {
        let submission = self.submission.as_ref()?;
        for (split, name) in &submission.files {
            if !self.files.contains_key(split) {
                let hint = nearest(split, self.files.keys().map(String::as_str))
                    .map_or(String::new(), |near| format!(" (did you mean `{near}`?)"));
                return Some(format!(
                    "submission.files names split `{split}`, which is not among `files`{hint}"
                ));
            }
            let plain = Path::new(name)
                .file_name()
                .is_some_and(|file| file == name.as_str());
            if !plain {
                return Some(format!(
                    "submission.files.{split}: `{name}` must be a file name without folders"
                ));
            }
        }
        for label in submission.labels.keys() {
            if self.label_index(label).is_none() {
                return Some(format!(
                    "submission.labels spells `{label}`, which is not a label; expected {}",
                    one_of(self.kind.labels())
                ));
            }
        }
        None
    }
}

/// Task and split names become file names and keys of reports, so their alphabet is small.
fn name_problem(what: &str, name: &str) -> Option<String> {
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (!plain).then(|| {
        format!("{what} `{name}`: expected ASCII letters, digits, `-`, `_` or `.`, not beginning with a dot")
    })
}
