//! From scores to the batch: the largest, the largest after random perturbation, and the least share of every task.
//!
//! With temperature τ the batch is the b largest of ln s + τ g, g drawn from the Gumbel distribution: b examples without
//! replacement, the chance of each proportional to s^(1/τ) (Gumbel top-b). τ = 0 is the b largest scores. With a floor f
//! at least f b of the examples, shared out by the tasks' weights, are each task's own largest.

use super::score::top_b;
use super::shares::{CandidateShares, apportion};
use super::{SamplerError, TaskInfo};
use crate::random::Stream;

/// What score 0 counts as under a logarithm.
const LEAST_SCORE: f64 = 1e-12;

/// How scored candidates become a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Select {
    /// τ; 0 takes the largest scores as they are.
    pub(super) temperature: f64,
    /// f, in [0, 1].
    pub(super) floor: f64,
    /// What the tasks' shares of the floor are in proportion to.
    pub(super) floor_shares: CandidateShares,
}

impl Select {
    /// Checks the ranges.
    pub(super) fn check(&self) -> Result<(), SamplerError> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(SamplerError::Option {
                option: "temperature",
                value: self.temperature.to_string(),
                expected: "a number of at least 0",
            });
        }
        within("floor", self.floor, 0.0..=1.0, "a number in [0, 1]")
    }

    /// Least number of examples of each task in a batch of `b`. Without a floor nothing is drawn.
    pub(super) fn least(&self, tasks: &[TaskInfo], b: usize, draws: &mut Stream) -> Vec<usize> {
        match self.floor > 0.0 {
            true => apportion(
                &self.floor_shares.weights(tasks),
                self.floor * b as f64,
                draws,
            ),
            false => vec![0; tasks.len()],
        }
    }

    /// Positions of `b` of the candidates (all, if there are fewer), whose tasks and scores of 0 or more these are, by
    /// falling rank; of each task at least as many as `least` says and there are.
    pub(super) fn choose(
        &self,
        tasks: &[u32],
        scores: &[f64],
        least: &[usize],
        b: usize,
        draws: &mut Stream,
    ) -> Vec<usize> {
        let perturbed: Vec<f64>;
        let ranked = match self.temperature > 0.0 {
            false => scores,
            true => {
                let key =
                    |score: &f64| score.max(LEAST_SCORE).ln() + self.temperature * gumbel(draws);
                perturbed = scores.iter().map(key).collect();
                &perturbed
            }
        };
        if least.iter().all(|count| *count == 0) {
            return top_b(ranked, b);
        }
        let order = top_b(ranked, ranked.len());
        let mut owed = least.to_vec();
        let mut chosen = vec![false; order.len()];
        let mut count = 0;
        for &position in &order {
            let owed = &mut owed[tasks[position] as usize];
            if *owed > 0 && count < b {
                *owed -= 1;
                (chosen[position], count) = (true, count + 1);
            }
        }
        for &position in &order {
            if !chosen[position] && count < b {
                (chosen[position], count) = (true, count + 1);
            }
        }
        order.into_iter().filter(|at| chosen[*at]).collect()
    }
}

/// Checks that an option lies in `range`, in words `expected`.
pub(super) fn within(
    option: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    expected: &'static str,
) -> Result<(), SamplerError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(SamplerError::Option {
            option,
            value: value.to_string(),
            expected,
        }),
    }
}

/// A draw from the standard Gumbel distribution.
fn gumbel(draws: &mut Stream) -> f64 {
    // Half a step off zero, whose logarithm is infinite.
    let point = draws.uniform() + f64::EPSILON / 4.0;
    -(-point.ln()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(temperature: f64, floor: f64) -> Select {
        Select {
            temperature,
            floor,
            floor_shares: CandidateShares::SquareRoot,
        }
    }

    #[test]
    fn without_temperature_and_floor_the_largest_are_taken_and_nothing_is_drawn() {
        let mut draws = Stream::new(1, "select");
        let before = draws.state();
        let scores = [0.1, 0.9, 0.0, 0.5, 0.9];
        let chosen = select(0.0, 0.0).choose(&[0, 0, 1, 1, 1], &scores, &[0, 0], 3, &mut draws);
        assert_eq!(chosen, [1, 4, 3]);
        assert_eq!(draws.state(), before);
    }

    #[test]
    fn a_temperature_of_one_draws_in_proportion_to_the_scores() {
        let mut draws = Stream::new(2, "select");
        let scores = [0.5, 0.3, 0.2, 0.0];
        let mut first = [0usize; 4];
        for _ in 0..20_000 {
            let chosen = select(1.0, 0.0).choose(&[0; 4], &scores, &[0], 1, &mut draws);
            first[chosen[0]] += 1;
        }
        for (count, score) in first.iter().zip(scores) {
            assert!(
                (*count as f64 / 20_000.0 - score).abs() < 0.015,
                "{first:?}"
            );
        }
        // A low temperature is nearly exact, a high one nearly uniform.
        let share = |temperature: f64, draws: &mut Stream| {
            let first = (0..2_000).filter(|_| {
                select(temperature, 0.0).choose(&[0; 4], &scores, &[0], 1, draws)[0] == 0
            });
            first.count() as f64 / 2_000.0
        };
        assert!(share(0.05, &mut draws) > 0.99);
        assert!((share(1e3, &mut draws) - 0.25).abs() < 0.05);
    }

    #[test]
    fn a_floor_gives_every_task_its_part_of_the_batch() {
        let task = |name: &str, train_size| TaskInfo {
            name: name.into(),
            train_size,
            num_outputs: 2,
            regression: false,
        };
        // Roots 10 and 30, so shares of a quarter and three quarters of half the batch.
        let infos = [task("small", 100), task("large", 900)];
        let tasks: Vec<u32> = (0..40).map(|at| u32::from(at >= 20)).collect();
        // The large task is sure of everything.
        let scores: Vec<f64> = tasks.iter().map(|task| f64::from(1 - task)).collect();
        let mut draws = Stream::new(3, "select");
        let floor = select(0.0, 0.5);
        let mut large = 0;
        for _ in 0..400 {
            let least = floor.least(&infos, 16, &mut draws);
            let chosen = floor.choose(&tasks, &scores, &least, 16, &mut draws);
            assert_eq!(chosen.len(), 16);
            let of_large = chosen.iter().filter(|at| tasks[**at] == 1).count();
            assert_eq!(of_large, least[1]);
            large += of_large;
        }
        assert!((f64::from(large as u32) / 400.0 - 6.0).abs() < 1e-9);
        // A task with fewer candidates than its floor gives what it has.
        let chosen = floor.choose(&[0, 0, 1], &[1.0, 1.0, 0.0], &[0, 2], 2, &mut draws);
        assert_eq!(chosen, [0, 2]);
    }
}
