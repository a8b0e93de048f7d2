//! CoNLL files: a word per line with its tag in another column, a blank line after each sentence.
//!
//! Columns are separated by tabs where a line has one, else by spaces. Lines that begin with `-DOCSTART-` only divide
//! documents, and lines of nothing but white space only end sentences.

use std::borrow::Cow;

use super::delimited::lines;
use super::format::{Format, FormatFields, RowForm};
use super::row::{Each, RawRow, Source, unknown_label};
use crate::spec::Details;
use crate::spec::{Column, Fields, LAST_COLUMN};
use crate::spec::{RowError, RowProblem};

pub(super) const FORMAT: Format = Format {
    spelling: "conll",
    rows: RowForm::Sentences,
    fields: FormatFields::Named {
        default: Some(|| Fields {
            label: Some(Column::Name(LAST_COLUMN.to_owned())),
            ..Fields::new(Column::Index(0))
        }),
        problem: |_, field, column| match column {
            Column::Name(name) if field != "label" || name != LAST_COLUMN => Some(format!(
                "field `{field}` is column `{name}`, but CoNLL files name no columns; give a position from 0, or `last` for the column of tags"
            )),
            Column::Name(_) | Column::Index(_) => None,
        },
    },
    labels: None,
    evidence: None,
    read: for_each_row,
};

const DOCUMENT: &str = "-DOCSTART-";

/// Calls `each` with every sentence, in order, until it refuses one.
fn for_each_row(source: &Source<'_>, text: &str, each: Each<'_>) -> Result<(), Box<RowError>> {
    let mut sentence: Vec<(u64, &str)> = Vec::new();
    for (line, text) in lines(text).chain([(0, "")]) {
        if text.starts_with(DOCUMENT) {
            continue;
        }
        if !text.trim().is_empty() {
            sentence.push((line, text));
        } else if !sentence.is_empty() {
            each(row(source, &sentence))?;
            sentence.clear();
        }
    }
    Ok(())
}

/// A sentence; the problem of its first bad line.
fn row(source: &Source<'_>, sentence: &[(u64, &str)]) -> Result<RawRow<'static>, Box<RowError>> {
    let fields = source.fields;
    let mut words = Vec::with_capacity(sentence.len());
    let mut tags = Vec::with_capacity(sentence.len());
    let mut labelled = fields.label.is_some();
    for (line, text) in sentence {
        let columns: Vec<&str> = if text.contains('\t') {
            text.split('\t').collect()
        } else {
            text.split_ascii_whitespace().collect()
        };
        let cell = |column: &Column| {
            let at = match column {
                Column::Index(index) => *index,
                Column::Name(name) if name == LAST_COLUMN => columns.len() - 1,
                // Refused when the task file was read.
                Column::Name(_) => usize::MAX,
            };
            columns.get(at).copied().ok_or_else(|| {
                let columns = columns.len();
                let problem = RowProblem::NoSuchPosition { index: at, columns };
                source.error(*line, None, problem)
            })
        };
        words.push(cell(&fields.text_a)?.trim().to_owned());
        if let Some(column) = fields.label.as_ref().filter(|_| labelled) {
            // A word alone, without a tag, would else be its own tag.
            let tag = match (columns.len(), column) {
                (1, Column::Name(_)) => "",
                _ => cell(column)?.trim(),
            };
            let name = || Some(format!("of tags ({column})"));
            if tag.is_empty() {
                if source.requires_labels() {
                    return Err(source.error(*line, name(), RowProblem::EmptyLabel));
                }
                labelled = false;
                continue;
            }
            let class = source
                .class_of(tag)
                .ok_or_else(|| source.error(*line, name(), unknown_label(source.names, tag)))?;
            tags.push(class);
        }
    }
    Ok(RawRow {
        line: sentence.first().map_or(0, |(line, _)| *line),
        text_a: Cow::Owned(words.join(" ")),
        truth: labelled,
        details: Details::Words {
            words,
            tags: labelled.then_some(tags),
        },
        ..RawRow::default()
    })
}
