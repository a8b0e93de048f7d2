//! `camtl train`: trains what a configuration file describes.

use std::path::{Path, PathBuf};

use camtl_data::task::TaskSpec;
use camtl_data::tokenize::TextTokenizer;
use camtl_trainer::{
    Outcome as TrainOutcome, RunConfig, TrainError, Trainer, build_model, load_datasets,
    resolve_device, setup,
};

use crate::cli::TrainArgs;
use crate::failure::{Failure, INTERRUPTED, OrFail, Outcome, SUCCESS};
use crate::progress::Progress;
use crate::{interrupt, logging, output, scores, trained};

/// Runs the command.
pub(crate) fn run(args: &TrainArgs, quiet: bool) -> Outcome {
    let run_dir = run_dir(args)?;
    let mut config = configuration(args, &run_dir)?;
    let stop = interrupt::install()?;
    let mut specs = config.task_specs().map_err(Failure::usage)?;
    for left_out in setup::leave_out_missing(&mut config, &mut specs).map_err(Failure::usage)? {
        output::note(&format!("warning: {left_out}"));
    }
    let spec_refs: Vec<&TaskSpec> = specs.iter().collect();
    let device = resolve_device(config.train.device).map_err(Failure::usage)?;
    let encoder = config.encoder_dir().map_err(Failure::usage)?;
    let tokenizer = TextTokenizer::from_dir(&encoder).or_work(|| {
        format!(
            "cannot read the tokenizer of the encoder {}",
            encoder.display()
        )
    })?;
    if !args.resume {
        refuse_existing(&run_dir)?;
    }
    let datasets = load_datasets(&config, &specs, &tokenizer).map_err(trained::classify)?;
    let fresh = || {
        let (model, report) = build_model(&config, &spec_refs, &encoder, device)?;
        tracing::info!(encoder = %encoder.display(), %report, "encoder loaded");
        Ok::<_, TrainError>(model)
    };
    let mut trainer = if args.resume {
        Trainer::resume(config.clone(), datasets, &run_dir, fresh)
    } else {
        fresh().and_then(|model| Trainer::new(config.clone(), datasets, model, Some(&run_dir)))
    }
    .map_err(trained::classify)?;
    logging::attach(&run_dir)?;
    trained::copy_tokenizer(&encoder, &run_dir)?;
    tracing::info!(run = %run_dir.display(), resumed = args.resume, "training begins");

    let mut progress = Progress::new("", quiet);
    let outcome = trainer
        .run(&mut |event| progress.show(event), &stop)
        .map_err(trained::classify)?;
    drop(progress);
    match outcome {
        TrainOutcome::Finished(summary) => {
            tracing::info!(steps = summary.steps, "training is over");
            let header = format!("{}: {} steps\n\n", run_dir.display(), summary.steps);
            let order: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            output::result(
                &(header
                    + &scores::table(&summary.tasks, &order, summary.average, summary.task_sigma)),
            )?;
            Ok(SUCCESS)
        }
        TrainOutcome::Interrupted { step, checkpoint } => {
            tracing::info!(step, "stopped on request");
            let saved = checkpoint
                .map_or_else(String::new, |path| format!(", saved in {}", path.display()));
            output::note(&format!("stopped after step {step}{saved}"));
            output::note(&format!(
                "hint: continue with `{} train --resume --run {}`",
                output::command(),
                run_dir.display()
            ));
            Ok(INTERRUPTED)
        }
    }
}

/// `--run`, or `runs/` followed by the configuration's name.
fn run_dir(args: &TrainArgs) -> Result<PathBuf, Failure> {
    match (&args.run, args.config.as_deref().and_then(Path::file_stem)) {
        (Some(run), _) => Ok(run.clone()),
        (None, Some(name)) => Ok(Path::new("runs").join(name)),
        (None, None) => Err(
            Failure::usage(anyhow::anyhow!("--resume without a run folder"))
                .hint("name the folder: camtl train --resume --run DIR"),
        ),
    }
}

/// The configuration file's, or when resuming without one the run's own.
fn configuration(args: &TrainArgs, run_dir: &Path) -> Result<RunConfig, Failure> {
    if args.resume {
        trained::read_config(run_dir)?;
    }
    let path = args
        .config
        .clone()
        .unwrap_or_else(|| run_dir.join(camtl_trainer::run_folder::CONFIG_FILE));
    RunConfig::from_file(&path, &args.set).map_err(Failure::usage)
}

/// Says so before the data is read that the folder is taken; the trainer looks again, with a lock.
fn refuse_existing(run_dir: &Path) -> Result<(), Failure> {
    if run_dir
        .join(camtl_trainer::run_folder::CONFIG_FILE)
        .exists()
    {
        let error = TrainError::RunExists {
            run_dir: run_dir.to_path_buf(),
            found: camtl_trainer::run_folder::CONFIG_FILE,
        };
        return Err(trained::classify(error));
    }
    Ok(())
}
