//! What a run says about a request, in the terms of its task: labels, scores, entities, answers.

use camtl_data::answers::{
    Answer, AnswerError, AnswerForm, EntityAnswer, SpanAnswer, entity_answers, misfit, span_answers,
};
use camtl_data::encoded::EncodedSplit;
use camtl_data::task::TaskSpec;

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
    match spec.kind.answer() {
        AnswerForm::Span => Ok(span_answers(spec, split, &all, answers)?
            .into_iter()
            .map(|answer| Prediction::Span {
                answer,
                may_have_none: spec.kind.no_answer() == Some(true),
            })
            .collect()),
        AnswerForm::Tags => {
            let entities = entity_answers(spec, split, &all, answers)?;
            (answers.iter().enumerate().zip(entities))
                .map(|((example, answer), entities)| match answer {
                    Answer::Tags(tags) => Ok(Prediction::Entities {
                        tags: tags.clone(),
                        entities,
                    }),
                    Answer::Class { .. }
                    | Answer::Choice { .. }
                    | Answer::Score(_)
                    | Answer::Span { .. } => Err(misfit(spec, example, answer)),
                })
                .collect()
        }
        AnswerForm::Class | AnswerForm::Choice | AnswerForm::Score => answers
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
                Answer::Tags(_) | Answer::Span { .. } => Err(misfit(spec, example, answer)),
            })
            .collect(),
    }
}
