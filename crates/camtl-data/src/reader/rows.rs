//! From raw rows of any format to examples.

use std::borrow::Cow;

use super::details;
use super::report::ReadReport;
use crate::error::{DataError, RowError, RowProblem};
use crate::formats::{LabelUse, RawRow, Source};
use crate::spec::{Details, Example, Label};
use crate::task::{MalformedRows, SplitLayout, TaskSpec};

/// A split as it is read.
pub(super) struct Reading<'a> {
    spec: &'a TaskSpec,
    layout: &'a SplitLayout,
    pub(super) source: Source<'a>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        spec: &'a TaskSpec,
        layout: &'a SplitLayout,
        origin: &'a str,
        labels: LabelUse,
    ) -> Self {
        let source = Source {
            origin,
            fields: &layout.fields,
            header: layout.header,
            columns: layout.columns,
            names: spec.kind.labels(),
            no_answer: spec.kind.no_answer().unwrap_or(false),
            labels,
        };
        Self {
            spec,
            layout,
            source,
        }
    }
}

/// All examples of a file.
pub(super) fn read_rows(
    reading: &Reading<'_>,
    bytes: &[u8],
) -> Result<(Vec<Example>, ReadReport), DataError> {
    let text = decode(bytes, reading.source.origin)?;
    let mut collected = Collected::new(reading);
    (reading.layout.format.definition().read)(&reading.source, text, &mut |row| {
        collected.push(row)
    })?;
    Ok((collected.examples, collected.report))
}

/// The examples of the rows so far.
pub(super) struct Collected<'s> {
    reading: &'s Reading<'s>,
    pub(super) examples: Vec<Example>,
    pub(super) report: ReadReport,
}

impl<'s> Collected<'s> {
    pub(super) fn new(reading: &'s Reading<'s>) -> Self {
        Self {
            reading,
            examples: Vec::new(),
            report: ReadReport::default(),
        }
    }

    /// Adds a row; its problem, if it has one.
    pub(super) fn push(
        &mut self,
        row: Result<RawRow<'_>, Box<RowError>>,
    ) -> Result<(), Box<RowError>> {
        let id = self.report.rows;
        self.report.rows += 1;
        let mut row = match row {
            Ok(row) => row,
            Err(error)
                if error.problem.is_malformed_row()
                    && self.reading.layout.malformed_rows == MalformedRows::Skip =>
            {
                tracing::debug!(%error, "malformed row left out");
                self.report.skipped_rows += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let skipped = |text: &str| {
            self.reading
                .layout
                .skip_labels
                .iter()
                .any(|label| label == text)
        };
        let misplaced =
            |line, (column, problem)| self.reading.source.error(line, Some(column), problem);
        let layout = self.reading.layout;
        details::replace_text_b(&layout.replace_text_b, &layout.fields, &mut row)
            .map_err(|found| misplaced(row.line, found))?;
        if row.details == Details::None {
            row.details = details::from_cells(&layout.fields, &row)
                .map_err(|found| misplaced(row.line, found))?;
        }
        let label = match row.label {
            _ if row.truth => Some(Label::Structured),
            Some((text, _)) if skipped(&text) => {
                if self.reading.source.labels == LabelUse::Required {
                    self.report.skipped_labels += 1;
                    return Ok(());
                }
                None
            }
            Some((text, _))
                if text.is_empty() && self.reading.source.labels == LabelUse::Optional =>
            {
                None
            }
            Some((text, column)) => {
                let label = match text.is_empty() {
                    true => Err(RowProblem::EmptyLabel),
                    false => self.reading.spec.kind.parse_label(&text),
                };
                let label = label.map_err(|problem| {
                    self.reading.source.error(row.line, Some(column), problem)
                })?;
                Some(label)
            }
            None => None,
        };
        let empty = |text: &str| u64::from(text.is_empty());
        self.report.empty_texts += empty(&row.text_a) + row.text_b.as_deref().map_or(0, empty);
        self.examples.push(Example {
            id,
            key: row.key.map(Cow::into_owned),
            text_a: row.text_a.into_owned(),
            text_b: row.text_b.map(Cow::into_owned),
            label,
            group: row.group.or_else(|| row.own_group.then_some(id)),
            details: row.details,
        });
        Ok(())
    }
}

/// The text of a file: UTF-8, without a byte order mark.
pub(super) fn decode<'a>(bytes: &'a [u8], origin: &str) -> Result<&'a str, Box<RowError>> {
    let problem = |line, column, problem| {
        Box::new(RowError {
            origin: origin.to_owned(),
            line,
            column,
            problem,
        })
    };
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(problem(1, None, RowProblem::Utf16));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let before = &bytes[..at];
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let tabs = before[line_start..]
            .iter()
            .filter(|byte| **byte == b'\t')
            .count();
        let column = (tabs > 0).then(|| format!("at position {tabs}"));
        let value = bytes.get(at).copied().unwrap_or_default();
        problem(
            line,
            column,
            RowProblem::InvalidUtf8 {
                byte: at - line_start + 1,
                value,
            },
        )
    })
}
