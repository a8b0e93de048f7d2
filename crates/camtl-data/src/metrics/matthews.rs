//! Matthews correlation coefficient.

use super::class_counts::count_classes;
use super::error::MetricError;
use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "mcc",
    spelling: "matthews",
    compares: &[Compares::Classes(matthews)],
    labels_problem: None,
};

/// Gorodkin's R_K, the Matthews coefficient for any number of classes:
/// `(c n - Σ_k p_k t_k) / sqrt((n² - Σ p_k²)(n² - Σ t_k²))` with c correct of n, p_k predictions and t_k references of
/// class k. Integer sums, so that a perfect prediction is exactly 1.
fn matthews(predicted: &[u32], actual: &[u32]) -> Result<f64, MetricError> {
    let counts = count_classes(predicted, actual);
    let n = actual.len() as i128;
    let (mut correct, mut cross, mut predicted_squares, mut actual_squares) =
        (0i128, 0i128, 0i128, 0i128);
    for class in counts.values() {
        let (p, t) = (i128::from(class.predicted), i128::from(class.actual));
        correct += i128::from(class.both);
        cross += p * t;
        predicted_squares += p * p;
        actual_squares += t * t;
    }
    let covariance = correct * n - cross;
    let predicted_variance = n * n - predicted_squares;
    let actual_variance = n * n - actual_squares;
    if predicted_variance == 0 || actual_variance == 0 {
        return Ok(0.0);
    }
    if predicted_variance == actual_variance {
        return Ok(covariance as f64 / predicted_variance as f64);
    }
    Ok(covariance as f64 / ((predicted_variance as f64).sqrt() * (actual_variance as f64).sqrt()))
}
