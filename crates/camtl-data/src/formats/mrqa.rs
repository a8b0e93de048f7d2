//! The JSON Lines of the MRQA shared task: a line for the header and for each paragraph.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use super::delimited::lines;
use super::format::{Format, FormatFields, RowForm};
use super::question::{Read, row};
use super::row::{Each, Source};
use crate::spec::{Characters, Fields, RowError, RowProblem};

pub(super) const FORMAT: Format = Format {
    spelling: "mrqa",
    rows: RowForm::Questions,
    fields: FormatFields::Own(|| Fields::named("question", "context", "answers", "qid")),
    labels: None,
    evidence: None,
    read: for_each_row,
};

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
fn for_each_row(source: &Source<'_>, text: &str, each: Each<'_>) -> Result<(), Box<RowError>> {
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
