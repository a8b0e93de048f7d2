//! What the metrics of classes count.

use std::collections::BTreeMap;

/// Counts of one class: how often predicted, how often true, how often both.
#[derive(Default)]
pub(super) struct ClassCounts {
    pub(super) predicted: u64,
    pub(super) actual: u64,
    pub(super) both: u64,
}

pub(super) fn count_classes(predicted: &[u32], actual: &[u32]) -> BTreeMap<u32, ClassCounts> {
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

/// `2 TP / (2 TP + FP + FN)`; the denominator is how often the class was predicted plus how often it is true.
pub(super) fn f1_of(counts: &ClassCounts) -> f64 {
    let denominator = counts.predicted + counts.actual;
    if denominator == 0 {
        return 0.0;
    }
    2.0 * counts.both as f64 / denominator as f64
}
