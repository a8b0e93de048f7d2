//! `summary.json`: what came out of a run, in the form that reports and comparisons read.

use std::collections::BTreeMap;

use camtl_data::metrics::{GlueRule, ScoreTable, glue_average};
use camtl_data::sampler::DataUsage;
use camtl_data::task::TaskSpec;
use camtl_model::ParameterReport;
use serde::{Deserialize, Serialize};

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Metrics per task, as fractions; empty if the run was not evaluated.
    pub tasks: ScoreTable,
    /// Average over tasks (see [`average`]).
    pub average: Option<f64>,
    /// Population standard deviation over all metrics of all tasks.
    pub task_sigma: Option<f64>,
    /// By task and split, the examples that the metrics are over; fewer than there are if
    /// `eval.limit` or `eval.max_examples` says so. Summaries of older versions do not have it.
    #[serde(default)]
    pub examples: BTreeMap<String, BTreeMap<String, EvaluatedExamples>>,
    /// Parameters.
    pub params: ParameterSummary,
    /// How much of the data was used.
    pub data: DataSummary,
    /// Speed.
    pub throughput: ThroughputSummary,
    /// Updates made.
    pub steps: u64,
    /// The seed.
    pub seed: u64,
    /// Version of camtl.
    pub version: String,
}

/// How much of a split an evaluation used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluatedExamples {
    /// Examples that were evaluated; windows of long texts count each.
    pub evaluated: u64,
    /// Examples of the split.
    pub total: u64,
}

/// Parameter counts of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterSummary {
    /// All parameters.
    pub total: u64,
    /// Trained parameters.
    pub trained: u64,
    /// All parameters over those of the plain encoder.
    pub total_ratio: f64,
    /// Trained parameters per task in percent of the plain encoder's.
    pub trained_per_task_percent: f64,
    /// Parameters that one more binary task adds.
    pub marginal_per_task: u64,
}

impl From<&ParameterReport> for ParameterSummary {
    fn from(report: &ParameterReport) -> Self {
        Self {
            total: report.total,
            trained: report.trained,
            total_ratio: report.total_ratio,
            trained_per_task_percent: report.trained_per_task_percent,
            marginal_per_task: report.marginal_per_task,
        }
    }
}

/// Data used, in the two readings of docs/method.md
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Distinct training examples ever trained on ÷ all training examples.
    pub distinct_fraction: f64,
    /// Examples trained on, with repeats ÷ (epochs × all training examples).
    pub gradient_fraction: f64,
    /// The same per task.
    pub per_task: BTreeMap<String, TaskDataSummary>,
}

/// Data used of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDataSummary {
    /// Training examples.
    pub size: u64,
    /// Examples trained on, with repeats.
    pub selected: u64,
    /// Distinct examples trained on.
    pub distinct: u64,
    /// `distinct / size`.
    pub distinct_fraction: f64,
    /// `selected / (epochs × size)`.
    pub gradient_fraction: f64,
}

impl DataSummary {
    /// Figures of `usage` after `epochs` epochs of the sampler.
    pub fn new(usage: &DataUsage, epochs: f64) -> Self {
        let per_task = usage.tasks().iter().map(|task| {
            let summary = TaskDataSummary {
                size: u64::from(task.size()),
                selected: task.selected(),
                distinct: u64::from(task.distinct()),
                distinct_fraction: task.distinct_fraction(),
                gradient_fraction: task.gradient_fraction(epochs),
            };
            (task.name().to_owned(), summary)
        });
        Self {
            distinct_fraction: usage.distinct_fraction(),
            gradient_fraction: usage.gradient_fraction(epochs),
            per_task: per_task.collect(),
        }
    }
}

/// Speed of a run, over updates and scoring, without evaluation and saving.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ThroughputSummary {
    /// Examples trained on per second.
    pub examples_per_s: f64,
    /// Tokens trained on per second.
    pub tokens_per_s: f64,
    /// Share of the time that went into scoring candidates.
    pub scoring_share: f64,
}

/// The number that stands for a whole table: GLUE's average of nine scores when all of them are
/// there, otherwise the mean over tasks of each task's first metric.
///
/// `None` for a table in which no task has its first metric.
pub fn average(table: &ScoreTable, specs: &[&TaskSpec], rule: GlueRule) -> Option<f64> {
    if let Ok(average) = glue_average(table, rule) {
        return Some(average);
    }
    let values: Vec<f64> = specs
        .iter()
        .filter_map(|spec| {
            table
                .get(&spec.name)?
                .get(spec.metrics.first()?.name())
                .copied()
        })
        .collect();
    match values.is_empty() {
        true => None,
        false => Some(values.iter().sum::<f64>() / values.len() as f64),
    }
}
