//! Share of AX-g's pairs with the same prediction for both genders.

use super::error::MetricError;
use super::metric::Rows;
use super::metric::{Compares, Metric};
use super::winogender::gender_parity;
use crate::spec::Example;

pub(super) const METRIC: Metric = Metric {
    name: "gender_parity",
    spelling: "gender-parity",
    compares: &[Compares::Rows(of_pairs)],
    labels_problem: None,
};

fn of_pairs(rows: &Rows<'_>) -> Result<f64, MetricError> {
    let (mut hypotheses, mut predictions) = (Vec::new(), Vec::new());
    for (index, (Example { text_a, text_b, .. }, class)) in &rows.classes {
        let partner = index ^ 1;
        // A last row without a partner is an error of the file, which the metric tells.
        if rows.classes.contains_key(&partner) || partner >= rows.all {
            hypotheses.push(text_b.as_deref().unwrap_or(text_a));
            predictions.push(*class);
        }
    }
    gender_parity(&hypotheses, &predictions)
}
