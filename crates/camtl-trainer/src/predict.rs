//! Answers of a model, in the order of the input whatever the batches.
//!
//! Evaluation counts the answers that [`predict`] returns: both go through the same pass.

use camtl_data::answers::Answer;
use camtl_data::batch::{BatchItem, LossReduction, PackedBatch};
use camtl_data::encoded::EncodedSplit;
use camtl_model::Model;
use tch::no_grad;

use crate::answer::{answers, to_vec};
use crate::error::TrainError;
use crate::forward::{batches_by_length, run};

/// Answers the task `task_index` of the model for every example of `split`, in its order. Scores are
/// as the model gives them (they may lie outside the task's range). `batch_tokens` bounds the tokens of
/// one forward pass.
///
/// # Errors
/// The model has no such task, an example does not fit the model, or libtorch refuses.
pub fn predict(
    model: &Model,
    task_index: usize,
    split: &EncodedSplit,
    batch_tokens: usize,
) -> Result<Vec<Answer>, TrainError> {
    let items: Vec<BatchItem<'_>> = split
        .iter()
        .map(|example| BatchItem {
            task: task_number(task_index),
            example,
        })
        .collect();
    predict_mixed(model, &items, batch_tokens)
}

/// Answers examples of any of the model's tasks, each with its own task's head, in the order given.
/// Examples of different tasks share forward passes of at most `batch_tokens` tokens.
///
/// # Errors
/// As [`predict`].
pub fn predict_mixed(
    model: &Model,
    items: &[BatchItem<'_>],
    batch_tokens: usize,
) -> Result<Vec<Answer>, TrainError> {
    let outputs = outputs(model, items, batch_tokens, &mut |_| true)?;
    Ok(outputs
        .unwrap_or_default()
        .into_iter()
        .map(|output| output.answer)
        .collect())
}

/// A task's place as batches hold it; none of a real model is beyond 32 bits, and the pass refuses
/// those it does not have.
pub(crate) fn task_number(task_index: usize) -> u32 {
    u32::try_from(task_index).unwrap_or(u32::MAX)
}

/// An answer and its loss (0 without a label).
pub(crate) struct ExampleOutput {
    pub(crate) answer: Answer,
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
        no_grad(|| -> Result<(), TrainError> {
            let heads = run(model, &batch, None, true, None)?;
            let losses = match &heads.loss {
                Some(loss) => to_vec(loss)?,
                None => vec![0.0; places.len()],
            };
            for said in &heads.logits {
                let answers = answers(tasks[said.task].kind, said, &batch)?;
                for (answer, &example) in answers.into_iter().zip(&said.examples) {
                    let loss = losses[example];
                    results[places[example]] = Some(ExampleOutput { answer, loss });
                }
            }
            Ok(())
        })?;
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
