//! The JSON of SQuAD v1.1 and v2: one document, mostly in a single line. A problem is told with the question's `id` and the
//! line where that stands.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use super::format::{Format, FormatFields, RowForm};
use super::question::{Read, row};
use super::row::{Each, Source};
use crate::spec::{Characters, Fields, RowError, RowProblem};

pub(super) const FORMAT: Format = Format {
    spelling: "squad",
    rows: RowForm::Questions,
    fields: FormatFields::Own(|| Fields::named("question", "context", "answers", "id")),
    labels: None,
    evidence: None,
    read: for_each_row,
};

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
fn for_each_row(source: &Source<'_>, text: &str, each: Each<'_>) -> Result<(), Box<RowError>> {
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
