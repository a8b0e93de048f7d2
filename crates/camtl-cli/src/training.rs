//! One run of the trainer: from a configuration to a run folder.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use camtl_data::task::TaskSpec;
use camtl_data::tokenize::TextTokenizer;
use camtl_trainer::{
    Outcome, RunConfig, TrainError, Trainer, build_model, load_datasets, resolve_device,
};

use crate::failure::{Failure, OrFail};
use crate::progress::Progress;
use crate::{logging, trained};

/// What a run is, beside its configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    /// Its folder.
    pub(crate) dir: &'a Path,
    /// Whether it continues from its last checkpoint.
    pub(crate) resume: bool,
    /// What its progress is shown under.
    pub(crate) label: &'a str,
    /// Whether progress is not shown at all.
    pub(crate) quiet: bool,
}

/// Trains `specs` as `config` says until the run is over or `stop` is raised.
///
/// # Errors
/// The encoder, the data or the run folder cannot be used, or training fails.
pub(crate) fn train(
    config: &RunConfig,
    specs: &[TaskSpec],
    run: Run<'_>,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let spec_refs: Vec<&TaskSpec> = specs.iter().collect();
    let device = resolve_device(config.train.device).map_err(Failure::usage)?;
    let encoder = config.encoder_dir().map_err(Failure::usage)?;
    let tokenizer = TextTokenizer::from_dir(&encoder).or_work(|| {
        format!(
            "cannot read the tokenizer of the encoder {}",
            encoder.display()
        )
    })?;
    let datasets = load_datasets(config, specs, &tokenizer).map_err(trained::classify)?;
    let fresh = || {
        let (model, report) = build_model(config, &spec_refs, &encoder, device)?;
        tracing::info!(encoder = %encoder.display(), %report, "encoder loaded");
        Ok::<_, TrainError>(model)
    };
    let mut trainer = if run.resume {
        Trainer::resume(config.clone(), datasets, run.dir, fresh)
    } else {
        fresh().and_then(|model| Trainer::new(config.clone(), datasets, model, Some(run.dir)))
    }
    .map_err(trained::classify)?;
    logging::attach(run.dir)?;
    trained::copy_tokenizer(&encoder, run.dir)?;
    tracing::info!(run = %run.dir.display(), resumed = run.resume, "training begins");
    let mut progress = Progress::new(run.label, run.quiet);
    let outcome = trainer
        .run(&mut |event| progress.show(event), stop)
        .map_err(trained::classify)?;
    match &outcome {
        Outcome::Finished(summary) => tracing::info!(steps = summary.steps, "training is over"),
        Outcome::Interrupted { step, .. } => tracing::info!(step, "stopped on request"),
    }
    Ok(outcome)
}

/// Shares `total` updates out among tasks trained alone, by the square roots of their training sizes: the
/// small ones would get next to none by size. The shares add up to `total`, each is 1 at least.
pub(crate) fn steps_of_each(total: u64, sizes: &[usize]) -> Vec<u64> {
    let roots: Vec<f64> = sizes.iter().map(|size| (*size as f64).sqrt()).collect();
    let sum: f64 = roots.iter().sum();
    let mut steps: Vec<u64> = roots
        .iter()
        .map(|root| (total as f64 * root / sum).round() as u64)
        .map(|n| n.max(1))
        .collect();
    // Rounding must not change the total.
    if let Some(largest) = (0..steps.len()).max_by_key(|at| steps[*at]) {
        let others: u64 = steps
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != largest)
            .map(|(_, n)| n)
            .sum();
        steps[largest] = total.saturating_sub(others).max(1);
    }
    steps
}
