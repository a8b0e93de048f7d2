//! Spearman's rank correlation coefficient.

use ndarray::ArrayView1;

use super::metric::{Compares, Metric};
use super::pearson::pearson_f64;

pub(super) const METRIC: Metric = Metric {
    name: "spearman",
    spelling: "spearman",
    compares: &[Compares::Scores(spearman)],
    labels_problem: None,
};

/// Spearman's rho: Pearson's r of the average ranks; 0 if either side is constant.
fn spearman(predicted: ArrayView1<'_, f32>, actual: ArrayView1<'_, f32>) -> f64 {
    pearson_f64(&average_ranks(predicted), &average_ranks(actual))
}

/// Ranks from 1; equal values share the mean of the ranks they occupy.
fn average_ranks(values: ArrayView1<'_, f32>) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        let mut end = start + 1;
        // `==` so that 0.0 and -0.0, which the total order keeps apart, are one value.
        while end < order.len() && values[order[end]] == value {
            end += 1;
        }
        let rank = (start + 1 + end) as f64 / 2.0;
        for index in &order[start..end] {
            ranks[*index] = rank;
        }
        start = end;
    }
    ranks
}
