//! Questions on a context, whatever file they come from.

use std::borrow::Cow;
use std::ops::Range;

use super::row::{RawRow, Source};
use crate::spec::{Details, Question, RowError, RowProblem};
use crate::suggest::excerpt;

/// A question as the file has it.
pub(super) struct Read<'a> {
    pub(super) key: &'a str,
    pub(super) question: &'a str,
    pub(super) context: &'a str,
    pub(super) answers: Vec<String>,
}

/// The row of a question; its line is asked for only after a problem.
pub(super) fn row(
    source: &Source<'_>,
    line: impl Fn() -> u64,
    read: Read<'_>,
    spans: Result<Vec<Range<usize>>, RowProblem>,
) -> Result<RawRow<'static>, Box<RowError>> {
    let error = |problem| {
        let column = format!("answers of question `{}`", excerpt(read.key));
        source.error(line(), Some(column), problem)
    };
    let labelled = source.fields.label.is_some();
    let spans = if labelled {
        spans.map_err(error)?
    } else {
        Vec::new()
    };
    if labelled && source.requires_labels() && read.answers.is_empty() && !source.no_answer {
        return Err(error(RowProblem::NoAnswer));
    }
    Ok(RawRow {
        key: Some(Cow::Owned(read.key.to_owned())),
        text_a: Cow::Owned(read.question.to_owned()),
        text_b: Some(Cow::Owned(read.context.to_owned())),
        truth: labelled,
        own_group: true,
        details: Details::Question(Question {
            answers: if labelled { read.answers } else { Vec::new() },
            spans,
        }),
        ..RawRow::default()
    })
}
