//! How many candidates of each task MT-Uncertainty draws per step.

use super::{CandidateShares, TaskInfo};

/// Candidates of each task: `batch_size` times the number of tasks in all, up to rounding, and at least one of each.
pub(super) fn counts(shares: CandidateShares, tasks: &[TaskInfo], batch_size: usize) -> Vec<usize> {
    let weights: Vec<f64> = tasks
        .iter()
        .map(|task| match shares {
            CandidateShares::Equal => 1.0,
            CandidateShares::SquareRoot => (task.train_size as f64).sqrt(),
            CandidateShares::Proportional => task.train_size as f64,
        })
        .collect();
    let all = (batch_size * tasks.len()) as f64;
    let sum: f64 = weights.iter().sum();
    weights
        .iter()
        .map(|weight| ((all * weight / sum).round() as usize).max(1))
        .collect()
}
