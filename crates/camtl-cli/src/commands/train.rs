//! `camtl train`: trains what a configuration file describes.

use std::path::{Path, PathBuf};

use camtl_trainer::{Outcome as TrainOutcome, RunConfig, TrainError, setup};

use crate::cli::TrainArgs;
use crate::failure::{Failure, INTERRUPTED, Outcome, SUCCESS};
use crate::training::{self, Run};
use crate::{interrupt, output, scores, trained};

/// Runs the command.
pub(crate) fn run(args: &TrainArgs, quiet: bool) -> Outcome {
    let run_dir = run_dir(args)?;
    let mut config = configuration(args, &run_dir)?;
    let stop = interrupt::install()?;
    let mut specs = config.task_specs().map_err(Failure::usage)?;
    for left_out in setup::leave_out_missing(&mut config, &mut specs).map_err(Failure::usage)? {
        output::note(&format!("warning: {left_out}"));
    }
    if !args.resume {
        refuse_existing(&run_dir)?;
    }
    let run = Run {
        dir: &run_dir,
        resume: args.resume,
        label: "",
        quiet,
    };
    match training::train(&config, &specs, run, &stop)? {
        TrainOutcome::Finished(summary) => {
            let header = format!("{}: {} steps\n\n", run_dir.display(), summary.steps);
            let order: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            output::result(
                &(header
                    + &scores::table(&summary.tasks, &order, summary.average, summary.task_sigma)),
            )?;
            Ok(SUCCESS)
        }
        TrainOutcome::Interrupted { step, checkpoint } => {
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
