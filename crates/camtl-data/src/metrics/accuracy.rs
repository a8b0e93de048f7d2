//! Share of right decisions.

use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "accuracy",
    spelling: "accuracy",
    compares: &[Compares::Decisions(accuracy)],
    labels_problem: None,
};

pub(super) fn accuracy(predicted: &[u32], actual: &[u32]) -> f64 {
    let correct = predicted.iter().zip(actual).filter(|(p, r)| p == r).count();
    correct as f64 / actual.len() as f64
}
