//! From packed batches to tensors, and splits in batches of bounded size.

use camtl_data::batch::PackedBatch;
use camtl_data::reader::Label;
use camtl_model::ModelInput;
use camtl_ops::{IGNORED_CLASS, Packing, Targets};
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

/// The batch's labels; examples without one have loss 0.
pub(crate) fn targets(batch: &PackedBatch, device: Device) -> Result<Targets, TrainError> {
    let mut classes = vec![IGNORED_CLASS; batch.num_examples()];
    let mut scores = vec![f32::NAN; batch.num_examples()];
    for (example, label) in batch.labels.iter().enumerate() {
        match label {
            Some(Label::Class(class)) => classes[example] = i64::from(*class),
            Some(Label::Score(score)) => scores[example] = *score,
            _ => {}
        }
    }
    Ok(Targets::new(&classes, &scores, device)?)
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
