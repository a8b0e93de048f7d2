//! What runs over different tasks came to together: one model for all tasks, or one for each.

use camtl_data::metrics::ScoreTable;
use camtl_trainer::Summary;
use serde::Serialize;

/// Sums over runs that share no task.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct SeveralRuns {
    /// Metrics per task, as fractions.
    pub(crate) tasks: ScoreTable,
    /// Updates, over all models.
    pub(crate) steps: u64,
    /// Examples that gave a gradient, with repeats.
    pub(crate) gradient_examples: u64,
    /// Share of the training examples that gave a gradient at least once.
    pub(crate) distinct_fraction: f64,
    /// Models that are needed to serve all tasks.
    pub(crate) models: u64,
    /// Parameters of all of them.
    pub(crate) total_parameters: u64,
    /// Trained parameters of all of them.
    pub(crate) trained_parameters: u64,
    /// Trained parameters per task in percent of the plain encoder's, the mean over the models.
    pub(crate) trained_per_task_percent: f64,
}

impl SeveralRuns {
    /// Puts the runs' summaries together.
    pub(crate) fn new<'a>(summaries: impl IntoIterator<Item = &'a Summary>) -> Self {
        let mut all = SeveralRuns::default();
        let (mut distinct, mut size) = (0, 0);
        for summary in summaries {
            all.models += 1;
            all.steps += summary.steps;
            all.total_parameters += summary.params.total;
            all.trained_parameters += summary.params.trained;
            all.trained_per_task_percent += summary.params.trained_per_task_percent;
            for task in summary.data.per_task.values() {
                all.gradient_examples += task.selected;
                distinct += task.distinct;
                size += task.size;
            }
            all.tasks.extend(summary.tasks.clone());
        }
        all.trained_per_task_percent /= all.models.max(1) as f64;
        all.distinct_fraction = distinct as f64 / size.max(1) as f64;
        all
    }
}
