//! What a run says about a request, in the terms of its task: labels, scores, entities, answers.

use camtl_data::answers::{Answer, AnswerError, EntityAnswer, SpanAnswer};
use camtl_data::answers::{entity_answers, span_answers};
use camtl_data::encoded::EncodedSplit;
use camtl_data::task::{TaskKind, TaskSpec};

/// The answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Prediction {
    /// A label (of an option, where there are options) with the probability of each.
    Label {
        /// The most probable one; of equal ones the first.
        label: u32,
        /// One per label.
        probabilities: Vec<f32>,
    },
    /// A score.
    Score(f32),
    /// Entities.
    Entities {
        /// A tag for each word that the model read.
        tags: Vec<u32>,
        /// What they mark.
        entities: Vec<EntityAnswer>,
    },
    /// The answer to a question.
    Span {
        /// The best one over all windows of the context.
        answer: SpanAnswer,
        /// Whether the task has questions without an answer.
        may_have_none: bool,
    },
}

/// What the model's `answers` to all examples of `split`, which holds requests, mean: one prediction per request.
///
/// # Errors
/// The answers are not those of the task's kind.
pub(crate) fn predictions(
    spec: &TaskSpec,
    split: &EncodedSplit,
    answers: &[Answer],
) -> Result<Vec<Prediction>, AnswerError> {
    let all: Vec<usize> = (0..split.len()).collect();
    match spec.kind {
        TaskKind::Span { no_answer } => Ok(span_answers(spec, split, &all, answers)?
            .into_iter()
            .map(|answer| Prediction::Span {
                answer,
                may_have_none: no_answer,
            })
            .collect()),
        TaskKind::Tagging { .. } => {
            let entities = entity_answers(spec, split, &all, answers)?;
            Ok(answers
                .iter()
                .zip(entities)
                .map(|(answer, entities)| Prediction::Entities {
                    tags: match answer {
                        Answer::Tags(tags) => tags.clone(),
                        _ => Vec::new(),
                    },
                    entities,
                })
                .collect())
        }
        _ => answers
            .iter()
            .enumerate()
            .map(|(example, answer)| match answer {
                Answer::Class {
                    label,
                    probabilities,
                }
                | Answer::Choice {
                    option: label,
                    probabilities,
                } => Ok(Prediction::Label {
                    label: *label,
                    probabilities: probabilities.clone(),
                }),
                Answer::Score(score) => Ok(Prediction::Score(*score)),
                other => Err(AnswerError::Answer {
                    task: spec.name.clone(),
                    example,
                    problem: format!(
                        "{other:?} is no answer of a task of kind {}",
                        spec.kind.name()
                    ),
                }),
            })
            .collect(),
    }
}
