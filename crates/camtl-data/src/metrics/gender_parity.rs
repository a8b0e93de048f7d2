//! Share of AX-g's pairs with the same prediction for both genders.

use std::collections::BTreeMap;

use super::evidence::Job;
use super::winogender::gender_parity;
use super::{Compares, Metric};
use crate::answers::{AnswerError, RowsOf};
use crate::reader::Example;

pub(super) const METRIC: Metric = Metric {
    name: "gender_parity",
    spelling: "gender-parity",
    compares: &[Compares::Rows(of_pairs)],
    labels_problem: None,
};

fn of_pairs(job: &Job<'_>) -> Result<f64, AnswerError> {
    let rows = RowsOf::new(job.spec, job.split)?;
    let by_index: BTreeMap<usize, u32> = job
        .indices
        .iter()
        .copied()
        .zip(job.decisions()?.predicted)
        .collect();
    let (mut hypotheses, mut predictions) = (Vec::new(), Vec::new());
    for (index, class) in &by_index {
        let partner = index ^ 1;
        // A last row without a partner is an error of the file, which the metric tells.
        if by_index.contains_key(&partner) || partner >= job.split.len() {
            let Example { text_a, text_b, .. } = rows.row(*index);
            hypotheses.push(text_b.as_deref().unwrap_or(text_a));
            predictions.push(*class);
        }
    }
    Ok(gender_parity(&hypotheses, &predictions)?)
}
