//! From entropies to the selected batch: the pure arithmetic of MT-Uncertainty (paper section 4).
//!
//! Candidates are listed in any order with the position of their task. With H the entropy of a candidate in nats and C
//! the number of classes of its task:
//!
//! **released** (the authors' code)
//! - e = H / (ln C + 1e-5)
//! - ē_t = mean of e over the candidates of task t
//! - s = e · ē_t / max_t ē_t
//!
//! **paper**
//! - H̄_t = mean of H over the candidates of task t, Ĥ = max_t H̄_t
//! - U = H / (Ĥ · ln C); Ĥ is the same for all candidates, so the ranking is that of H / ln C
//!
//! **normalised** (ours)
//! - s = exp((e − ē_t) / (σ_t + 1e-5)), σ_t the standard deviation of e over the candidates of task t: tasks that are
//!   uncertain throughout do not fill the batch
//!
//! A regression has C = 1, so H = e = 0: it is selected through [`borrow_scores`], or with an uncertainty u in [0, 1] of
//! its own, which then takes the place of e (released) or of H with ln C = 1 (paper).
//!
//! **No uncertainty at all.** If every task mean is 0 (only regressions, or a model that is perfectly sure), the
//! reference divides 0 by 0. Here all scores are 0, and the sampler draws the batch uniformly from the candidates.
//!
//! ```
//! use camtl_data::sampler::score::{normalised_entropy, released_scores, task_means, top_b};
//!
//! let tasks = [0, 0, 1, 1];
//! let entropy = [0.6, 0.2, 0.3, 0.1];
//! let e: Vec<f64> = entropy.iter().map(|h| normalised_entropy(*h, 2)).collect();
//! let means = task_means(&tasks, &e, 2);
//! let scores = released_scores(&tasks, &e, &means);
//! // Task 1 has half the mean uncertainty of task 0, so 0.3 there counts as 0.15.
//! assert_eq!(top_b(&scores, 3), [0, 1, 2]);
//! ```

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Which formula turns entropies into scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UncertaintyForm {
    /// The authors' code: normalised entropy times the task's share of the largest task mean.
    #[default]
    Released,
    /// The paper: U = H / (Ĥ · ln C).
    Paper,
    /// Ours: how far the normalised entropy is above the task's own mean, in units of the task's own spread.
    Normalised,
}

/// What the released code adds to ln C.
pub const ENTROPY_EPSILON: f64 = 1e-5;

/// e = H / (ln C + 1e-5) of the released code; `entropy` in nats.
pub fn normalised_entropy(entropy: f64, num_outputs: usize) -> f64 {
    entropy / ((num_outputs as f64).ln() + ENTROPY_EPSILON)
}

/// Mean of `values` per task; `None` for a task without candidates.
///
/// `tasks[i]` is the task of candidate i, below `num_tasks`.
pub fn task_means(tasks: &[u32], values: &[f64], num_tasks: usize) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0u64); num_tasks];
    for (task, value) in tasks.iter().zip(values) {
        if let Some((sum, count)) = sums.get_mut(*task as usize) {
            *sum += value;
            *count += 1;
        }
    }
    sums.into_iter()
        .map(|(sum, count)| (count > 0).then(|| sum / count as f64))
        .collect()
}

/// The largest of the means; 0 if there is none. A NaN is passed over.
pub fn largest_mean(means: &[Option<f64>]) -> f64 {
    means.iter().flatten().copied().fold(0.0, f64::max)
}

/// s = e · ē_t / max ē (released form); 0 for all if the largest mean is 0.
pub fn released_scores(tasks: &[u32], normalised: &[f64], means: &[Option<f64>]) -> Vec<f64> {
    let largest = largest_mean(means);
    if largest == 0.0 {
        return vec![0.0; normalised.len()];
    }
    tasks
        .iter()
        .zip(normalised)
        .map(|(task, e)| {
            let mean = means.get(*task as usize).copied().flatten().unwrap_or(0.0);
            e * (mean / largest)
        })
        .collect()
}

/// U = H / (Ĥ · H') (paper form) with H' = `maxima[t]`, ln C of a classification and 1 of a regression; `means` are the
/// task means of the entropies themselves. 0 for all if the largest mean is 0.
pub fn paper_scores(
    tasks: &[u32],
    entropies: &[f64],
    means: &[Option<f64>],
    maxima: &[f64],
) -> Vec<f64> {
    let largest = largest_mean(means);
    if largest == 0.0 {
        return vec![0.0; entropies.len()];
    }
    tasks
        .iter()
        .zip(entropies)
        .map(|(task, entropy)| {
            let maximum = maxima.get(*task as usize).copied().unwrap_or(1.0);
            entropy / (largest * maximum)
        })
        .collect()
}

/// Standard deviation of `values` per task around `means`; 0 for a task without candidates.
pub fn task_spreads(tasks: &[u32], values: &[f64], means: &[Option<f64>]) -> Vec<f64> {
    let squares: Vec<f64> = tasks
        .iter()
        .zip(values)
        .map(|(task, value)| (value - means[*task as usize].unwrap_or(0.0)).powi(2))
        .collect();
    task_means(tasks, &squares, means.len())
        .into_iter()
        .map(|variance| variance.unwrap_or(0.0).sqrt())
        .collect()
}

/// s = exp((e − ē_t) / (σ_t + 1e-5)) (normalised form): whatever the task, 1 is its average candidate.
pub fn normalised_scores(
    tasks: &[u32],
    normalised: &[f64],
    means: &[Option<f64>],
    spreads: &[f64],
) -> Vec<f64> {
    tasks
        .iter()
        .zip(normalised)
        .map(|(task, e)| {
            let task = *task as usize;
            let above = e - means[task].unwrap_or(0.0);
            (above / (spreads[task] + ENTROPY_EPSILON)).exp()
        })
        .collect()
}

/// The j-th candidate of task `to` takes the score of the j-th candidate of task `from`, for j below the smaller of
/// their counts; further candidates of `to` keep the score they have.
pub fn borrow_scores(tasks: &[u32], scores: &mut [f64], from: u32, to: u32) {
    let positions = |wanted: u32| {
        tasks
            .iter()
            .enumerate()
            .filter(move |(_, task)| **task == wanted)
            .map(|(position, _)| position)
    };
    let pairs: Vec<(usize, usize)> = positions(from).zip(positions(to)).collect();
    for (donor, borrower) in pairs {
        scores[borrower] = scores[donor];
    }
}

/// Positions of the `b` largest scores (all, if there are fewer), by falling score. Of equal scores the lower position
/// comes first; NaN comes last.
pub fn top_b(scores: &[f64], b: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let falling = |left: &usize, right: &usize| {
        let (x, y) = (scores[*left], scores[*right]);
        match (x.is_nan(), y.is_nan()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => y.partial_cmp(&x).unwrap_or(Ordering::Equal),
        }
        .then(left.cmp(right))
    };
    let b = b.min(order.len());
    if b == 0 {
        return Vec::new();
    }
    // Only the best b need to be in order.
    if b < order.len() {
        order.select_nth_unstable_by(b - 1, falling);
        order.truncate(b);
    }
    order.sort_unstable_by(falling);
    order
}
