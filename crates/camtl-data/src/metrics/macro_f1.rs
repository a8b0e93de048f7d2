//! Mean F1 of all classes.

use super::class_counts::{count_classes, f1_of};
use super::error::MetricError;
use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "macro_f1",
    spelling: "macro-f1",
    compares: &[Compares::Classes(macro_f1)],
    labels_problem: None,
};

fn macro_f1(predicted: &[u32], actual: &[u32]) -> Result<f64, MetricError> {
    let counts = count_classes(predicted, actual);
    Ok(counts.values().map(f1_of).sum::<f64>() / counts.len() as f64)
}
