//! `ReCoRD` as `SuperGLUE` has it: passages with queries, one JSON object per passage.
//!
//! Every query is as many rows as the passage has different entities. A row is the passage and the query with the entity
//! in place of the gap; its label is `1` if the entity is one of the accepted answers. Rows of a query have the same
//! group and the key `passage-query-entity`, made of the file's two `idx` values and the entity's number.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::delimited::lines;
use super::format::{Format, FormatFields, RowForm};
use super::json_value::plain;
use super::row::{Each, RawRow, Source};
use crate::metrics::Evidence;
use crate::spec::Characters;
use crate::spec::{Candidate, Details};
use crate::spec::{Fields, RowError, RowProblem};

pub(super) const FORMAT: Format = Format {
    spelling: "record",
    rows: RowForm::Judgements,
    fields: FormatFields::Own(|| Fields::named("passage", "query", "answers", "idx")),
    labels: Some(&["0", "1"]),
    evidence: Some(Evidence::Answers),
    read: for_each_row,
};

/// Where the entity goes.
const GAP: &str = "@placeholder";
/// Stands in a line of its own before each of the passage's summary points.
const HIGHLIGHT: &str = "\n@highlight\n";
/// What the model reads instead.
const POINT: &str = " - ";

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    passage: Passage<'a>,
    #[serde(borrow)]
    qas: Vec<Query<'a>>,
    idx: Value,
}

#[derive(Deserialize)]
struct Passage<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    entities: Vec<Entity>,
}

/// First and last character, both inclusive.
#[derive(Deserialize)]
struct Entity {
    start: usize,
    end: usize,
}

#[derive(Deserialize)]
struct Query<'a> {
    #[serde(borrow)]
    query: Cow<'a, str>,
    #[serde(default)]
    answers: Option<Vec<Answer>>,
    idx: Value,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
}

/// Calls `each` with every candidate of every query, in order, until it refuses one. Blank lines are no rows.
fn for_each_row(source: &Source<'_>, text: &str, each: Each<'_>) -> Result<(), Box<RowError>> {
    let mut queries = 0;
    for (line, text) in lines(text) {
        if text.trim().is_empty() {
            continue;
        }
        let parsed: Line<'_> = match serde_json::from_str(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                let reason = (error.to_string()).replace("at line 1 column", "at character");
                each(Err(source.error(line, None, RowProblem::Json { reason })))?;
                continue;
            }
        };
        let entities = match entities(&parsed.passage) {
            Ok(entities) => entities,
            Err((number, problem)) => {
                let column = format!("`/passage/entities/{number}`");
                each(Err(source.error(line, Some(column), problem)))?;
                continue;
            }
        };
        if entities.is_empty() && !parsed.qas.is_empty() {
            let column = "`/passage/entities`".to_owned();
            each(Err(source.error(
                line,
                Some(column),
                RowProblem::NoEntities,
            )))?;
            continue;
        }
        let passage = parsed.passage.text.replace(HIGHLIGHT, POINT);
        for (number, query) in parsed.qas.iter().enumerate() {
            let group = queries;
            queries += 1;
            let labelled = source.fields.label.is_some() && query.answers.is_some();
            if !query.query.contains(GAP) {
                let column = format!("`/qas/{number}/query`");
                let problem = RowProblem::NoGap { gap: GAP };
                each(Err(source.error(line, Some(column), problem)))?;
                continue;
            }
            let answers: BTreeSet<&str> = (query.answers.iter().flatten())
                .map(|answer| answer.text.as_str())
                .collect();
            if answers.is_empty() && source.fields.label.is_some() && source.requires_labels() {
                let column = format!("`/qas/{number}/answers`");
                each(Err(source.error(line, Some(column), RowProblem::NoAnswer)))?;
                continue;
            }
            let accepted: Arc<[String]> = answers.iter().map(|text| (*text).to_owned()).collect();
            let id = |value: &Value| plain(value).unwrap_or_else(|| value.to_string());
            for (candidate, entity) in entities.iter().enumerate() {
                let right = answers.contains(entity);
                each(Ok(RawRow {
                    line,
                    key: Some(Cow::Owned(format!(
                        "{}-{}-{candidate}",
                        id(&parsed.idx),
                        id(&query.idx)
                    ))),
                    text_a: Cow::Borrowed(&passage),
                    text_b: Some(Cow::Owned(query.query.replace(GAP, entity))),
                    label: labelled.then(|| {
                        let label = if right { "1" } else { "0" };
                        (Cow::Borrowed(label), format!("`/qas/{number}/answers`"))
                    }),
                    group: Some(group),
                    details: Details::Candidate(Candidate {
                        entity: (*entity).to_owned(),
                        answers: if labelled {
                            accepted.clone()
                        } else {
                            Arc::new([])
                        },
                    }),
                    ..RawRow::default()
                }))?;
            }
        }
    }
    Ok(())
}

/// The different entities in the order of the file; the number of one that is no place of the text.
fn entities<'a>(passage: &'a Passage<'_>) -> Result<Vec<&'a str>, (usize, RowProblem)> {
    let characters = Characters::new(&passage.text);
    let mut seen = BTreeSet::new();
    let mut texts = Vec::new();
    for (number, entity) in passage.entities.iter().enumerate() {
        let start = characters.byte(entity.start);
        let end = (entity.end.checked_add(1)).and_then(|end| characters.byte(end));
        let (Some(start), Some(end)) = (start, end) else {
            return Err((number, outside(entity, &characters)));
        };
        let Some(text) = passage.text.get(start..end).filter(|text| !text.is_empty()) else {
            return Err((number, outside(entity, &characters)));
        };
        if seen.insert(text) {
            texts.push(text);
        }
    }
    Ok(texts)
}

fn outside(entity: &Entity, text: &Characters<'_>) -> RowProblem {
    RowProblem::PlaceOutside {
        what: "the entity's characters",
        start: entity.start,
        end: entity.end,
        length: text.len(),
    }
}
