//! Pearson's correlation coefficient. All sums are in f64.

use ndarray::ArrayView1;

use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "pearson",
    spelling: "pearson",
    compares: &[Compares::Scores(pearson)],
    labels_problem: None,
};

/// Pearson's r; 0 where it is 0/0, that is if either side is constant (a single example included).
fn pearson(predicted: ArrayView1<'_, f32>, actual: ArrayView1<'_, f32>) -> f64 {
    let x: Vec<f64> = predicted.iter().map(|v| f64::from(*v)).collect();
    let y: Vec<f64> = actual.iter().map(|v| f64::from(*v)).collect();
    pearson_f64(&x, &y)
}

fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

pub(super) fn pearson_f64(x: &[f64], y: &[f64]) -> f64 {
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
