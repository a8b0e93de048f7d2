//! The metrics of a task on a split, from a model's answers.

use std::collections::BTreeMap;

use super::{MetricKind, Predictions, References, compute};
use crate::answers::{Answer, AnswerError};
use crate::encoded::EncodedSplit;
use crate::reader::Label;
use crate::task::TaskSpec;

/// The values of all of the task's metrics over a whole split, by [`MetricKind::name`]; `answers` are one per example, in
/// order.
///
/// # Errors
/// As [`score_examples`].
pub fn score_split(
    spec: &TaskSpec,
    split: &EncodedSplit,
    answers: &[Answer],
) -> Result<BTreeMap<String, f64>, AnswerError> {
    let all: Vec<usize> = (0..split.len()).collect();
    score_examples(spec, split, &all, answers)
}

/// The values of all of the task's metrics over the examples `indices` of a split; `answers` are one per index, in order.
///
/// Groups count with the examples that are among them: the question of a few windows is answered from these.
///
/// # Errors
/// Answers of another kind or number than the examples, an example without a label, a metric without a value
/// ([`MetricError`](super::MetricError)), a file that was changed or removed since it was encoded.
pub fn score_examples(
    spec: &TaskSpec,
    split: &EncodedSplit,
    indices: &[usize],
    answers: &[Answer],
) -> Result<BTreeMap<String, f64>, AnswerError> {
    let (mut classes, mut scores) = (Vec::new(), Vec::new());
    let (mut true_classes, mut true_scores) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Answer::Class { label, .. } => classes.push(*label),
            Answer::Choice { option, .. } => classes.push(*option),
            Answer::Score(score) => scores.push(*score),
            _ => {}
        }
    }
    for index in indices {
        match split.get(*index).label {
            Some(Label::Class(class)) => true_classes.push(class),
            Some(Label::Score(score)) => true_scores.push(score),
            Some(Label::Structured) | None => {}
        }
    }
    let value = |metric: &MetricKind| -> Result<(String, f64), AnswerError> {
        let value = if metric.compares_scores() {
            compute(
                *metric,
                Predictions::Scores(&scores),
                References::Scores(&true_scores),
            )?
        } else {
            compute(
                *metric,
                Predictions::Classes(&classes),
                References::Classes(&true_classes),
            )?
        };
        Ok((metric.name().to_owned(), value))
    };
    spec.metrics.iter().map(value).collect()
}
