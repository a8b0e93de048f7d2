//! From packed batches to tensors, and splits in batches of bounded size.

use camtl_data::batch::PackedBatch;
use camtl_data::reader::Label;
use camtl_model::heads::UNKNOWN;
use camtl_model::{
    ExampleHeads, ExampleLayout, HeadKind, Model, ModelInput, Modulation, PlainBatch,
};
use camtl_ops::{DropoutStream, IGNORED_CLASS, Packing, Targets};
use tch::Device;

use crate::error::TrainError;

/// The batch as the model takes it.
pub(crate) fn model_input(batch: &PackedBatch, device: Device) -> Result<ModelInput, TrainError> {
    let packing = Packing::new(&batch.cu_seqlens, &batch.tasks, device)?;
    Ok(ModelInput::new(
        &batch.input_ids,
        &batch.token_type_ids,
        &batch.position_ids,
        packing,
    )?)
}

/// The class and the score of each example, one of which counts; examples without a label have loss 0.
fn labels(batch: &PackedBatch) -> (Vec<i64>, Vec<f32>) {
    let mut classes = vec![IGNORED_CLASS; batch.num_examples()];
    let mut scores = vec![f32::NAN; batch.num_examples()];
    for (example, label) in batch.labels.iter().enumerate() {
        match label {
            Some(Label::Class(class)) => classes[example] = i64::from(*class),
            Some(Label::Score(score)) => scores[example] = *score,
            _ => {}
        }
    }
    (classes, scores)
}

/// The batch's labels, one per example.
fn targets(batch: &PackedBatch, device: Device) -> Result<Targets, TrainError> {
    let (classes, scores) = labels(batch);
    Ok(Targets::new(&classes, &scores, device)?)
}

/// The batch as a graph takes it; none if it has no bucket, or one of more than `max_tokens` tokens. Its
/// tasks are classifications and regressions.
pub(crate) fn plain_batch(
    batch: &PackedBatch,
    model: &Model,
    max_tokens: usize,
) -> Option<PlainBatch> {
    let (classes, scores) = labels(batch);
    let plain = PlainBatch {
        input_ids: batch.input_ids.clone(),
        token_type_ids: batch.token_type_ids.clone(),
        position_ids: batch.position_ids.clone(),
        cu_seqlens: batch.cu_seqlens.clone(),
        tasks: batch.tasks.clone(),
        classes,
        scores,
        weights: batch.loss_weights.clone(),
    };
    let bucket = plain.bucket(model.config().max_length)?;
    (bucket.tokens <= i64::try_from(max_tokens).unwrap_or(i64::MAX)).then_some(plain)
}

/// Which sequences make the batch's examples, and what their heads need to know.
fn example_layout(model: &Model, batch: &PackedBatch) -> Result<ExampleLayout, TrainError> {
    let mut extra = batch.extra.clone();
    for (example, task) in batch.example_tasks().into_iter().enumerate() {
        let kind = model
            .config()
            .tasks
            .get(task as usize)
            .map(|head| head.kind);
        let start = batch.cu_extra[example] as usize;
        // Zeros would say that an unlabelled question has no answer.
        if let (Some(HeadKind::Span { .. }), None, Some(answer)) =
            (kind, batch.labels[example], extra.get_mut(start..start + 2))
        {
            answer.fill(UNKNOWN);
        }
    }
    Ok(ExampleLayout::new(
        &batch.cu_examples,
        &extra,
        &batch.cu_extra,
    )?)
}

/// Runs the encoder and the heads over a batch. Losses count if `with_loss`; `modulation` is the
/// step's table, else the model's own.
pub(crate) fn run(
    model: &Model,
    batch: &PackedBatch,
    modulation: Option<&Modulation>,
    with_loss: bool,
    mut dropout: Option<&mut DropoutStream>,
) -> Result<ExampleHeads, TrainError> {
    let device = model.device();
    let input = model_input(batch, device)?;
    let output = match modulation {
        Some(table) => model.forward_with(&input, table, dropout.as_deref_mut())?,
        None => model.forward(&input, dropout.as_deref_mut())?,
    };
    let targets = match with_loss {
        true => Some(targets(batch, device)?),
        false => None,
    };
    let examples = example_layout(model, batch)?;
    Ok(model.heads_of(&input, &output, &examples, targets.as_ref(), dropout)?)
}

/// Groups positions of `lengths` into batches of at most `max_tokens` tokens, longest first, so that
/// sequences of like length meet. Equal lengths stay in order. A sequence longer than the budget is
/// alone in its batch.
pub(crate) fn batches_by_length(lengths: &[usize], max_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(lengths[at]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for at in order {
        tokens += lengths[at];
        match batches.last_mut() {
            Some(batch) if tokens <= max_tokens => batch.push(at),
            _ => {
                batches.push(vec![at]);
                tokens = lengths[at];
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_everything_once_within_the_budget() {
        let lengths = [5, 9, 1, 9, 3, 20, 2];
        let batches = batches_by_length(&lengths, 12);
        assert_eq!(batches[0], [5], "longer than the budget: alone");
        assert_eq!(batches[1], [1]);
        assert_eq!(batches[2], [3]);
        for batch in &batches[1..] {
            assert!(batch.iter().map(|&at| lengths[at]).sum::<usize>() <= 12);
        }
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6]);
        assert!(batches_by_length(&[], 10).is_empty());
    }
}
