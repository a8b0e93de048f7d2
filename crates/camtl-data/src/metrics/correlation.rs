//! Correlation of predicted and reference scores. Inputs are checked by [`super::compute`]: equal lengths, at least one
//! example, finite values. All sums are in f64.

/// Pearson's r; 0 where it is 0/0, that is if either side is constant (a single example included).
pub(super) fn pearson(predicted: &[f32], actual: &[f32]) -> f64 {
    let x: Vec<f64> = predicted.iter().map(|v| f64::from(*v)).collect();
    let y: Vec<f64> = actual.iter().map(|v| f64::from(*v)).collect();
    pearson_f64(&x, &y)
}

/// Spearman's rho: Pearson's r of the average ranks; 0 if either side is constant.
pub(super) fn spearman(predicted: &[f32], actual: &[f32]) -> f64 {
    pearson_f64(&average_ranks(predicted), &average_ranks(actual))
}

fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

fn pearson_f64(x: &[f64], y: &[f64]) -> f64 {
    // Tested on the values, not on the variance: the rounded mean of equal values may differ from them by a hair, which
    // would turn 0/0 into an arbitrary number.
    if is_constant(x) || is_constant(y) {
        return 0.0;
    }
    let n = x.len() as f64;
    let mean_x = x.iter().sum::<f64>() / n;
    let mean_y = y.iter().sum::<f64>() / n;
    // Scaled by the largest deviation so that squares of huge or tiny values neither overflow nor vanish.
    let spread = |values: &[f64], mean: f64| {
        values
            .iter()
            .map(|v| (v - mean).abs())
            .fold(0.0f64, f64::max)
    };
    let (scale_x, scale_y) = (spread(x, mean_x), spread(y, mean_y));
    if scale_x == 0.0 || scale_y == 0.0 {
        return 0.0;
    }
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (dx, dy) = ((a - mean_x) / scale_x, (b - mean_y) / scale_y);
        xy += dx * dy;
        xx += dx * dx;
        yy += dy * dy;
    }
    (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0)
}

/// Ranks from 1; equal values share the mean of the ranks they occupy.
fn average_ranks(values: &[f32]) -> Vec<f64> {
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
