//! From raw rows of any format to examples.

use std::borrow::Cow;

use super::{
    Details, Example, Label, ReadReport, conll, delimited, details, json_lines, multirc, record,
    squad,
};
use crate::error::{DataError, RowError, RowProblem};
use crate::task::{FileFormat, MalformedRows, SplitLayout, TaskKind, TaskSpec};
use camtl_files::nearest;

/// What is read, and how.
pub(super) struct Source<'a> {
    pub(super) spec: &'a TaskSpec,
    pub(super) layout: &'a SplitLayout,
    pub(super) origin: &'a str,
    pub(super) labels: LabelUse,
}

/// Whether a row may come without a label.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelUse {
    Required,
    Optional,
}

impl Source<'_> {
    pub(super) fn requires_labels(&self) -> bool {
        self.labels == LabelUse::Required
    }

    pub(super) fn error(
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
pub(super) struct RawRow<'a> {
    pub(super) line: u64,
    pub(super) key: Option<Cow<'a, str>>,
    pub(super) text_a: Cow<'a, str>,
    pub(super) text_b: Option<Cow<'a, str>>,
    /// The label with the name of its column for messages.
    pub(super) label: Option<(Cow<'a, str>, String)>,
    /// The cells of [`Fields::further`](crate::task::Fields::further).
    pub(super) further: Vec<Cow<'a, str>>,
    /// What the format itself has beyond texts and a label.
    pub(super) details: Details,
    /// Whether the details hold what is to be predicted.
    pub(super) truth: bool,
    pub(super) group: Option<u64>,
    /// Whether the row is a group by itself.
    pub(super) own_group: bool,
}

/// All examples of a file.
pub(super) fn read_rows(
    source: &Source<'_>,
    bytes: &[u8],
) -> Result<(Vec<Example>, ReadReport), DataError> {
    let text = decode(bytes, source.origin)?;
    let mut collected = Collected::new(source);
    for_each_row(source, text, |row| collected.push(row))?;
    Ok((collected.examples, collected.report))
}

/// Calls `each` with every row of a text, in order, until it refuses one.
pub(super) fn for_each_row(
    source: &Source<'_>,
    text: &str,
    each: impl FnMut(Result<RawRow<'_>, Box<RowError>>) -> Result<(), Box<RowError>>,
) -> Result<(), Box<RowError>> {
    match source.layout.format {
        FileFormat::Tsv | FileFormat::Csv => delimited::for_each_row(source, text, each),
        FileFormat::Jsonl => json_lines::for_each_row(source, text, each),
        FileFormat::MultiRc => multirc::for_each_row(source, text, each),
        FileFormat::Record => record::for_each_row(source, text, each),
        FileFormat::Squad => squad::for_each_squad_row(source, text, each),
        FileFormat::Mrqa => squad::for_each_mrqa_row(source, text, each),
        FileFormat::Conll => conll::for_each_row(source, text, each),
    }
}

/// The examples of the rows so far.
pub(super) struct Collected<'s> {
    source: &'s Source<'s>,
    pub(super) examples: Vec<Example>,
    pub(super) report: ReadReport,
}

impl<'s> Collected<'s> {
    pub(super) fn new(source: &'s Source<'s>) -> Self {
        Self {
            source,
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
                    && self.source.layout.malformed_rows == MalformedRows::Skip =>
            {
                tracing::debug!(%error, "malformed row left out");
                self.report.skipped_rows += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let skipped = |text: &str| {
            self.source
                .layout
                .skip_labels
                .iter()
                .any(|label| label == text)
        };
        let misplaced = |line, (column, problem)| self.source.error(line, Some(column), problem);
        let layout = self.source.layout;
        details::replace_text_b(&layout.replace_text_b, &layout.fields, &mut row)
            .map_err(|found| misplaced(row.line, found))?;
        if row.details == Details::None {
            row.details = details::from_cells(&layout.fields, &row)
                .map_err(|found| misplaced(row.line, found))?;
        }
        let label = match row.label {
            _ if row.truth => Some(Label::Structured),
            Some((text, _)) if skipped(&text) => {
                if self.source.labels == LabelUse::Required {
                    self.report.skipped_labels += 1;
                    return Ok(());
                }
                None
            }
            Some((text, _)) if text.is_empty() && self.source.labels == LabelUse::Optional => None,
            Some((text, column)) => {
                let label = parse_label(self.source.spec, &text)
                    .map_err(|problem| self.source.error(row.line, Some(column), problem))?;
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

fn parse_label(spec: &TaskSpec, text: &str) -> Result<Label, RowProblem> {
    if text.is_empty() {
        return Err(RowProblem::EmptyLabel);
    }
    match &spec.kind {
        TaskKind::Classification { .. }
        | TaskKind::MultipleChoice { .. }
        | TaskKind::SpanPair { .. } => spec
            .label_index(text)
            .map(Label::Class)
            .ok_or_else(|| unknown_label(spec, text)),
        TaskKind::Regression { min, max } => {
            let score = text
                .trim()
                .parse::<f32>()
                .ok()
                .filter(|score| score.is_finite());
            let score = score.ok_or_else(|| RowProblem::NotANumber {
                found: text.to_owned(),
            })?;
            if score < *min || score > *max {
                return Err(RowProblem::ScoreOutOfRange {
                    found: score,
                    min: *min,
                    max: *max,
                });
            }
            Ok(Label::Score(score))
        }
        // Their readers give the truth themselves.
        TaskKind::Tagging { .. } | TaskKind::Span { .. } => Ok(Label::Structured),
    }
}

pub(super) fn unknown_label(spec: &TaskSpec, text: &str) -> RowProblem {
    let labels = spec.kind.labels();
    RowProblem::UnknownLabel {
        found: text.to_owned(),
        labels: labels.to_vec(),
        suggestion: nearest(text, labels.iter().map(String::as_str)).map(str::to_owned),
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
