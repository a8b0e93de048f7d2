//! What came out of the runs of a row.

use camtl_data::metrics::{GlueRule, ScoreTable, task_sigma};
use camtl_data::task::TaskSpec;
use camtl_trainer::{Summary, summary};
use serde::Serialize;

use super::grid::{Paper, Row};

/// One row with one seed: one run, or one for each task.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SeedOutcome {
    /// The seed.
    pub(super) seed: u64,
    /// Metrics per task, as fractions.
    pub(super) tasks: ScoreTable,
    /// Share of the training examples that gave a gradient at least once.
    pub(super) distinct_fraction: f64,
    /// Updates, of all runs together.
    pub(super) steps: u64,
    /// Models that serve all tasks.
    pub(super) models: usize,
    /// Trained parameters per task in percent of the plain encoder's.
    pub(super) trained_per_task_percent: f64,
    /// The tasks, in order.
    #[serde(skip)]
    pub(super) specs: Vec<TaskSpec>,
}

impl SeedOutcome {
    /// Puts runs over different tasks together.
    pub(super) fn new(seed: u64, runs: Vec<Summary>, specs: &[TaskSpec]) -> Self {
        let models = runs.len();
        let mut outcome = Self {
            seed,
            tasks: ScoreTable::new(),
            distinct_fraction: 0.0,
            steps: 0,
            models,
            trained_per_task_percent: 0.0,
            specs: specs.to_vec(),
        };
        let (mut distinct, mut size) = (0, 0);
        for run in runs {
            outcome.steps += run.steps;
            outcome.trained_per_task_percent +=
                run.params.trained_per_task_percent / models.max(1) as f64;
            for task in run.data.per_task.values() {
                distinct += task.distinct;
                size += task.size;
            }
            outcome.tasks.extend(run.tasks);
        }
        outcome.distinct_fraction = distinct as f64 / size.max(1) as f64;
        outcome
    }

    /// Average over those of the tasks that `wanted` names.
    pub(super) fn average(&self, wanted: &[String], rule: GlueRule) -> Option<f64> {
        let specs: Vec<&TaskSpec> = self
            .specs
            .iter()
            .filter(|spec| wanted.contains(&spec.name))
            .collect();
        summary::average(&self.scores_of(wanted), &specs, rule)
    }

    /// Standard deviation over all scores of those tasks.
    pub(super) fn task_sigma(&self, wanted: &[String]) -> Option<f64> {
        task_sigma(&self.scores_of(wanted)).ok()
    }

    fn scores_of(&self, wanted: &[String]) -> ScoreTable {
        let mut scores = self.tasks.clone();
        scores.retain(|task, _| wanted.contains(task));
        scores
    }

    /// The first metric of a task.
    pub(super) fn score(&self, task: &str) -> Option<f64> {
        let spec = self.specs.iter().find(|spec| spec.name == task)?;
        let metric = spec.metrics.first()?.name();
        self.tasks.get(task)?.get(metric).copied()
    }
}

/// A row so far.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RowOutcome {
    /// As the table shows it.
    pub(super) name: String,
    /// Its folder.
    pub(super) folder: &'static str,
    /// The paper's figures, in percent.
    pub(super) paper: Paper,
    /// What there is of each seed.
    pub(super) seeds: Vec<SeedOutcome>,
}

impl RowOutcome {
    /// A row without a run.
    pub(super) fn new(row: &Row) -> Self {
        Self {
            name: row.name.clone(),
            folder: row.folder,
            paper: row.paper,
            seeds: Vec::new(),
        }
    }

    /// Mean over the seeds, and their sample standard deviation if there are several.
    pub(super) fn over_seeds(
        &self,
        value: impl Fn(&SeedOutcome) -> Option<f64>,
    ) -> Option<(f64, Option<f64>)> {
        let values: Vec<f64> = self.seeds.iter().filter_map(value).collect();
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let spread = (values.len() > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / (count - 1.0)).sqrt()
        });
        Some((mean, spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(averages: &[f64]) -> RowOutcome {
        let seed = |(seed, value): (usize, &f64)| SeedOutcome {
            seed: seed as u64,
            tasks: ScoreTable::new(),
            distinct_fraction: *value,
            steps: 1,
            models: 1,
            trained_per_task_percent: 0.0,
            specs: Vec::new(),
        };
        RowOutcome {
            name: String::new(),
            folder: "x",
            paper: Paper::default(),
            seeds: averages.iter().enumerate().map(seed).collect(),
        }
    }

    #[test]
    fn seeds_have_a_mean_and_a_sample_deviation() {
        let value = |outcome: &SeedOutcome| Some(outcome.distinct_fraction);
        assert_eq!(row(&[]).over_seeds(value), None);
        assert_eq!(row(&[0.5]).over_seeds(value), Some((0.5, None)));
        let (mean, spread) = row(&[1.0, 2.0, 4.0]).over_seeds(value).unwrap();
        // numpy.std([1, 2, 4], ddof=1)
        assert!((mean - 7.0 / 3.0).abs() < 1e-12);
        assert!((spread.unwrap() - 1.527_525_231_651_946_6).abs() < 1e-12);
    }
}
