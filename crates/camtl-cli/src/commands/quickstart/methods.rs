//! Trains the three methods, each through the ordinary trainer.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use camtl_data::encoded::TaskDataset;
use camtl_data::metrics::task_sigma;
use camtl_data::task::TaskSpec;
use camtl_trainer::{Event, Outcome, RunConfig, Summary, Trainer, build_model, summary};
use serde::Serialize;
use tch::Device;

use super::plan::{Method, Plan};
use super::suite::Suite;
use super::{Halt, Places};
use crate::progress::Progress;
use crate::several_runs::SeveralRuns;
use crate::trained;

/// What one method came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct MethodResult {
    /// Which one.
    #[serde(skip)]
    pub(super) method: Method,
    /// Metrics on the held-out split, steps, data and parameters.
    #[serde(flatten)]
    pub(super) runs: SeveralRuns,
    /// Mean of the tasks' first metrics.
    pub(super) average: Option<f64>,
    /// Standard deviation over all metrics.
    pub(super) task_sigma: Option<f64>,
    /// Candidates that were scored on top.
    pub(super) scored_examples: u64,
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
    let (mut summaries, mut scored_examples) = (Vec::new(), 0);
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
        scored_examples += scored;
        summaries.push(summary);
    }
    let runs = SeveralRuns::new(&summaries);
    let rule = camtl_data::metrics::GlueRule::Paper;
    Ok(MethodResult {
        method,
        average: summary::average(&runs.tasks, &suite.specs(), rule),
        task_sigma: task_sigma(&runs.tasks).ok(),
        runs,
        scored_examples,
        seconds: started.elapsed().as_secs_f64(),
        summary: summaries.pop(),
    })
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
