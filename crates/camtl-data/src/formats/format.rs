//! What the file of a format says about it.

use super::row::{Each, Source};
use crate::metrics::Evidence;
use crate::spec::{Column, Fields, RowError};

/// A format of data files.
pub(crate) struct Format {
    /// Its name in task files.
    pub(crate) spelling: &'static str,
    /// What its rows are; kinds of tasks say which they can use.
    pub(crate) rows: RowForm,
    /// The columns of its rows.
    pub(crate) fields: FormatFields,
    /// The labels that a task must have, if the format has labels of its own.
    pub(crate) labels: Option<&'static [&'static str]>,
    /// What it adds to what metrics can compare.
    pub(crate) evidence: Option<Evidence>,
    /// Calls back with every row of a text, in order, until one is refused.
    pub(crate) read: fn(&Source<'_>, &str, Each<'_>) -> Result<(), Box<RowError>>,
}

/// What the rows of a format are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowForm {
    /// Cells, which the task file names.
    Cells,
    /// Pairs of texts that are right or wrong.
    Judgements,
    /// Sentences in words with tags.
    Sentences,
    /// Questions on a context.
    Questions,
}

/// Which columns the rows of a format have.
pub(crate) enum FormatFields {
    /// Those that the task file names; `problem` finds what the format cannot have.
    Named {
        /// Those of a task file that names none.
        default: Option<fn() -> Fields>,
        /// What is wrong with the column of a field.
        problem: fn(&Header, field: &str, column: &Column) -> Option<String>,
    },
    /// Always these.
    Own(fn() -> Fields),
}

/// How the columns of a file are known.
pub(crate) struct Header {
    /// Whether a delimited file begins with column names.
    pub(crate) header: bool,
    /// Number of columns of a delimited file without a header.
    pub(crate) columns: Option<usize>,
}

impl Format {
    pub(crate) fn is_called(&self, name: &str) -> bool {
        name == self.spelling
    }

    /// What is wrong with the column of a field.
    pub(crate) fn column_problem(
        &self,
        header: &Header,
        field: &str,
        column: &Column,
    ) -> Option<String> {
        match self.fields {
            FormatFields::Named { problem, .. } => problem(header, field, column),
            FormatFields::Own(_) => None,
        }
    }
}
