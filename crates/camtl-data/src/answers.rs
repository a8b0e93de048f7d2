//! What a model says about examples, and how that becomes text: the windows of a question are brought together, tokens
//! become characters of the context, tags become entities.

mod keys;
mod queries;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::encoded::EncodedSplit;
use crate::error::DataError;
use crate::metrics::MetricError;
use crate::metrics::entities::entities;
use crate::source::Source;
use crate::spec::{Characters, Details, Example};
use crate::task::TaskSpec;
use crate::tokenize::TokenizerError;

pub use crate::spec::{Answer, AnswerForm, MAX_ANSWER_LENGTH, MAX_CANDIDATES, SpanCandidate};
pub use keys::row_keys;
pub use queries::{QueryAnswer, query_answers};

/// Why answers could not be turned into text or compared with the truth.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// A metric has no value.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The split's file, which holds the texts, could not be read again.
    #[error(transparent)]
    Data(Box<DataError>),
    /// The tokenizer fails on what it could encode before.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The split was made without its texts.
    #[error(
        "task `{task}`: the split does not know the texts it was made of; load it from its file"
    )]
    NoTexts {
        /// The task.
        task: String,
    },
    /// There is not one answer for each example.
    #[error("task `{task}`: {answers} answers for {examples} examples; there must be one for each")]
    Count {
        /// The task.
        task: String,
        /// Number of answers.
        answers: usize,
        /// Number of examples.
        examples: usize,
    },
    /// An answer does not fit its example.
    #[error("task `{task}`, example {example} (counted from 0): {problem}")]
    Answer {
        /// The task.
        task: String,
        /// The example's position in the split.
        example: usize,
        /// What does not fit.
        problem: String,
    },
}

impl From<DataError> for AnswerError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

/// The final answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanAnswer {
    /// The question's row in its file.
    pub id: u64,
    /// The file's own identifier.
    pub key: Option<String>,
    /// The answer as the context spells it; empty if the model says that there is none.
    pub text: String,
    /// Its first character in the context, from 0.
    pub start: usize,
    /// The character behind its last.
    pub end: usize,
    /// Its score; that of "no answer" if there is none.
    pub score: f32,
    /// `1 / (1 + exp(best - null))`, above a half exactly if "no answer" scores higher than the best span; 0 for tasks
    /// where every question has an answer.
    pub no_answer_probability: f64,
}

/// An entity in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityAnswer {
    /// Its type.
    #[serde(rename = "type")]
    pub entity_type: String,
    /// Its first character, from 0.
    pub start: usize,
    /// The character behind its last.
    pub end: usize,
    /// What the text has there.
    pub text: String,
}

/// The rows behind examples of a split.
pub(crate) struct RowsOf<'a> {
    pub(crate) source: &'a Source,
    pub(crate) rows: std::sync::Arc<Vec<Example>>,
    /// The row of each example of the split, and which of its windows the example is.
    places: Vec<(usize, usize)>,
}

impl<'a> RowsOf<'a> {
    pub(crate) fn new(spec: &TaskSpec, split: &'a EncodedSplit) -> Result<Self, AnswerError> {
        let Some(source) = &split.source else {
            return Err(AnswerError::NoTexts {
                task: spec.name.clone(),
            });
        };
        let rows = source.rows()?;
        let windows = spec.kind.no_answer().is_some();
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(split.len());
        for (index, id) in split.ids.iter().enumerate() {
            let place = match places.last() {
                Some((row, window)) if windows && split.ids[index - 1] == *id => (*row, window + 1),
                Some((row, _)) => (row + 1, 0),
                None => (0, 0),
            };
            if rows.get(place.0).is_none_or(|row| row.id != *id) {
                return Err(AnswerError::Answer {
                    task: spec.name.clone(),
                    example: index,
                    problem: format!("its row {id} is not among those it was made of"),
                });
            }
            places.push(place);
        }
        Ok(Self {
            source,
            rows,
            places,
        })
    }

    pub(crate) fn row(&self, example: usize) -> &Example {
        &self.rows[self.places[example].0]
    }
}

pub(crate) fn check_count(
    spec: &TaskSpec,
    indices: &[usize],
    answers: &[Answer],
) -> Result<(), AnswerError> {
    if indices.len() == answers.len() {
        return Ok(());
    }
    Err(AnswerError::Count {
        task: spec.name.clone(),
        answers: answers.len(),
        examples: indices.len(),
    })
}

/// The error of an answer of another form than the task's kind has.
pub fn misfit(spec: &TaskSpec, example: usize, answer: &Answer) -> AnswerError {
    AnswerError::Answer {
        task: spec.name.clone(),
        example,
        problem: format!(
            "the answer is {}, but the task wants {}",
            answer.form(),
            spec.kind.answer()
        ),
    }
}

/// The final answers to the questions that the examples `indices` are windows of, in the order of the file; `answers` are
/// one per index, in order.
///
/// The best candidate over all windows is the answer; where a question may have none, "no answer" wins if its score, the
/// smallest over the windows, is higher.
///
/// # Errors
/// Answers of another kind or number than the examples, spans outside of the context, a file that was changed or removed
/// since it was encoded.
pub fn span_answers(
    spec: &TaskSpec,
    split: &EncodedSplit,
    indices: &[usize],
    answers: &[Answer],
) -> Result<Vec<SpanAnswer>, AnswerError> {
    let rows = RowsOf::new(spec, split)?;
    Ok(merged(spec, &rows, indices, answers)?
        .into_iter()
        .map(|(_, answer)| answer)
        .collect())
}

/// [`span_answers`], each with its row.
pub(crate) fn merged(
    spec: &TaskSpec,
    rows: &RowsOf<'_>,
    indices: &[usize],
    answers: &[Answer],
) -> Result<Vec<(usize, SpanAnswer)>, AnswerError> {
    check_count(spec, indices, answers)?;
    let may_have_none = spec.kind.no_answer().unwrap_or(false);
    let mut questions: BTreeMap<usize, Vec<(usize, usize, &Answer)>> = BTreeMap::new();
    for (index, answer) in indices.iter().zip(answers) {
        let (row, window) = rows.places[*index];
        let windows = questions.entry(row).or_default();
        windows.push((*index, window, answer));
    }
    let asked: Vec<(usize, &Example)> = (questions.keys())
        .map(|row| (*row, &rows.rows[*row]))
        .collect();
    let places = rows.source.window_places(&asked)?;
    let mut all = Vec::with_capacity(asked.len());
    for ((row, parts), places) in questions.into_iter().zip(&places) {
        let example = &rows.rows[row];
        let context = example.text_b.as_deref().unwrap_or_default();
        let mut best: Option<(f32, Range<usize>)> = None;
        let mut null = f32::INFINITY;
        for (index, number, answer) in parts {
            let Answer::Span {
                best: candidates,
                null_score,
            } = answer
            else {
                return Err(misfit(spec, index, answer));
            };
            null = null.min(*null_score);
            for candidate in candidates {
                let place = places
                    .of_tokens(number, candidate.start, candidate.end)
                    .filter(|place| context.get(place.clone()).is_some());
                let Some(place) = place else {
                    return Err(AnswerError::Answer {
                        task: spec.name.clone(),
                        example: index,
                        problem: format!(
                            "tokens {} to {} are no span of the context",
                            candidate.start, candidate.end
                        ),
                    });
                };
                if best
                    .as_ref()
                    .is_none_or(|(score, _)| candidate.score > *score)
                {
                    best = Some((candidate.score, place));
                }
            }
        }
        let characters = Characters::new(context);
        let (score, place) = best.unwrap_or((f32::NEG_INFINITY, 0..0));
        let none = may_have_none && null > score;
        let place = if none { 0..0 } else { place };
        let answer = SpanAnswer {
            id: example.id,
            key: example.key.clone(),
            text: context[place.clone()].to_owned(),
            start: characters.number(place.start),
            end: characters.number(place.end),
            score: if none { null } else { score },
            no_answer_probability: if may_have_none {
                1.0 / (1.0 + (f64::from(score) - f64::from(null)).exp())
            } else {
                0.0
            },
        };
        all.push((row, answer));
    }
    Ok(all)
}

/// The entities that tags mark in words with one space between each two; words without a tag (cut off by truncation) are
/// outside. `labels` are the task's tags.
///
/// ```
/// use camtl_data::answers::entities_of;
///
/// let labels = ["O", "B-city", "I-city"].map(str::to_owned);
/// let words = ["From", "New", "York", "to", "Bergen"].map(str::to_owned);
/// let found = entities_of(&words, &[0, 1, 2, 0], &labels)?;
/// assert_eq!((found[0].text.as_str(), found[0].start, found[0].end), ("New York", 5, 13));
/// assert_eq!(found.len(), 1);
/// # Ok::<(), camtl_data::answers::AnswerError>(())
/// ```
///
/// # Errors
/// A class that is no label, a label that is no BIO tag.
pub fn entities_of(
    words: &[String],
    tags: &[u32],
    labels: &[String],
) -> Result<Vec<EntityAnswer>, AnswerError> {
    entities_in(&words.join(" "), words, tags, labels)
}

/// [`entities_of`] words that stand in `text` in this order, with anything between them.
fn entities_in(
    text: &str,
    words: &[String],
    tags: &[u32],
    labels: &[String],
) -> Result<Vec<EntityAnswer>, AnswerError> {
    let names: Vec<&str> = tags
        .iter()
        .take(words.len())
        .map(|tag| labels.get(*tag as usize).map_or("", String::as_str))
        .collect();
    let mut places: Vec<Range<usize>> = Vec::with_capacity(words.len());
    let mut behind = 0;
    for word in words {
        let place = match text[behind..].find(word) {
            Some(at) => behind + at..behind + at + word.len(),
            None => behind..behind,
        };
        behind = place.end;
        places.push(place);
    }
    let characters = Characters::new(text);
    let found = entities(&names)?.into_iter().map(|entity| {
        let place = places[entity.start].start..places[entity.end - 1].end;
        EntityAnswer {
            entity_type: entity.entity_type.to_owned(),
            start: characters.number(place.start),
            end: characters.number(place.end),
            text: text[place].to_owned(),
        }
    });
    Ok(found.collect())
}

/// The entities of the sentences `indices` of a split; `answers` are one per index, in order.
///
/// # Errors
/// As [`span_answers`] and [`entities_of`].
pub fn entity_answers(
    spec: &TaskSpec,
    split: &EncodedSplit,
    indices: &[usize],
    answers: &[Answer],
) -> Result<Vec<Vec<EntityAnswer>>, AnswerError> {
    check_count(spec, indices, answers)?;
    let rows = RowsOf::new(spec, split)?;
    indices
        .iter()
        .zip(answers)
        .map(
            |(index, answer)| match (answer, &rows.row(*index).details) {
                (Answer::Tags(tags), Details::Words { words, .. }) => {
                    entities_in(&rows.row(*index).text_a, words, tags, spec.kind.labels())
                }
                _ => Err(misfit(spec, *index, answer)),
            },
        )
        .collect()
}
