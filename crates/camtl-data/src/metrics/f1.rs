//! F1 of the second of two classes.

use super::class_counts::{count_classes, f1_of};
use super::error::MetricError;
use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "f1",
    spelling: "f1",
    compares: &[Compares::Classes(f1)],
    labels_problem: Some(|labels| {
        (labels.len() != 2).then(|| {
            format!(
                "metric `f1` is that of the second of two labels, but the task has {}; use `macro-f1`",
                labels.len()
            )
        })
    }),
};

fn f1(predicted: &[u32], actual: &[u32]) -> Result<f64, MetricError> {
    check_binary("predictions", predicted)?;
    check_binary("references", actual)?;
    Ok(count_classes(predicted, actual).get(&1).map_or(0.0, f1_of))
}

fn check_binary(side: &'static str, classes: &[u32]) -> Result<(), MetricError> {
    match classes.iter().position(|class| *class > 1) {
        Some(index) => Err(MetricError::NotBinary {
            side,
            index,
            class: classes[index],
        }),
        None => Ok(()),
    }
}
