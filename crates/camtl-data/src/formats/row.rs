//! What a format makes of a file.

use std::borrow::Cow;

use crate::spec::{Details, Fields, RowError, RowProblem};
use camtl_files::nearest;

/// Takes every row, in order, until it refuses one.
pub(crate) type Each<'e> =
    &'e mut dyn FnMut(Result<RawRow<'_>, Box<RowError>>) -> Result<(), Box<RowError>>;

/// What is read, and how.
pub(crate) struct Source<'a> {
    /// The file's name in messages.
    pub(crate) origin: &'a str,
    pub(crate) fields: &'a Fields,
    /// Whether a delimited file begins with column names.
    pub(crate) header: bool,
    /// Number of columns of a delimited file without a header.
    pub(crate) columns: Option<usize>,
    /// The task's labels.
    pub(crate) names: &'a [String],
    /// Whether a question may have no answer.
    pub(crate) no_answer: bool,
    pub(crate) labels: LabelUse,
}

/// Whether a row may come without a label.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LabelUse {
    Required,
    Optional,
}

impl LabelUse {
    /// Required where there is a field for it.
    pub(crate) fn of(fields: &Fields) -> Self {
        match fields.label {
            Some(_) => Self::Required,
            None => Self::Optional,
        }
    }
}

impl Source<'_> {
    /// The class that the task's labels give a name.
    pub(crate) fn class_of(&self, name: &str) -> Option<u32> {
        let at = self.names.iter().position(|other| other == name)?;
        u32::try_from(at).ok()
    }

    pub(crate) fn requires_labels(&self) -> bool {
        self.labels == LabelUse::Required
    }

    pub(crate) fn error(
        &self,
        line: u64,
        column: Option<String>,
        problem: RowProblem,
    ) -> Box<RowError> {
        Box::new(RowError {
            origin: self.origin.to_owned(),
            line,
            column,
            problem,
        })
    }
}

/// The cells of a row that the task file names.
#[derive(Default)]
pub(crate) struct RawRow<'a> {
    pub(crate) line: u64,
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) text_a: Cow<'a, str>,
    pub(crate) text_b: Option<Cow<'a, str>>,
    /// The label with the name of its column for messages.
    pub(crate) label: Option<(Cow<'a, str>, String)>,
    /// The cells of [`Fields::further`](crate::task::Fields::further).
    pub(crate) further: Vec<Cow<'a, str>>,
    /// What the format itself has beyond texts and a label.
    pub(crate) details: Details,
    /// Whether the details hold what is to be predicted.
    pub(crate) truth: bool,
    pub(crate) group: Option<u64>,
    /// Whether the row is a group by itself.
    pub(crate) own_group: bool,
}

/// The problem of a label that is none of the task's.
pub(crate) fn unknown_label(labels: &[String], text: &str) -> RowProblem {
    RowProblem::UnknownLabel {
        found: text.to_owned(),
        labels: labels.to_vec(),
        suggestion: nearest(text, labels.iter().map(String::as_str)).map(str::to_owned),
    }
}
