//! What came out of the runs of a row.

use camtl_data::metrics::{GlueRule, ScoreTable, task_sigma};
use camtl_data::task::TaskSpec;
use camtl_trainer::{Summary, summary};
use serde::Serialize;

use super::grid::{Paper, Row};
use crate::several_runs::SeveralRuns;

/// One row with one seed: one run, or one for each task.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SeedOutcome {
    /// The seed.
    pub(super) seed: u64,
    /// Metrics, steps, data and parameters.
    #[serde(flatten)]
    pub(super) runs: SeveralRuns,
    /// The tasks, in order.
    #[serde(skip)]
    pub(super) specs: Vec<TaskSpec>,
}

impl SeedOutcome {
    /// Puts runs over different tasks together.
    pub(super) fn new(seed: u64, runs: Vec<Summary>, specs: &[TaskSpec]) -> Self {
        Self {
            seed,
            runs: SeveralRuns::new(&runs),
            specs: specs.to_vec(),
        }
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
        let mut scores = self.runs.tasks.clone();
        scores.retain(|task, _| wanted.contains(task));
        scores
    }

    /// The first metric of a task.
    pub(super) fn score(&self, task: &str) -> Option<f64> {
        let spec = self.specs.iter().find(|spec| spec.name == task)?;
        let metric = spec.metrics.first()?.name();
        self.runs.tasks.get(task)?.get(metric).copied()
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
            runs: SeveralRuns {
                distinct_fraction: *value,
                ..SeveralRuns::default()
            },
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
        let value = |outcome: &SeedOutcome| Some(outcome.runs.distinct_fraction);
        assert_eq!(row(&[]).over_seeds(value), None);
        assert_eq!(row(&[0.5]).over_seeds(value), Some((0.5, None)));
        let (mean, spread) = row(&[1.0, 2.0, 4.0]).over_seeds(value).unwrap();
        // numpy.std([1, 2, 4], ddof=1)
        assert!((mean - 7.0 / 3.0).abs() < 1e-12);
        assert!((spread.unwrap() - 1.527_525_231_651_946_6).abs() < 1e-12);
    }
}
