//! Shares of the tasks in what a sampler draws: candidates, or the least part of a batch.

use serde::{Deserialize, Serialize};

use super::TaskInfo;
use crate::random::Stream;

/// What the tasks' shares are in proportion to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateShares {
    /// Nothing: every task has the same, as in the paper and its code.
    #[default]
    Equal,
    /// The square root of a task's size.
    SquareRoot,
    /// A task's size.
    Proportional,
}

impl CandidateShares {
    /// The tasks' weights: shares are weights over their sum.
    pub(super) fn weights(self, tasks: &[TaskInfo]) -> Vec<f64> {
        tasks
            .iter()
            .map(|task| match self {
                Self::Equal => 1.0,
                Self::SquareRoot => (task.train_size as f64).sqrt(),
                Self::Proportional => task.train_size as f64,
            })
            .collect()
    }
}

/// Shares `total` out among tasks of these weights: each gets its part rounded up or down, so that it has exactly its
/// part on average over many draws, and all together have `total`, rounded likewise (systematic sampling: one draw).
pub(super) fn apportion(weights: &[f64], total: f64, draws: &mut Stream) -> Vec<usize> {
    let offset = draws.uniform();
    let (mut reached, mut given) = (0.0, 0usize);
    let sum: f64 = weights.iter().sum();
    let last = weights.len().saturating_sub(1);
    let mut counts = Vec::with_capacity(weights.len());
    for (task, weight) in weights.iter().enumerate() {
        reached = match task == last {
            true => total,
            false => reached + weight / sum * total,
        };
        let upto = ((reached - offset).ceil().max(0.0) as usize).max(given);
        counts.push(upto - given);
        given = upto;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_exact_on_average_and_add_up() {
        let mut draws = Stream::new(1, "shares");
        let shares = [0.5, 0.3, 0.15, 0.05];
        let mut sums = [0usize; 4];
        for _ in 0..4000 {
            let counts = apportion(&shares, 5.0, &mut draws);
            assert_eq!(counts.iter().sum::<usize>(), 5);
            for ((count, share), sum) in counts.iter().zip(shares).zip(&mut sums) {
                assert!((*count as f64 - 5.0 * share).abs() < 1.0, "{counts:?}");
                *sum += count;
            }
        }
        for (sum, share) in sums.iter().zip(shares) {
            assert!(
                (*sum as f64 / 4000.0 - 5.0 * share).abs() < 0.03,
                "{sums:?}"
            );
        }
        assert_eq!(apportion(&shares, 0.0, &mut draws), [0; 4]);
        let halves: usize = (0..1000)
            .map(|_| apportion(&[1.0], 0.5, &mut draws)[0])
            .sum();
        assert!((450..550).contains(&halves), "{halves}");
    }
}
