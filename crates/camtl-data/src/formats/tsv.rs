//! TSV without any quoting.

use std::borrow::Cow;

use super::delimited::{column_problem, lines, rows_of};
use super::format::{Format, FormatFields, RowForm};

pub(super) const FORMAT: Format = Format {
    spelling: "tsv",
    rows: RowForm::Cells,
    fields: FormatFields::Named {
        default: None,
        problem: column_problem,
    },
    labels: None,
    evidence: None,
    read: |source, text, each| {
        let records = lines(text)
            .map(|(line, text)| (line, Ok(text.split('\t').map(Cow::Borrowed).collect())));
        rows_of(source, records, '\t', each)
    },
};
