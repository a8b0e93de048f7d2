//! Predictions of one task, in the order of the input whatever the batches.
//!
//! Evaluation counts the labels that [`predict`] returns: both go through the same pass.

use camtl_data::encoded::EncodedSplit;
use camtl_model::Model;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::error::TrainError;
use crate::forward::{batches_by_length, model_input, pack_examples, targets};

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
    let indices: Vec<usize> = (0..split.len()).collect();
    let outputs = outputs(
        model,
        task_index,
        split,
        &indices,
        batch_tokens,
        &mut |_| true,
    )?;
    Ok(outputs
        .unwrap_or_default()
        .into_iter()
        .map(|output| output.prediction)
        .collect())
}

/// A prediction and its loss (0 without a label).
pub(crate) struct ExampleOutput {
    pub(crate) prediction: Prediction,
    pub(crate) loss: f32,
}

/// Runs the model over `indices` of `split`. `go_on` is told how many examples each pass did and
/// may end the work, which gives `None`.
pub(crate) fn outputs(
    model: &Model,
    task_index: usize,
    split: &EncodedSplit,
    indices: &[usize],
    batch_tokens: usize,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Vec<ExampleOutput>>, TrainError> {
    let tasks = &model.config().tasks;
    let head = tasks.get(task_index).ok_or_else(|| {
        TrainError::Mismatch(format!(
            "the model has {} tasks and none at place {task_index}",
            tasks.len()
        ))
    })?;
    let lengths: Vec<usize> = indices
        .iter()
        .map(|&index| split.get(index).len())
        .collect();
    let mut results: Vec<Option<ExampleOutput>> = Vec::new();
    results.resize_with(indices.len(), || None);
    for places in batches_by_length(&lengths, batch_tokens) {
        let members: Vec<usize> = places.iter().map(|&place| indices[place]).collect();
        let batch = pack_examples(split, task_index as u32, &members);
        let (values, losses) = no_grad(|| -> Result<(Vec<f32>, Vec<f32>), TrainError> {
            let output = model.forward(&model_input(&batch, model.device())?, None)?;
            let targets = targets(&batch, model.device())?;
            let heads = model.heads(&output, Some(&targets), None)?;
            let [(_, logits)] = heads.logits.as_slice() else {
                return Err(TrainError::Mismatch(format!(
                    "{} logit tensors for one task",
                    heads.logits.len()
                )));
            };
            let values = match head.regression {
                true => logits.shallow_clone(),
                false => logits.f_softmax(-1, Kind::Float)?,
            };
            let losses = match &heads.loss {
                Some(loss) => to_vec(loss)?,
                None => vec![0.0; members.len()],
            };
            Ok((to_vec(&values)?, losses))
        })?;
        for ((row, place), loss) in values
            .chunks_exact(head.num_outputs)
            .zip(&places)
            .zip(losses)
        {
            let prediction = match head.regression {
                true => Prediction::Score { score: row[0] },
                false => Prediction::Class {
                    label: argmax(row),
                    probabilities: row.to_vec(),
                },
            };
            results[*place] = Some(ExampleOutput { prediction, loss });
        }
        if !go_on(members.len()) {
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
