//! Questions on paragraphs: the JSON of SQuAD v1.1 and v2, and the JSON Lines of the MRQA shared task.
//!
//! SQuAD is one document, mostly in a single line; a problem is told with the question's `id` and the line where that
//! stands. MRQA has a line of its own for the header and for each paragraph.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use super::characters::Characters;
use super::delimited::lines;
use super::example::{Details, Question};
use super::rows::{RawRow, Source};
use crate::error::{RowError, RowProblem};
use crate::suggest::excerpt;
use crate::task::TaskKind;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    data: Vec<Article<'a>>,
}

#[derive(Deserialize)]
struct Article<'a> {
    #[serde(borrow)]
    paragraphs: Vec<Paragraph<'a>>,
}

#[derive(Deserialize)]
struct Paragraph<'a> {
    #[serde(borrow)]
    context: Cow<'a, str>,
    #[serde(borrow)]
    qas: Vec<SquadQuestion<'a>>,
}

#[derive(Deserialize)]
struct SquadQuestion<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    question: Cow<'a, str>,
    #[serde(borrow, default)]
    answers: Vec<SquadAnswer<'a>>,
}

#[derive(Deserialize)]
struct SquadAnswer<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    answer_start: usize,
}

/// Calls `each` with every question of a SQuAD file, in order, until it refuses one.
pub(super) fn for_each_squad_row(
    source: &Source<'_>,
    text: &str,
    mut each: impl FnMut(Result<RawRow<'_>, Box<RowError>>) -> Result<(), Box<RowError>>,
) -> Result<(), Box<RowError>> {
    let document: Document<'_> = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            let problem = RowProblem::Document {
                expected: "SQuAD's JSON",
                reason: error.to_string(),
            };
            return each(Err(source.error(error.line() as u64, None, problem)));
        }
    };
    for paragraph in document.data.iter().flat_map(|article| &article.paragraphs) {
        let context = Characters::new(&paragraph.context);
        for question in &paragraph.qas {
            // Looked for only after a problem: a file has many questions and often a single, long line.
            let line = || line_of(text, &question.id);
            let spans = (question.answers.iter())
                .map(|answer| squad_span(&context, answer))
                .collect::<Result<Vec<_>, _>>();
            let answers = (question.answers.iter())
                .map(|answer| answer.text.clone().into_owned())
                .collect();
            let read = Read {
                key: &question.id,
                question: &question.question,
                context: &paragraph.context,
                answers,
            };
            each(row(source, line, read, spans))?;
        }
    }
    Ok(())
}

/// The place of an answer, which must stand where the file says.
fn squad_span(
    context: &Characters<'_>,
    answer: &SquadAnswer<'_>,
) -> Result<Range<usize>, RowProblem> {
    let start = context.byte(answer.answer_start);
    let there = |start: &usize| context.text[*start..].starts_with(&*answer.text);
    match start.filter(there) {
        Some(start) => Ok(start..start + answer.text.len()),
        None => Err(RowProblem::AnswerNotThere {
            answer: answer.text.clone().into_owned(),
            at: answer.answer_start,
            found: start.map(|start| context.text[start..].chars().take(40).collect()),
        }),
    }
}

/// The line of a question, found by its quoted id; the first line if the id is spelled with escapes.
fn line_of(text: &str, id: &str) -> u64 {
    let at = text.find(&format!("\"{id}\"")).unwrap_or(0);
    text[..at].bytes().filter(|byte| *byte == b'\n').count() as u64 + 1
}

#[derive(Deserialize)]
struct MrqaLine<'a> {
    #[serde(borrow)]
    context: Cow<'a, str>,
    #[serde(borrow)]
    qas: Vec<MrqaQuestion<'a>>,
}

#[derive(Deserialize)]
struct MrqaQuestion<'a> {
    #[serde(borrow)]
    qid: Cow<'a, str>,
    #[serde(borrow)]
    question: Cow<'a, str>,
    #[serde(borrow, default)]
    answers: Vec<Cow<'a, str>>,
    #[serde(default)]
    detected_answers: Vec<DetectedAnswer>,
}

#[derive(Deserialize)]
struct DetectedAnswer {
    /// First and last character of each place, both inclusive.
    char_spans: Vec<[usize; 2]>,
}

/// Calls `each` with every question of an MRQA file, in order, until it refuses one. Header and blank lines are no rows.
pub(super) fn for_each_mrqa_row(
    source: &Source<'_>,
    text: &str,
    mut each: impl FnMut(Result<RawRow<'_>, Box<RowError>>) -> Result<(), Box<RowError>>,
) -> Result<(), Box<RowError>> {
    for (line, text) in lines(text) {
        let is_header = || {
            line == 1
                && text
                    .trim_start_matches(['{', ' '])
                    .starts_with("\"header\"")
        };
        if text.trim().is_empty() || is_header() {
            continue;
        }
        let paragraph: MrqaLine<'_> = match serde_json::from_str(text) {
            Ok(paragraph) => paragraph,
            Err(error) => {
                let reason = (error.to_string()).replace("at line 1 column", "at character");
                each(Err(source.error(line, None, RowProblem::Json { reason })))?;
                continue;
            }
        };
        let context = Characters::new(&paragraph.context);
        for question in &paragraph.qas {
            let spans = (question.detected_answers.iter())
                .flat_map(|answer| &answer.char_spans)
                .map(|span| mrqa_span(&context, *span))
                .collect::<Result<Vec<_>, _>>();
            let answers = (question.answers.iter())
                .map(|answer| answer.clone().into_owned())
                .collect();
            let read = Read {
                key: &question.qid,
                question: &question.question,
                context: &paragraph.context,
                answers,
            };
            each(row(source, || line, read, spans))?;
        }
    }
    Ok(())
}

fn mrqa_span(
    context: &Characters<'_>,
    [first, last]: [usize; 2],
) -> Result<Range<usize>, RowProblem> {
    let end = last.checked_add(1).and_then(|end| context.byte(end));
    match (context.byte(first), end) {
        (Some(start), Some(end)) if start < end => Ok(start..end),
        _ => Err(RowProblem::PlaceOutside {
            what: "the answer's characters",
            start: first,
            end: last,
            length: context.len(),
        }),
    }
}

/// A question as the file has it.
struct Read<'a> {
    key: &'a str,
    question: &'a str,
    context: &'a str,
    answers: Vec<String>,
}

fn row(
    source: &Source<'_>,
    line: impl Fn() -> u64,
    read: Read<'_>,
    spans: Result<Vec<Range<usize>>, RowProblem>,
) -> Result<RawRow<'static>, Box<RowError>> {
    let error = |problem| {
        let column = format!("answers of question `{}`", excerpt(read.key));
        source.error(line(), Some(column), problem)
    };
    let labelled = source.layout.fields.label.is_some();
    let spans = if labelled {
        spans.map_err(error)?
    } else {
        Vec::new()
    };
    let may_have_none = matches!(source.spec.kind, TaskKind::Span { no_answer: true });
    if labelled && source.requires_labels() && read.answers.is_empty() && !may_have_none {
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
