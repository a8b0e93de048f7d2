//! Averages over tasks: GLUE's nine scores and the spread over tasks.
//!
//! The paper averages nine scores of eight tasks: CoLA, MNLI matched and MNLI mismatched (counted as two), MRPC, QNLI,
//! QQP, RTE, SST-2, STS-B; WNLI is left out. MRPC and QQP have accuracy and F1, STS-B has Pearson and Spearman; which
//! of them enters is a [`GlueRule`].
//!
//! ```
//! use camtl_data::metrics::{task_sigma, ScoreTable};
//!
//! let mut scores = ScoreTable::new();
//! scores.entry("cola".into()).or_default().insert("mcc".into(), 50.0);
//! scores.entry("rte".into()).or_default().insert("accuracy".into(), 70.0);
//! assert_eq!(task_sigma(&scores)?, 10.0);
//! # Ok::<(), camtl_data::metrics::MetricError>(())
//! ```

use std::collections::BTreeMap;

use super::error::MetricError;

/// Scores by task and by metric name ([`MetricKind::name`](super::MetricKind::name)), all as fractions or all in percent.
///
/// MNLI's second score is either a task of its own (`mnli-mm`, `mnli_mismatched`) or the metric `accuracy_mismatched`
/// of `mnli`.
pub type ScoreTable = BTreeMap<String, BTreeMap<String, f64>>;

/// How the two metrics of MRPC, QQP and STS-B become one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GlueRule {
    /// As the GLUE server: the mean of both metrics.
    Leaderboard,
    /// As the paper's tables: F1 for MRPC and QQP, Spearman for STS-B.
    Paper,
}

/// One of the nine scores: the task's names and, per rule, the metrics whose mean it is.
struct GlueScore {
    task: &'static str,
    /// Accepted spellings, without `-` and `_`.
    names: &'static [&'static str],
    both: &'static [&'static str],
    paper: &'static [&'static str],
}

const ACCURACY: &[&str] = &["accuracy"];
const ACCURACY_F1: &[&str] = &["accuracy", "f1"];

const GLUE_SCORES: [GlueScore; 9] = [
    GlueScore {
        task: "cola",
        names: &["cola"],
        both: &["mcc"],
        paper: &["mcc"],
    },
    GlueScore {
        task: "mnli",
        names: &["mnli", "mnlim"],
        both: ACCURACY,
        paper: ACCURACY,
    },
    GlueScore {
        task: "mnli-mm",
        names: &["mnlimm", "mnlimismatched"],
        both: ACCURACY,
        paper: ACCURACY,
    },
    GlueScore {
        task: "mrpc",
        names: &["mrpc"],
        both: ACCURACY_F1,
        paper: &["f1"],
    },
    GlueScore {
        task: "qnli",
        names: &["qnli"],
        both: ACCURACY,
        paper: ACCURACY,
    },
    GlueScore {
        task: "qqp",
        names: &["qqp"],
        both: ACCURACY_F1,
        paper: &["f1"],
    },
    GlueScore {
        task: "rte",
        names: &["rte"],
        both: ACCURACY,
        paper: ACCURACY,
    },
    GlueScore {
        task: "sst-2",
        names: &["sst2", "sst"],
        both: ACCURACY,
        paper: ACCURACY,
    },
    GlueScore {
        task: "sts-b",
        names: &["stsb", "sts"],
        both: &["pearson", "spearman"],
        paper: &["spearman"],
    },
];

fn plain_name(task: &str) -> String {
    task.chars()
        .filter(|character| !matches!(character, '-' | '_'))
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

impl GlueScore {
    fn value(&self, scores: &ScoreTable, rule: GlueRule) -> Result<f64, MetricError> {
        let metrics = match rule {
            GlueRule::Leaderboard => self.both,
            GlueRule::Paper => self.paper,
        };
        let mut sum = 0.0;
        for metric in metrics {
            sum += self.find(scores, metric)?;
        }
        Ok(sum / metrics.len() as f64)
    }

    fn find(&self, scores: &ScoreTable, metric: &'static str) -> Result<f64, MetricError> {
        let own = scores
            .iter()
            .filter(|(task, _)| self.names.contains(&plain_name(task).as_str()))
            .find_map(|(task, metrics)| metrics.get(metric).map(|value| (task, metric, *value)));
        let found = match own {
            None if self.task == "mnli-mm" => scores
                .iter()
                .filter(|(task, _)| plain_name(task) == "mnli")
                .find_map(|(task, metrics)| {
                    let name = "accuracy_mismatched";
                    metrics.get(name).map(|value| (task, name, *value))
                }),
            found => found,
        };
        match found {
            Some((_, _, value)) if value.is_finite() => Ok(value),
            Some((task, metric, value)) => Err(MetricError::NonFiniteScore {
                task: task.clone(),
                metric: metric.to_owned(),
                value,
            }),
            None => Err(MetricError::MissingScore {
                task: self.task,
                metric,
            }),
        }
    }
}

/// The mean of GLUE's nine scores (MNLI twice, WNLI not at all), in the unit of the table.
///
/// Task names are recognised with or without hyphens and underscores (`sst-2`, `SST2`, `sts_b`).
///
/// # Errors
/// [`MetricError::MissingScore`] names the first score that is not in the table, [`MetricError::NonFiniteScore`] the
/// first that is not a number.
pub fn glue_average(scores: &ScoreTable, rule: GlueRule) -> Result<f64, MetricError> {
    let mut sum = 0.0;
    for score in &GLUE_SCORES {
        sum += score.value(scores, rule)?;
    }
    Ok(sum / GLUE_SCORES.len() as f64)
}

/// Task σ: the population standard deviation over all scores of the table, so that QQP, MRPC and STS-B count with both
/// of their metrics (the measure of the paper's ablation table of how evenly a model does over its tasks).
///
/// # Errors
/// [`MetricError::NoScores`] for an empty table, [`MetricError::NonFiniteScore`] for a score that is not a number.
pub fn task_sigma(scores: &ScoreTable) -> Result<f64, MetricError> {
    let mut values = Vec::new();
    for (task, metrics) in scores {
        for (metric, value) in metrics {
            if !value.is_finite() {
                return Err(MetricError::NonFiniteScore {
                    task: task.clone(),
                    metric: metric.clone(),
                    value: *value,
                });
            }
            values.push(*value);
        }
    }
    if values.is_empty() {
        return Err(MetricError::NoScores);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    Ok((values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / n)
        .sqrt())
}
