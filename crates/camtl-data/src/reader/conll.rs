//! CoNLL files: a word per line with its tag in another column, a blank line after each sentence.
//!
//! Columns are separated by tabs where a line has one, else by spaces. Lines that begin with `-DOCSTART-` only divide
//! documents, and lines of nothing but white space only end sentences.

use std::borrow::Cow;

use super::delimited::lines;
use super::example::Details;
use super::rows::{RawRow, Source, unknown_label};
use crate::error::{RowError, RowProblem};
use crate::task::{Column, LAST_COLUMN};

const DOCUMENT: &str = "-DOCSTART-";

/// Calls `each` with every sentence, in order, until it refuses one.
pub(super) fn for_each_row(
    source: &Source<'_>,
    text: &str,
    mut each: impl FnMut(Result<RawRow<'_>, Box<RowError>>) -> Result<(), Box<RowError>>,
) -> Result<(), Box<RowError>> {
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
    let fields = &source.layout.fields;
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
            let class = (source.spec.label_index(tag))
                .ok_or_else(|| source.error(*line, name(), unknown_label(source.spec, tag)))?;
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
