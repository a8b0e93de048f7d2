//! Predictions, in the order of the input whatever the batches.
//!
//! Evaluation counts the labels that [`predict`] returns: both go through the same pass.

use camtl_data::batch::{BatchItem, LossReduction, PackedBatch};
use camtl_data::encoded::EncodedSplit;
use camtl_model::{Model, TaskHead};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::error::TrainError;
use crate::forward::{batches_by_length, model_input, targets};

/// What the model says about one example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prediction {
    /// A class.
    Class {
        /// The most probable class; of equal ones the first.
        label: u32,
        /// Probability of every class.
        probabilities: Vec<f32>,
    },
    /// A score, as the model gives it (it may lie outside the task's range).
    Score {
        /// The score.
        score: f32,
    },
}

/// Predicts the task `task_index` of the model for every example of `split`, in its order.
/// `batch_tokens` bounds the tokens of one forward pass.
///
/// # Errors
/// The model has no such task, an example does not fit the model, or libtorch refuses.
pub fn predict(
    model: &Model,
    task_index: usize,
    split: &EncodedSplit,
    batch_tokens: usize,
) -> Result<Vec<Prediction>, TrainError> {
    let items: Vec<BatchItem<'_>> = split
        .iter()
        .map(|example| BatchItem {
            task: task_number(task_index),
            example,
        })
        .collect();
    predict_mixed(model, &items, batch_tokens)
}

/// Predicts examples of any of the model's tasks, each with its own task's head, in the order given.
/// Examples of different tasks share forward passes of at most `batch_tokens` tokens.
///
/// # Errors
/// As [`predict`].
pub fn predict_mixed(
    model: &Model,
    items: &[BatchItem<'_>],
    batch_tokens: usize,
) -> Result<Vec<Prediction>, TrainError> {
    let outputs = outputs(model, items, batch_tokens, &mut |_| true)?;
    Ok(outputs
        .unwrap_or_default()
        .into_iter()
        .map(|output| output.prediction)
        .collect())
}

/// A task's place as batches hold it; none of a real model is beyond 32 bits, and the pass refuses
/// those it does not have.
pub(crate) fn task_number(task_index: usize) -> u32 {
    u32::try_from(task_index).unwrap_or(u32::MAX)
}

/// A prediction and its loss (0 without a label).
pub(crate) struct ExampleOutput {
    pub(crate) prediction: Prediction,
    pub(crate) loss: f32,
}

/// Runs the model over `items`. `go_on` is told how many examples each pass did and may end the
/// work, which gives `None`.
pub(crate) fn outputs(
    model: &Model,
    items: &[BatchItem<'_>],
    batch_tokens: usize,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Vec<ExampleOutput>>, TrainError> {
    let tasks = &model.config().tasks;
    if let Some(unknown) = items.iter().find(|item| item.task as usize >= tasks.len()) {
        return Err(TrainError::Mismatch(format!(
            "the model has {} tasks and none at place {}",
            tasks.len(),
            unknown.task
        )));
    }
    let lengths: Vec<usize> = items.iter().map(|item| item.example.len()).collect();
    let mut results: Vec<Option<ExampleOutput>> = Vec::new();
    results.resize_with(items.len(), || None);
    for mut places in batches_by_length(&lengths, batch_tokens) {
        // The order of a packed batch: stable by task.
        places.sort_by_key(|&place| items[place].task);
        let members: Vec<BatchItem<'_>> = places.iter().map(|&place| items[place]).collect();
        let batch = PackedBatch::pack(&members, LossReduction::ExampleMean);
        let outputs = no_grad(|| run(model, &batch, tasks))?;
        for (output, place) in outputs.into_iter().zip(&places) {
            results[*place] = Some(output);
        }
        if !go_on(places.len()) {
            return Ok(None);
        }
    }
    let count = results.len();
    let results: Vec<ExampleOutput> = results.into_iter().flatten().collect();
    match results.len() == count {
        true => Ok(Some(results)),
        false => Err(TrainError::Mismatch(format!(
            "{} of {count} examples got an output",
            results.len()
        ))),
    }
}

/// One forward pass; outputs in the batch's order.
fn run(
    model: &Model,
    batch: &PackedBatch,
    tasks: &[TaskHead],
) -> Result<Vec<ExampleOutput>, TrainError> {
    let output = model.forward(&model_input(batch, model.device())?, None)?;
    let targets = targets(batch, model.device())?;
    let heads = model.heads(&output, Some(&targets), None)?;
    let losses = match &heads.loss {
        Some(loss) => to_vec(loss)?,
        None => vec![0.0; batch.num_sequences()],
    };
    let mut losses = losses.into_iter();
    let mut outputs = Vec::with_capacity(batch.num_sequences());
    for (task, logits) in &heads.logits {
        let head = &tasks[*task];
        let values = match head.regression {
            true => to_vec(logits)?,
            false => to_vec(&logits.f_softmax(-1, Kind::Float)?)?,
        };
        for (row, loss) in values.chunks_exact(head.num_outputs).zip(losses.by_ref()) {
            let prediction = match head.regression {
                true => Prediction::Score { score: row[0] },
                false => Prediction::Class {
                    label: argmax(row),
                    probabilities: row.to_vec(),
                },
            };
            outputs.push(ExampleOutput { prediction, loss });
        }
    }
    Ok(outputs)
}

/// Copies a tensor to the host as fp32, in row-major order.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>, TrainError> {
    let flat = tensor
        .f_to_device(tch::Device::Cpu)?
        .f_to_kind(Kind::Float)?
        .f_contiguous()?
        .f_view([-1])?;
    Ok(Vec::<f32>::try_from(&flat)?)
}

/// The place of the largest value, the first of equal ones.
fn argmax(row: &[f32]) -> u32 {
    let mut best = 0;
    for (place, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = place;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first() {
        assert_eq!(argmax(&[0.2, 0.4, 0.4]), 1);
        assert_eq!(argmax(&[0.5, 0.5]), 0);
        assert_eq!(argmax(&[f32::NAN, 0.5]), 0);
    }
}
