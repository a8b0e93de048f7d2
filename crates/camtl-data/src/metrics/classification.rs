//! Metrics of class predictions. Inputs are checked by [`super::compute`]: equal lengths, at least one example.

use std::collections::BTreeMap;

/// Counts of one class: how often predicted, how often true, how often both.
#[derive(Default)]
struct ClassCounts {
    predicted: u64,
    actual: u64,
    both: u64,
}

fn count_classes(predicted: &[u32], actual: &[u32]) -> BTreeMap<u32, ClassCounts> {
    let mut counts: BTreeMap<u32, ClassCounts> = BTreeMap::new();
    for (prediction, reference) in predicted.iter().zip(actual) {
        counts.entry(*prediction).or_default().predicted += 1;
        let counted = counts.entry(*reference).or_default();
        counted.actual += 1;
        if prediction == reference {
            counted.both += 1;
        }
    }
    counts
}

pub(super) fn accuracy(predicted: &[u32], actual: &[u32]) -> f64 {
    let correct = predicted.iter().zip(actual).filter(|(p, r)| p == r).count();
    correct as f64 / actual.len() as f64
}

/// `2 TP / (2 TP + FP + FN)`; the denominator is how often the class was predicted plus how often it is true.
fn f1_of(counts: &ClassCounts) -> f64 {
    let denominator = counts.predicted + counts.actual;
    if denominator == 0 {
        return 0.0;
    }
    2.0 * counts.both as f64 / denominator as f64
}

pub(super) fn f1(predicted: &[u32], actual: &[u32]) -> f64 {
    count_classes(predicted, actual).get(&1).map_or(0.0, f1_of)
}

pub(super) fn macro_f1(predicted: &[u32], actual: &[u32]) -> f64 {
    let counts = count_classes(predicted, actual);
    counts.values().map(f1_of).sum::<f64>() / counts.len() as f64
}

/// Gorodkin's R_K, the Matthews coefficient for any number of classes:
/// `(c n - Σ_k p_k t_k) / sqrt((n² - Σ p_k²)(n² - Σ t_k²))` with c correct of n, p_k predictions and t_k references of
/// class k. Integer sums, so that a perfect prediction is exactly 1.
pub(super) fn matthews(predicted: &[u32], actual: &[u32]) -> f64 {
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
        return 0.0;
    }
    if predicted_variance == actual_variance {
        return covariance as f64 / predicted_variance as f64;
    }
    covariance as f64 / ((predicted_variance as f64).sqrt() * (actual_variance as f64).sqrt())
}
