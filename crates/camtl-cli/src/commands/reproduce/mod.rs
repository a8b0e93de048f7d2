//! `camtl reproduce`: the paper's grids.
//!
//! [`grid`] says which runs a grid is made of, [`outcome`] puts what came out of them together, [`table`] shows
//! it. Every run goes through the ordinary trainer and leaves an ordinary run folder, `ROW/seed-N`, or
//! `ROW/seed-N/TASK` where every task is trained by itself.

mod grid;
mod outcome;
mod table;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use camtl_data::task::TaskSpec;
use camtl_data::tokenize::TextTokenizer;
use camtl_model::EncoderConfig;
use camtl_trainer::run_folder::{CONFIG_FILE, finished_run};
use camtl_trainer::{
    Outcome as TrainOutcome, RunConfig, Summary, load_datasets, planned_steps, setup,
};

use crate::cli::ReproduceArgs;
use crate::failure::{Failure, INTERRUPTED, OrFail, Outcome, SUCCESS};
use crate::training::{self, Run, steps_of_each};
use crate::{interrupt, output, trained};
use grid::{Grid, Row};
use outcome::{RowOutcome, SeedOutcome};
use table::Report;

/// Runs the command.
pub(crate) fn run(args: &ReproduceArgs, quiet: bool) -> Outcome {
    let mut base = RunConfig::from_file(&args.config, &args.set).map_err(Failure::usage)?;
    let mut specs = base.task_specs().map_err(Failure::usage)?;
    for left_out in setup::leave_out_missing(&mut base, &mut specs).map_err(Failure::usage)? {
        output::note(&format!("warning: {left_out}"));
    }
    // A finished run of a grid is there for its figures and its model.
    base.checkpoint.keep_when_finished = false;
    let encoder = base.encoder_dir().map_err(Failure::usage)?;
    let layers = EncoderConfig::from_dir(&encoder)
        .map_err(Failure::usage)?
        .num_hidden_layers;
    let grid = Grid::new(args.grid, &base, &specs, layers)?;
    let seeds = match args.seeds.as_slice() {
        [] => vec![base.train.seed],
        seeds => seeds.to_vec(),
    };
    let dir = args
        .run
        .clone()
        .unwrap_or_else(|| Path::new("runs").join(format!("reproduce-{}", args.grid.name())));
    let budget = Budget::new(&base, &specs, &encoder)?;
    let stop = interrupt::install()?;

    let mut rows: Vec<RowOutcome> = grid.rows.iter().map(RowOutcome::new).collect();
    // Seed by seed, so that every row has its first figures early.
    for &seed in &seeds {
        for (at, row) in grid.rows.iter().enumerate() {
            let cell = Cell {
                row,
                seed,
                dir: dir.join(row.folder).join(format!("seed-{seed}")),
                budget: &budget,
            };
            let Some(came_out) = cell.run(quiet, &stop)? else {
                output::note("stopped; start the same command again to go on");
                return Ok(INTERRUPTED);
            };
            rows[at].seeds.push(came_out);
            let report = Report::new(args, &grid, &rows, &budget);
            write(&dir, &report)?;
        }
    }
    output::result(&Report::new(args, &grid, &rows, &budget).render())?;
    Ok(SUCCESS)
}

/// Updates of every row, and of every task by itself.
struct Budget {
    steps: u64,
    steps_alone: Vec<(String, u64)>,
}

impl Budget {
    fn new(base: &RunConfig, specs: &[TaskSpec], encoder: &Path) -> Result<Self, Failure> {
        let tokenizer = TextTokenizer::from_dir(encoder)?;
        let datasets = load_datasets(base, specs, &tokenizer).map_err(trained::classify)?;
        let steps = planned_steps(base, &datasets).map_err(trained::classify)?;
        let sizes: Vec<usize> = datasets
            .iter()
            .map(|dataset| dataset.splits.get("train").map_or(0, |split| split.len()))
            .collect();
        Ok(Self {
            steps,
            steps_alone: specs
                .iter()
                .map(|spec| spec.name.clone())
                .zip(steps_of_each(steps, &sizes))
                .collect(),
        })
    }
}

/// One row with one seed.
struct Cell<'a> {
    row: &'a Row,
    seed: u64,
    dir: PathBuf,
    budget: &'a Budget,
}

impl Cell<'_> {
    /// What came out, trained now if it is not there; none if it was stopped.
    fn run(&self, quiet: bool, stop: &AtomicBool) -> Result<Option<SeedOutcome>, Failure> {
        let mut config = self.row.config.clone();
        config.train.seed = self.seed;
        config.train.max_steps = Some(self.budget.steps);
        let specs = config.task_specs().map_err(Failure::usage)?;
        if !self.row.alone {
            let label = format!("{}, seed {}", self.row.name, self.seed);
            let summary = one_run(&config, &specs, &self.dir, &label, quiet, stop)?;
            return Ok(summary.map(|summary| SeedOutcome::new(self.seed, vec![summary], &specs)));
        }
        let mut summaries = Vec::new();
        for (path, spec) in config.data.tasks.clone().into_iter().zip(&specs) {
            let mut alone = config.clone();
            alone.data.tasks = vec![path];
            alone.keep_loss_weights([spec.name.as_str()]);
            alone.train.max_steps = self
                .budget
                .steps_alone
                .iter()
                .find(|(name, _)| *name == spec.name)
                .map(|(_, steps)| *steps);
            let label = format!("{}, seed {}, {}", self.row.name, self.seed, spec.name);
            let dir = self.dir.join(&spec.name);
            match one_run(
                &alone,
                std::slice::from_ref(spec),
                &dir,
                &label,
                quiet,
                stop,
            )? {
                Some(summary) => summaries.push(summary),
                None => return Ok(None),
            }
        }
        Ok(Some(SeedOutcome::new(self.seed, summaries, &specs)))
    }
}

/// The summary of the run in `dir`; none if it was stopped.
fn one_run(
    config: &RunConfig,
    specs: &[TaskSpec],
    dir: &Path,
    label: &str,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<Option<Summary>, Failure> {
    let spec_refs: Vec<&TaskSpec> = specs.iter().collect();
    let found = finished_run(dir, config, &spec_refs).map_err(|error| {
        trained::classify(error).hint("--run DIR takes another folder, and the runs there stay")
    })?;
    if let Some(summary) = found {
        if !quiet {
            output::note(&format!("{label}: there already"));
        }
        return Ok(Some(summary));
    }
    let run = Run {
        dir,
        resume: dir.join(CONFIG_FILE).is_file(),
        label,
        quiet,
    };
    Ok(match training::train(config, specs, run, stop)? {
        TrainOutcome::Finished(summary) => Some(summary),
        TrainOutcome::Interrupted { .. } => None,
    })
}

fn write(dir: &Path, report: &Report<'_>) -> Result<(), Failure> {
    for (name, text) in [
        ("table.txt", report.render()),
        ("results.json", report.json()?),
    ] {
        let path = dir.join(name);
        camtl_files::write(&path, text.as_bytes())
            .or_work(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
