//! SuperGLUE's form: JSON objects that name rows by the file's own `idx`, in the order of the file.
//!
//! - A row is `{"idx": 3, "label": "entailment"}`. Labels that are whole numbers are written as numbers (`COPA`), all
//!   others as strings, also `true` and `false` (`BoolQ`, `WiC`, `WSC`).
//! - `MultiRC` has a line for every passage, with its questions and their answers nested in it as in the data.
//! - `ReCoRD` has a line for every query; its label is the text of the entity that is most probably right.

use camtl_data::FileFormat;
use camtl_data::answers::{query_answers, row_keys};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Answered, Said};
use crate::failure::{Failure, OrFail};

#[derive(Serialize)]
struct Row {
    idx: Value,
    label: Value,
}

#[derive(Serialize)]
struct Passage {
    idx: u64,
    passage: Questions,
}

#[derive(Serialize)]
struct Questions {
    questions: Vec<Question>,
}

#[derive(Serialize)]
struct Question {
    idx: u64,
    answers: Vec<Row>,
}

/// The lines, each with its end.
pub(super) fn lines(answered: &Answered<'_>) -> Result<Vec<String>, Failure> {
    match answered
        .spec
        .layout(answered.split)
        .map(|layout| layout.format)
    {
        Some(FileFormat::MultiRc) => written(&passages(answered)?),
        Some(FileFormat::Record) => written(&queries(answered)?),
        _ => written(&rows(answered)?),
    }
}

fn written<T: Serialize>(values: &[T]) -> Result<Vec<String>, Failure> {
    values
        .iter()
        .map(|value| Ok(serde_json::to_string(value)? + "\n"))
        .collect()
}

fn rows(answered: &Answered<'_>) -> Result<Vec<Row>, Failure> {
    let keys = keys(answered)?;
    let rows = keys.iter().zip(&answered.answers);
    rows.map(|(key, answer)| {
        Ok(Row {
            idx: number_or_text(key),
            label: label(answered.said(answer)?)?,
        })
    })
    .collect()
}

fn queries(answered: &Answered<'_>) -> Result<Vec<Row>, Failure> {
    let all: Vec<usize> = (0..answered.examples.len()).collect();
    let found = query_answers(answered.spec, answered.examples, &all, &answered.answers)
        .or_work(|| cannot_answer(answered))?;
    found
        .into_iter()
        .map(|answer| {
            let [_, query, _] = parts(answered, answer.key.as_deref())?;
            Ok(Row {
                idx: json!(query),
                label: json!(answer.entity),
            })
        })
        .collect()
}

/// Rows that follow each other and have the passage, and then the question, in common are nested.
fn passages(answered: &Answered<'_>) -> Result<Vec<Passage>, Failure> {
    let mut passages: Vec<Passage> = Vec::new();
    for (key, answer) in keys(answered)?.iter().zip(&answered.answers) {
        let [passage_idx, question_idx, answer_idx] = parts(answered, Some(key))?;
        let row = Row {
            idx: json!(answer_idx),
            label: label(answered.said(answer)?)?,
        };
        if passages.last().is_none_or(|last| last.idx != passage_idx) {
            passages.push(Passage {
                idx: passage_idx,
                passage: Questions {
                    questions: Vec::new(),
                },
            });
        }
        let Some(last) = passages.last_mut() else {
            continue;
        };
        let questions = &mut last.passage.questions;
        match questions.last_mut() {
            Some(question) if question.idx == question_idx => question.answers.push(row),
            _ => questions.push(Question {
                idx: question_idx,
                answers: vec![row],
            }),
        }
    }
    Ok(passages)
}

/// The file's own identifier of every row.
fn keys(answered: &Answered<'_>) -> Result<Vec<String>, Failure> {
    let keys = row_keys(answered.spec, answered.examples).or_work(|| cannot_answer(answered))?;
    (keys.into_iter().enumerate())
        .map(|(row, key)| {
            key.ok_or_else(|| {
                Failure::work(anyhow::anyhow!(
                    "{}: row {row} (from 0) has no identifier, by which the server knows rows",
                    answered.path.display()
                ))
            })
        })
        .collect()
}

/// The three numbers of a key of `MultiRC` and `ReCoRD`.
fn parts(answered: &Answered<'_>, key: Option<&str>) -> Result<[u64; 3], Failure> {
    let key = key.unwrap_or_default();
    let numbers: Option<Vec<u64>> = key.split('-').map(|part| part.parse().ok()).collect();
    numbers
        .and_then(|numbers| <[u64; 3]>::try_from(numbers).ok())
        .ok_or_else(|| {
            Failure::work(anyhow::anyhow!(
                "{}: the identifiers `{key}` are not whole numbers, by which the server knows passages, questions and answers",
                answered.path.display()
            ))
            .hint("mend the values of `idx`, or download the file again")
        })
}

fn cannot_answer(answered: &Answered<'_>) -> String {
    format!("cannot write answers to {}", answered.path.display())
}

fn label(said: Said<'_>) -> Result<Value, Failure> {
    match said {
        Said::Label(name) => Ok(number_or_text(name)),
        Said::Score(score) => Ok(Value::Number(serde_json::from_str(&score)?)),
    }
}

/// A whole number in its usual spelling as a number, everything else as a string.
fn number_or_text(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => json!(number),
        _ => json!(text),
    }
}
