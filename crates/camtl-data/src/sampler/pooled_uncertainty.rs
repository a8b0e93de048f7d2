//! Pooled uncertainty (ours): uncertain examples at about the cost of one small forward pass, whatever the number of tasks.
//!
//! Every task keeps a pool of examples whose uncertainty is known. Per update of b examples
//! 1. ⌈`scored` · b⌉ examples are scored: entries older than `max_age` updates (the oldest first, at most half of them,
//!    so that entries of one age do not all come at once), otherwise the next ones of the tasks' shuffled streams, shared
//!    out by `candidates`; these join their pools;
//! 2. `unscored` · b examples come straight from the streams, shared out likewise;
//! 3. the rest are the most uncertain entries of all pools ([`super::select`]), never more than a quarter of them, and
//!    leave; what is then missing comes from the streams as well;
//! 4. the training pass itself says how uncertain the model was about 2.: these join their pools for nothing.
//!
//! A pool of more than `pool_size` entries drops the least uncertain. With e = H / (ln C + 1e-5) and the running mean
//! μ_t and spread σ_t of task t over what came from its stream, an entry's score is e · μ_t / max μ (`released`), e
//! (`paper`; Ĥ is the same for all) or exp((e − μ_t) / (σ_t + 1e-5)) (`normalised`).
//!
//! A regression without uncertainty of its own has no pool: its share of the whole batch comes from its stream.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::SamplerKind;
use super::score::{ENTROPY_EPSILON, largest_mean, normalised_entropy};
use super::scorer::scores_of;
use super::select::{Select, within};
use super::shares::apportion;
use super::state::{Progress, Setup, error};
use super::{
    CandidateShares, ExampleRef, RegressionUncertainty, Sampler, SamplerError, Scorer, Scoring,
    Selection, TaskInfo, UncertaintyForm,
};

/// At most one of so many pool entries is selected at once: a choice among fewer is none.
const ENTRIES_PER_CHOICE: usize = 4;
/// Examples after which a running mean forgets the oldest.
const REMEMBERED: f64 = 200.0;

/// The most uncertain of pools that are kept from update to update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PooledUncertainty {
    /// Most entries of a task's pool; at most half of the task's examples count.
    pub pool_size: usize,
    /// Updates after which an entry is scored again.
    pub max_age: u64,
    /// Examples scored per update, as a share of the batch: the cost is that of their forward pass.
    pub scored: f64,
    /// Share of each batch that is taken from the tasks' streams as it comes: what keeps all data in use.
    pub unscored: f64,
    /// The formula of the scores.
    pub form: UncertaintyForm,
    /// The uncertainty of regressions; `borrowed` means none.
    pub regression: RegressionUncertainty,
    /// How new examples are shared out among the tasks.
    pub candidates: CandidateShares,
    /// 0 takes the largest scores; above 0 they are drawn, each with a chance proportional to score^(1/temperature).
    pub temperature: f64,
    /// Least share of each batch that goes to the tasks by `floor_shares`, whatever their scores; what comes unscored
    /// counts.
    pub floor: f64,
    /// How the floor is shared out.
    pub floor_shares: CandidateShares,
}

impl Default for PooledUncertainty {
    fn default() -> Self {
        Self {
            pool_size: 64,
            max_age: 200,
            scored: 0.25,
            unscored: 0.5,
            form: UncertaintyForm::Released,
            regression: RegressionUncertainty::Borrowed,
            candidates: CandidateShares::SquareRoot,
            temperature: 0.0,
            floor: 0.0,
            floor_shares: CandidateShares::SquareRoot,
        }
    }
}

impl PooledUncertainty {
    fn select(&self) -> Select {
        Select {
            temperature: self.temperature,
            floor: self.floor,
            floor_shares: self.floor_shares,
        }
    }

    /// Most entries of a task's pool; none for a regression without uncertainty.
    fn largest_pool(&self, task: &TaskInfo) -> usize {
        match task.regression && self.regression == RegressionUncertainty::Borrowed {
            true => 0,
            false => self.pool_size.min(task.train_size / 2),
        }
    }
}

impl SamplerKind for PooledUncertainty {
    fn check(&self) -> Result<(), SamplerError> {
        if self.pool_size == 0 {
            return Err(SamplerError::Option {
                option: "pool_size",
                value: "0".to_owned(),
                expected: "at least 1",
            });
        }
        // Above 1 mt-uncertainty is the better choice.
        within("scored", self.scored, 0.0..=1.0, "a number in [0, 1]")?;
        within("unscored", self.unscored, 0.0..=1.0, "a number in [0, 1]")?;
        self.select().check()
    }

    fn keeps_scores(&self) -> bool {
        true
    }

    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        let tasks = setup.tasks.len();
        Ok(Box::new(Pooled {
            options: self.clone(),
            pools: vec![Vec::new(); tasks],
            running: vec![Running::default(); tasks],
            pending: Vec::new(),
            progress: Progress::by_task(setup, &vec![1; tasks], "sampler/pooled-uncertainty"),
        }))
    }
}

/// An example of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Row of the training split.
    index: u32,
    /// e when it was scored.
    uncertainty: f64,
    /// The update of that.
    at: u64,
}

/// Mean and variance of e over the newest examples of a task's stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    count: u64,
    mean: f64,
    variance: f64,
}

impl Running {
    fn add(&mut self, value: f64) {
        self.count += 1;
        // An average of all until it forgets.
        let weight = 1.0 / (self.count as f64).min(REMEMBERED);
        let off = value - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
    }

    fn known_mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }
}

/// The sampler.
struct Pooled {
    options: PooledUncertainty,
    progress: Progress,
    /// By task.
    pools: Vec<Vec<Entry>>,
    running: Vec<Running>,
    /// What came unscored in the last batch and has not been observed yet.
    pending: Vec<ExampleRef>,
}

/// State beside the progress.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    pools: Vec<Vec<Entry>>,
    running: Vec<Running>,
    pending: Vec<ExampleRef>,
}

impl Pooled {
    /// The next `count` examples of a task's stream that are neither in its pool nor in `taken`, as far as there are any.
    fn deal(
        &mut self,
        task: usize,
        count: usize,
        taken: &mut BTreeSet<ExampleRef>,
    ) -> Vec<ExampleRef> {
        let size = self.progress.setup.tasks[task].train_size;
        let (pool, loader) = (&self.pools[task], &mut self.progress.loaders[task]);
        let mut dealt = Vec::with_capacity(count);
        for _ in 0..size + count {
            if dealt.len() == count {
                break;
            }
            let index = loader.next_batch()[0];
            let example = ExampleRef {
                task: task as u32,
                index,
            };
            if !pool.iter().any(|entry| entry.index == index) && taken.insert(example) {
                dealt.push(example);
            }
        }
        dealt
    }

    /// [`Pooled::deal`] for several tasks.
    fn deal_each(&mut self, counts: &[usize], taken: &mut BTreeSet<ExampleRef>) -> Vec<ExampleRef> {
        let counts = counts.iter().enumerate();
        counts
            .flat_map(|(task, count)| self.deal(task, *count, taken))
            .collect()
    }

    /// Scores aged entries and new examples; returns how many.
    fn refresh(&mut self, scorer: &mut dyn Scorer) -> Result<usize, SamplerError> {
        let step = self.progress.usage.steps();
        let Progress { setup, draws, .. } = &mut self.progress;
        let weights: Vec<f64> = (self.options.candidates.weights(&setup.tasks).iter())
            .zip(&setup.tasks)
            .map(|(weight, task)| weight * f64::from(self.options.largest_pool(task) > 0))
            .collect();
        if weights.iter().all(|weight| *weight == 0.0) {
            return Ok(0);
        }
        let budget = (self.options.scored * setup.batch_size as f64).ceil() as usize;
        let mut aged: Vec<(u64, usize, usize)> = Vec::new();
        for (task, pool) in self.pools.iter().enumerate() {
            for (place, entry) in pool.iter().enumerate() {
                if step.saturating_sub(entry.at) > self.options.max_age {
                    aged.push((entry.at, task, place));
                }
            }
        }
        aged.sort_unstable();
        aged.truncate(budget.div_ceil(2));
        let counts = apportion(&weights, (budget - aged.len()) as f64, draws);
        let new = self.deal_each(&counts, &mut BTreeSet::new());
        let mut candidates: Vec<ExampleRef> = aged
            .iter()
            .map(|(_, task, place)| ExampleRef {
                task: *task as u32,
                index: self.pools[*task][*place].index,
            })
            .collect();
        candidates.extend(&new);
        if candidates.is_empty() {
            return Ok(0);
        }
        let raw = scores_of(scorer, &self.progress.setup.tasks, &candidates)?;
        for ((_, task, place), raw) in aged.iter().zip(&raw) {
            let uncertainty = self.normalised(*task, *raw);
            let entry = &mut self.pools[*task][*place];
            (entry.uncertainty, entry.at) = (uncertainty, step);
        }
        for (example, raw) in new.iter().zip(&raw[aged.len()..]) {
            self.add(*example, *raw, step);
        }
        Ok(candidates.len())
    }

    /// e of a task's raw score.
    fn normalised(&self, task: usize, raw: f32) -> f64 {
        let info = &self.progress.setup.tasks[task];
        let e = match info.regression {
            true => f64::from(raw),
            false => normalised_entropy(f64::from(raw), info.num_outputs),
        };
        e.max(0.0)
    }

    /// Puts an example of the stream into its pool.
    fn add(&mut self, example: ExampleRef, raw: f32, at: u64) {
        let task = example.task as usize;
        let uncertainty = self.normalised(task, raw);
        self.running[task].add(uncertainty);
        self.pools[task].push(Entry {
            index: example.index,
            uncertainty,
            at,
        });
    }

    /// Drops the least uncertain entries of pools that are too large.
    fn trim(&mut self) {
        for (pool, task) in self.pools.iter_mut().zip(&self.progress.setup.tasks) {
            let most = self.options.largest_pool(task);
            if pool.len() > most {
                // The older of two equals goes first; what stays keeps its order.
                let mut order: Vec<usize> = (0..pool.len()).collect();
                order.sort_by(|a, b| {
                    pool[*b]
                        .uncertainty
                        .total_cmp(&pool[*a].uncertainty)
                        .then(b.cmp(a))
                });
                order.truncate(most);
                order.sort_unstable();
                *pool = order.iter().map(|place| pool[*place]).collect();
            }
        }
    }

    /// Takes `count` entries out of the pools, of each task `least` if there are; with their scores.
    fn take(&mut self, count: usize, least: &[usize]) -> Vec<(ExampleRef, f64)> {
        let means: Vec<Option<f64>> = self.running.iter().map(Running::known_mean).collect();
        let largest = largest_mean(&means);
        let (mut examples, mut tasks, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        for (task, (pool, running)) in self.pools.iter().zip(&self.running).enumerate() {
            for entry in pool {
                let e = entry.uncertainty;
                scores.push(match self.options.form {
                    UncertaintyForm::Released if largest == 0.0 => 0.0,
                    UncertaintyForm::Released => e * (running.mean / largest),
                    UncertaintyForm::Paper => e,
                    UncertaintyForm::Normalised => {
                        ((e - running.mean) / (running.variance.sqrt() + ENTROPY_EPSILON)).exp()
                    }
                });
                tasks.push(task as u32);
                examples.push(ExampleRef {
                    task: task as u32,
                    index: entry.index,
                });
            }
        }
        let draws = &mut self.progress.draws;
        let chosen = match scores.iter().all(|score| *score == 0.0) {
            // Nothing to rank them by.
            true => {
                let mut all: Vec<usize> = (0..examples.len()).collect();
                draws.shuffle(&mut all);
                all.truncate(count);
                all
            }
            false => (self.options.select()).choose(&tasks, &scores, least, count, draws),
        };
        let taken: Vec<(ExampleRef, f64)> = chosen
            .into_iter()
            .map(|place| (examples[place], scores[place]))
            .collect();
        for (example, _) in &taken {
            self.pools[example.task as usize].retain(|entry| entry.index != example.index);
        }
        taken
    }
}

impl Sampler for Pooled {
    fn next_batch(&mut self, scorer: &mut dyn Scorer) -> Result<Selection, SamplerError> {
        let candidates = self.refresh(scorer)?;

        let b = self.progress.setup.batch_size;
        let Progress { setup, draws, .. } = &mut self.progress;
        let weights = self.options.candidates.weights(&setup.tasks);
        let sum: f64 = weights.iter().sum();
        let parts: Vec<f64> = (weights.iter().zip(&setup.tasks))
            .map(|(weight, task)| match self.options.largest_pool(task) {
                0 => weight / sum,
                _ => self.options.unscored * weight / sum,
            })
            .collect();
        let share: f64 = parts.iter().sum();
        let mut counts = match share > 0.0 {
            true => apportion(&parts, share.min(1.0) * b as f64, draws),
            false => vec![0; parts.len()],
        };
        // What the floor asks for beyond this comes from the pools, or else from the streams too.
        let mut least = self.options.select().least(&setup.tasks, b, draws);
        for ((least, count), pool) in least.iter_mut().zip(&mut counts).zip(&self.pools) {
            *least = least.saturating_sub(*count);
            *count += least.saturating_sub(pool.len());
            *least = (*least).min(pool.len());
        }
        let mut taken = BTreeSet::new();
        let mut unscored = self.deal_each(&counts, &mut taken);
        unscored.truncate(b);
        let entries: usize = self.pools.iter().map(Vec::len).sum();
        let wanted = entries.div_ceil(ENTRIES_PER_CHOICE).max(least.iter().sum());
        let selected = self.take(wanted.min(b - unscored.len()), &least);
        taken.extend(selected.iter().map(|(example, _)| *example));
        let missing = b - unscored.len() - selected.len();
        if missing > 0 {
            let counts = apportion(&weights, missing as f64, &mut self.progress.draws);
            unscored.extend(self.deal_each(&counts, &mut taken));
        }
        // Tasks too small for their share leave it to the others.
        for task in 0..self.pools.len() {
            let missing = b - unscored.len() - selected.len();
            unscored.extend(self.deal(task, missing, &mut taken));
        }
        self.trim();

        let estimate = |example: &ExampleRef| self.running[example.task as usize].mean;
        let scores = (selected.iter().map(|(_, score)| *score))
            .chain(unscored.iter().map(estimate))
            .map(|score| score as f32)
            .collect();
        let examples: Vec<ExampleRef> = (selected.iter().map(|(example, _)| *example))
            .chain(unscored.iter().copied())
            .collect();
        self.progress.usage.record(&examples, candidates);
        self.pending = unscored;
        Ok(Selection {
            examples,
            scores: Some(scores),
            candidates,
            mean_uncertainty: (self.running.iter())
                .map(|running| Some(running.known_mean()? as f32))
                .collect(),
        })
    }

    fn scoring(&self) -> Option<Scoring> {
        Some(Scoring {
            regression: self.options.regression,
            observes: true,
        })
    }

    fn observe(&mut self, examples: &[ExampleRef], uncertainty: &[f32]) {
        let step = self.progress.usage.steps();
        let pending = std::mem::take(&mut self.pending);
        let known: BTreeSet<ExampleRef> = pending.into_iter().collect();
        for (example, raw) in examples.iter().zip(uncertainty) {
            let info = &self.progress.setup.tasks[example.task as usize];
            // The training pass knows nothing of a regression's.
            if known.contains(example) && !info.regression && raw.is_finite() {
                self.add(*example, *raw, step);
            }
        }
        self.trim();
    }

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }

    fn own_state(&self) -> Value {
        let saved = Saved {
            pools: self.pools.clone(),
            running: self.running.clone(),
            pending: self.pending.clone(),
        };
        // Finite numbers only: there is nothing that JSON could refuse.
        serde_json::to_value(saved).unwrap_or_default()
    }

    fn restore_own(&mut self, own: &Value) -> Result<(), SamplerError> {
        let saved = Saved::deserialize(own)
            .map_err(|cause| error(format!("pools: {cause}; resume from an earlier checkpoint")))?;
        let tasks = &self.progress.setup.tasks;
        let sizes = |pool: &Vec<Entry>, task: &TaskInfo| {
            pool.iter()
                .all(|entry| (entry.index as usize) < task.train_size)
        };
        let fit = saved.pools.len() == tasks.len()
            && saved.running.len() == tasks.len()
            && (saved.pools.iter().zip(tasks)).all(|(pool, task)| sizes(pool, task));
        if !fit {
            return Err(error(
                "its pools are of other tasks or sizes; resume from an earlier checkpoint"
                    .to_owned(),
            ));
        }
        (self.pools, self.running, self.pending) = (saved.pools, saved.running, saved.pending);
        Ok(())
    }
}
