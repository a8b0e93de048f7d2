//! Trains the three methods, each through the ordinary trainer.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use camtl_data::encoded::TaskDataset;
use camtl_data::metrics::{ScoreTable, task_sigma};
use camtl_data::task::TaskSpec;
use camtl_trainer::{Event, Outcome, RunConfig, Summary, Trainer, build_model, summary};
use serde::Serialize;
use tch::Device;

use super::plan::{Method, Plan};
use super::suite::Suite;
use super::{Halt, Places};
use crate::progress::Progress;
use crate::trained;

/// What one method came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct MethodResult {
    /// Which one.
    #[serde(skip)]
    pub(super) method: Method,
    /// Metrics per task on the held-out split.
    pub(super) tasks: ScoreTable,
    /// Mean of the tasks' first metrics.
    pub(super) average: Option<f64>,
    /// Standard deviation over all metrics.
    pub(super) task_sigma: Option<f64>,
    /// Updates, over all models.
    pub(super) steps: u64,
    /// Examples that gave a gradient, with repeats.
    pub(super) gradient_examples: u64,
    /// Candidates that were scored on top.
    pub(super) scored_examples: u64,
    /// Share of the training examples that gave a gradient at least once.
    pub(super) distinct_fraction: f64,
    /// Models that are needed to serve all tasks.
    pub(super) models: u64,
    /// Parameters of all of them.
    pub(super) total_parameters: u64,
    /// Trained parameters of all of them.
    pub(super) trained_parameters: u64,
    /// Trained parameters per task in percent of the plain encoder's.
    pub(super) trained_per_task_percent: f64,
    /// Wall-clock time.
    pub(super) seconds: f64,
    /// The summary of the run, for a method with one.
    #[serde(skip)]
    pub(super) summary: Option<Summary>,
}

/// Trains the methods in order.
pub(super) fn train_all(
    plan: &Plan,
    places: &Places,
    suite: &Suite,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<Vec<MethodResult>, Halt> {
    Method::ALL
        .into_iter()
        .map(|method| train(method, plan, places, suite, quiet, stop))
        .collect()
}

fn train(
    method: Method,
    plan: &Plan,
    places: &Places,
    suite: &Suite,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<MethodResult, Halt> {
    let started = Instant::now();
    let mut result = MethodResult {
        method,
        tasks: ScoreTable::new(),
        average: None,
        task_sigma: None,
        steps: 0,
        gradient_examples: 0,
        scored_examples: 0,
        distinct_fraction: 0.0,
        models: 0,
        total_parameters: 0,
        trained_parameters: 0,
        trained_per_task_percent: 0.0,
        seconds: 0.0,
        summary: None,
    };
    let (mut distinct, mut size) = (0, 0);
    // One run over all tasks, or one per task.
    let runs: Vec<(Vec<TaskDataset>, String, u64)> = match method {
        Method::CaMtl | Method::MultiTask => {
            vec![(
                suite.datasets.clone(),
                method.folder().to_owned(),
                plan.steps(),
            )]
        }
        Method::SingleTask => suite
            .datasets
            .iter()
            .zip(plan.single_task_steps(&suite.sizes()))
            .map(|(dataset, steps)| {
                (
                    vec![dataset.clone()],
                    format!("{}/{}", method.folder(), dataset.spec.name),
                    steps,
                )
            })
            .collect(),
    };
    for (datasets, folder, steps) in runs {
        let encoder = places.result.join("encoder");
        let config = plan.run_config(
            method,
            &places.result.join("data"),
            &encoder.display().to_string(),
            steps,
        );
        let (summary, scored) = one_run(config, datasets, places, &folder, quiet, stop)?;
        result.steps += summary.steps;
        result.scored_examples += scored;
        result.models += 1;
        result.total_parameters += summary.params.total;
        result.trained_parameters += summary.params.trained;
        // Per task of the suite: a run per task trains its own parameters for that task alone.
        result.trained_per_task_percent += summary.params.trained_per_task_percent;
        for task in summary.data.per_task.values() {
            result.gradient_examples += task.selected;
            distinct += task.distinct;
            size += task.size;
        }
        result.tasks.extend(summary.tasks.clone());
        result.summary = Some(summary);
    }
    result.trained_per_task_percent /= result.models as f64;
    result.distinct_fraction = distinct as f64 / size.max(1) as f64;
    result.average = summary::average(
        &result.tasks,
        &suite.specs(),
        camtl_data::metrics::GlueRule::Paper,
    );
    result.task_sigma = task_sigma(&result.tasks).ok();
    result.seconds = started.elapsed().as_secs_f64();
    Ok(result)
}

/// One run of the trainer; its summary and how many candidates it scored.
fn one_run(
    config: RunConfig,
    datasets: Vec<TaskDataset>,
    places: &Places,
    folder: &str,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<(Summary, u64), Halt> {
    let specs: Vec<&TaskSpec> = datasets.iter().map(|dataset| &dataset.spec).collect();
    let encoder = places.work.join("encoder");
    let (model, report) = build_model(&config, &specs, &encoder, Device::Cpu)?;
    tracing::info!(run = folder, %report, "encoder loaded");
    let run_dir = places.work.join(folder);
    let mut trainer = Trainer::new(config, datasets, model, Some(&run_dir))?;
    trained::copy_tokenizer(&encoder, &run_dir)?;
    let mut progress = Progress::new(name(&run_dir), quiet);
    let mut scored = 0;
    let mut observe = |event: &Event| {
        if let Event::Step { candidates, .. } = event {
            scored += candidates;
        }
        progress.show(event);
    };
    match trainer.run(&mut observe, stop)? {
        Outcome::Finished(summary) => Ok((summary, scored)),
        Outcome::Interrupted { .. } => Err(Halt::Stopped),
    }
}

fn name(run_dir: &Path) -> &str {
    run_dir
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}
