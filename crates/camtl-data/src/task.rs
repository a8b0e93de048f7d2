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
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::encoded::{IGNORED, UNKNOWN};
use crate::metrics::MetricKind;
use crate::suggest::TomlProblem;

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

/// What a task predicts.
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
    /// One of several texts that the example itself brings along. Every option is a sequence of its own, and the
    /// probabilities are over the options of one example.
    MultipleChoice {
        /// How the data spells the options, in order: `["0", "1"]`, `["A", "B", "C", "D"]`.
        labels: Vec<String>,
    },
    /// A tag for every word.
    Tagging {
        /// Tags as the data spells them. Words cut off by truncation count as tagged with the first, which for entities
        /// is `O`.
        labels: Vec<String>,
    },
    /// A span of the context that answers the question. The unit is a window of the context: a question with a long
    /// context is several examples.
    Span {
        /// Whether there may be no answer (SQuAD v2).
        no_answer: bool,
    },
    /// One of several labels for a pair of mentions marked in the text.
    SpanPair {
        /// Label names as the data spells them.
        labels: Vec<String>,
    },
}

impl TaskKind {
    /// The name in task files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classification { .. } => "classification",
            Self::Regression { .. } => "regression",
            Self::MultipleChoice { .. } => "multiple-choice",
            Self::Tagging { .. } => "tagging",
            Self::Span { .. } => "span",
            Self::SpanPair { .. } => "span-pair",
        }
    }

    /// Width of the task's output layer: the number of classes or tags, 1 for a score or for the fitness of an option,
    /// 2 for the start and the end of a span.
    #[must_use]
    pub fn num_outputs(&self) -> usize {
        match self {
            Self::Classification { labels }
            | Self::Tagging { labels }
            | Self::SpanPair { labels } => labels.len(),
            Self::Regression { .. } | Self::MultipleChoice { .. } => 1,
            Self::Span { .. } => 2,
        }
    }

    /// Number of alternatives `C` whose logarithm is the largest uncertainty: classes, tags or options, 2 for a span
    /// (whose uncertainty is brought to the scale of ln 2), 1 for a score.
    #[must_use]
    pub fn num_alternatives(&self) -> usize {
        match self {
            Self::MultipleChoice { labels } => labels.len(),
            other => other.num_outputs(),
        }
    }

    /// Sequences of an example: the options of a multiple choice, else 1.
    #[must_use]
    pub fn sequences_per_example(&self) -> usize {
        match self {
            Self::MultipleChoice { labels } => labels.len(),
            _ => 1,
        }
    }

    /// Whether a score is predicted (trained with squared error).
    #[must_use]
    pub fn is_regression(&self) -> bool {
        matches!(self, Self::Regression { .. })
    }

    /// Whether `extra` can be what this kind adds to an example of `length` tokens
    /// ([`EncodedExample::extra`](crate::EncodedExample::extra)).
    #[must_use]
    pub fn accepts_extra(&self, extra: &[i32], length: usize) -> bool {
        let index = |value: i32| usize::try_from(value).is_ok_and(|at| at < length);
        match self {
            Self::Classification { .. } | Self::Regression { .. } => extra.is_empty(),
            Self::MultipleChoice { labels } => {
                extra.len() == labels.len()
                    && extra.iter().all(|tokens| *tokens > 0)
                    && extra.iter().map(|tokens| i64::from(*tokens)).sum::<i64>() == length as i64
            }
            Self::Tagging { labels } => {
                let tag = |value: i32| {
                    matches!(value, IGNORED | UNKNOWN)
                        || usize::try_from(value).is_ok_and(|tag| tag < labels.len())
                };
                extra.len() == length && extra.iter().all(|value| tag(*value))
            }
            Self::Span { .. } => match *extra {
                [start, end, first, last] => {
                    let answer = first <= start && start <= end && end <= last;
                    index(first)
                        && index(last)
                        && first <= last
                        && (answer || start == 0 && end == 0)
                }
                _ => false,
            },
            Self::SpanPair { .. } => match *extra {
                [a, b, c, d] => [(a, b), (c, d)]
                    .into_iter()
                    .all(|(start, end)| start < end && index(start) && index(end - 1)),
                _ => false,
            },
        }
    }

    /// Names of labels, tags or options; empty for regression and spans.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Classification { labels }
            | Self::MultipleChoice { labels }
            | Self::Tagging { labels }
            | Self::SpanPair { labels } => labels,
            Self::Regression { .. } | Self::Span { .. } => &[],
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
    /// `MultiRC` of `SuperGLUE`: one passage per line, its questions and their answers nested in it. Every answer is a
    /// row; its fields are those of [`Fields::multirc`].
    #[serde(rename = "multirc")]
    MultiRc,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tsv => "tsv",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::MultiRc => "multirc",
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

impl Fields {
    /// The fields of [`FileFormat::MultiRc`]: the passage, question and answer with a space between them, whether the
    /// answer is right (`0`, `1`), and the key `passage-question-answer` made of the file's three `idx` values.
    #[must_use]
    pub fn multirc() -> Self {
        let name = |name: &str| Column::Name(name.to_owned());
        Self {
            text_a: name("passage"),
            text_b: Some(name("question_answer")),
            label: Some(name("label")),
            key: Some(name("idx")),
        }
    }
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
    /// Labels whose rows are left out.
    pub skip_labels: Vec<String>,
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

    /// How the file of `split` is read: its own settings where it has some, else the task's.
    #[must_use]
    pub fn layout(&self, split: &str) -> Option<SplitLayout> {
        let source = self.files.get(split)?;
        let format = source.format.unwrap_or(self.format);
        let mut fields = if format == FileFormat::MultiRc {
            Fields::multirc()
        } else {
            source.fields.clone().unwrap_or_else(|| self.fields.clone())
        };
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
        })
    }

    /// Whether the task's texts come in pairs.
    #[must_use]
    pub fn is_pair(&self) -> bool {
        self.fields.text_b.is_some()
    }
}
