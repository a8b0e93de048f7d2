//! Heads that start at their task's label prior.
//!
//! A head whose bias starts at zero first learns the mean answer, and learns it through whatever
//! moves fastest. For a regression of scores around 2.7 that is the pooler, which all tasks share:
//! its vectors move together and come to differ less from text to text, while the clipped gradient
//! consists of the mean answer. A task with a faint signal (CoLA) learns nothing meanwhile
//! (docs/method.md has the measurement). With the prior in the bias there is no mean answer to learn.

use camtl_data::encoded::TaskDataset;
use camtl_data::reader::Label;
use camtl_model::{HeadBiasInit, HeadKind, Model};
use tch::Tensor;

use crate::error::TrainError;
use crate::scorer::TRAIN;

/// Sets the bias of each head whose `head_bias_init` asks for it to the prior of its training labels.
/// Heads of options and of spans choose between parts of their own text, have no prior and stay at 0.
///
/// # Errors
/// A training split is missing; libtorch's own.
pub(crate) fn set(model: &Model, datasets: &[TaskDataset]) -> Result<(), TrainError> {
    if model.config().method.head_bias_init == HeadBiasInit::Zero {
        return Ok(());
    }
    for (task, (dataset, head)) in datasets.iter().zip(&model.config().tasks).enumerate() {
        let split = crate::evaluate::find_split(dataset, TRAIN)?;
        let bias = match head.kind {
            HeadKind::Regression => {
                let Some([min, max]) = dataset.spec.kind.range() else {
                    continue;
                };
                let labels = split.iter().filter_map(|example| example.label);
                vec![mean(labels, min, max)]
            }
            HeadKind::Classification | HeadKind::SpanPair => {
                let labels = split.iter().filter_map(|example| match example.label {
                    Some(Label::Class(class)) => Some(class as usize),
                    _ => None,
                });
                centred_log_frequencies(labels, head.num_outputs)
            }
            HeadKind::Tagging => {
                let tags = split
                    .iter()
                    .flat_map(|example| example.extra)
                    .filter_map(|tag| usize::try_from(*tag).ok());
                centred_log_frequencies(tags, head.num_outputs)
            }
            // Options and spans.
            _ => continue,
        };
        model.set_head_bias(task, &Tensor::from_slice(&bias))?;
    }
    Ok(())
}

/// Mean of the scores within the task's range; others are named when their loss is computed.
fn mean(labels: impl Iterator<Item = Label>, min: f32, max: f32) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for label in labels {
        if let Label::Score(score) = label
            && (min..=max).contains(&score)
        {
            sum += f64::from(score);
            count += 1.0;
        }
    }
    (sum / f64::max(count, 1.0)) as f32
}

/// Logarithms of the classes' frequencies, less their mean; half an observation is added to each, so
/// that a class without examples stays finite.
fn centred_log_frequencies(classes: impl Iterator<Item = usize>, num_classes: usize) -> Vec<f32> {
    let mut counts = vec![0.5_f64; num_classes];
    for class in classes {
        if let Some(count) = counts.get_mut(class) {
            *count += 1.0;
        }
    }
    let logs: Vec<f64> = counts.iter().map(|count| count.ln()).collect();
    let mean = logs.iter().sum::<f64>() / num_classes.max(1) as f64;
    logs.iter().map(|log| (log - mean) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_the_bias_is_the_distribution_of_the_labels() {
        let labels = std::iter::repeat_n(0, 700).chain(std::iter::repeat_n(2, 300));
        let bias = centred_log_frequencies(labels, 3);
        assert!(bias.iter().sum::<f32>().abs() < 1e-5);
        let exp: Vec<f64> = bias.iter().map(|b| f64::from(*b).exp()).collect();
        let total: f64 = exp.iter().sum();
        for (value, expected) in exp.iter().zip([700.5, 0.5, 300.5]) {
            assert!((value / total - expected / 1001.5).abs() < 1e-6);
        }
    }

    #[test]
    fn a_regression_starts_at_its_mean() {
        let labels = [0.5, 2.5, 3e38, 4.5].map(Label::Score);
        assert_eq!(mean(labels.into_iter(), 0.0, 5.0), 2.5);
    }
}
