//! Metrics of a model on labelled splits.

use std::collections::BTreeMap;

use camtl_data::answers::Answer;
use camtl_data::batch::BatchItem;
use camtl_data::encoded::{EncodedSplit, TaskDataset};
use camtl_data::metrics::ScoreTable;
use camtl_data::score::score_examples;
use camtl_model::Model;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::predict::{outputs, task_number};

/// A task's scores on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskScores {
    /// The task.
    pub task: String,
    /// The split.
    pub split: String,
    /// Examples evaluated.
    pub examples: usize,
    /// Value of each of the task's metrics, by [`MetricKind::name`](camtl_data::metrics::MetricKind::name).
    pub metrics: BTreeMap<String, f64>,
    /// Mean loss of the examples (cross-entropy in nats or squared error).
    pub loss: f64,
}

/// Evaluates the model's task `task_index` on one split of its data set with the task's metrics.
/// `batch_tokens` bounds the tokens of one forward pass.
///
/// # Errors
/// There is no such split, it is empty or has examples without a label, or the model fails.
pub fn evaluate(
    model: &Model,
    dataset: &TaskDataset,
    task_index: usize,
    split: &str,
    batch_tokens: usize,
) -> Result<TaskScores, TrainError> {
    let examples = find_split(dataset, split)?;
    let indices: Vec<usize> = (0..examples.len()).collect();
    let place = Place {
        dataset,
        task_index,
        split,
    };
    match evaluate_indices(model, &place, &indices, batch_tokens, &mut |_| true)? {
        Some(scores) => Ok(scores),
        None => Err(TrainError::Mismatch(format!(
            "the evaluation of `{}` was not finished",
            dataset.spec.name
        ))),
    }
}

/// Which split of which task.
pub(crate) struct Place<'a> {
    pub(crate) dataset: &'a TaskDataset,
    pub(crate) task_index: usize,
    pub(crate) split: &'a str,
}

/// The split called `name`, or an error that names those that are there.
pub(crate) fn find_split<'a>(
    dataset: &'a TaskDataset,
    name: &str,
) -> Result<&'a EncodedSplit, TrainError> {
    dataset.splits.get(name).ok_or_else(|| {
        let known: Vec<&str> = dataset.splits.keys().map(String::as_str).collect();
        TrainError::Mismatch(format!(
            "task `{}` has no split `{name}`; it has {}",
            dataset.spec.name,
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        ))
    })
}

/// [`evaluate`] on some examples only; `go_on` may end it early, which gives `None`.
pub(crate) fn evaluate_indices(
    model: &Model,
    place: &Place<'_>,
    indices: &[usize],
    batch_tokens: usize,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<TaskScores>, TrainError> {
    let Place {
        dataset,
        task_index,
        split,
    } = *place;
    let examples = find_split(dataset, split)?;
    let task = &dataset.spec.name;
    for &index in indices {
        let example = examples.get(index);
        if example.label.is_none() {
            return Err(TrainError::Mismatch(format!(
                "task `{task}`, split `{split}`: example {} has no label; only labelled splits can be evaluated",
                example.id
            )));
        }
    }
    let items: Vec<BatchItem<'_>> = indices
        .iter()
        .map(|&index| BatchItem {
            task: task_number(task_index),
            example: examples.get(index),
        })
        .collect();
    let Some(outputs) = outputs(model, &items, batch_tokens, go_on)? else {
        return Ok(None);
    };
    let loss = match outputs.is_empty() {
        true => 0.0,
        false => {
            outputs
                .iter()
                .map(|output| f64::from(output.loss))
                .sum::<f64>()
                / outputs.len() as f64
        }
    };
    let answers: Vec<Answer> = outputs.into_iter().map(|output| output.answer).collect();
    let metrics = score_examples(&dataset.spec.of_split(split), examples, indices, &answers)
        .map_err(|source| TrainError::Metric {
            task: task.clone(),
            split: split.to_owned(),
            source,
        })?;
    Ok(Some(TaskScores {
        task: task.clone(),
        split: split.to_owned(),
        examples: answers.len(),
        metrics,
        loss,
    }))
}

/// Enters scores into a table: metrics of the task's first split under their own names, those of a
/// further split with what its name adds, so that `accuracy` of `dev_mismatched` beside `dev` is
/// `accuracy_mismatched`.
///
/// ```
/// use camtl_trainer::{TaskScores, evaluate::add_scores};
///
/// let scores = |split: &str, value| TaskScores {
///     task: "mnli".into(), split: split.into(), examples: 10, loss: 0.0,
///     metrics: [("accuracy".to_owned(), value)].into(),
/// };
/// let mut table = Default::default();
/// add_scores(&mut table, &scores("dev", 0.8), "dev");
/// add_scores(&mut table, &scores("dev_mismatched", 0.7), "dev");
/// assert_eq!(table["mnli"]["accuracy_mismatched"], 0.7);
/// ```
pub fn add_scores(table: &mut ScoreTable, scores: &TaskScores, first_split: &str) {
    let suffix = match scores.split.strip_prefix(first_split) {
        Some(rest) => rest.trim_start_matches('_'),
        None => &scores.split,
    };
    let entry = table.entry(scores.task.clone()).or_default();
    for (metric, value) in &scores.metrics {
        let name = if suffix.is_empty() {
            metric.clone()
        } else {
            format!("{metric}_{suffix}")
        };
        entry.insert(name, *value);
    }
}
