//! What was noticed on the way.

use crate::spec::Example;

/// What was noticed while a file was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Data rows in the file, those that were left out included.
    pub rows: u64,
    /// Malformed rows left out because the task file says `malformed_rows = "skip"`.
    pub skipped_rows: u64,
    /// Rows left out because their label is one of the task file's `skip_labels`.
    pub skipped_labels: u64,
    /// Texts without a single character among the examples.
    pub empty_texts: u64,
}

impl ReadReport {
    /// The report of examples that did not come from a file.
    #[must_use]
    pub fn of(examples: &[Example]) -> Self {
        let empty = |example: &Example| {
            u64::from(example.text_a.is_empty())
                + u64::from(example.text_b.as_ref().is_some_and(String::is_empty))
        };
        Self {
            rows: examples.len() as u64,
            skipped_rows: 0,
            skipped_labels: 0,
            empty_texts: examples.iter().map(empty).sum(),
        }
    }
}
