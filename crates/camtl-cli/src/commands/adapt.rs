//! `camtl adapt`: a trained model learns one more task.
//!
//! The new task is trained alone, on the trained model's shared parameters, in `adaptation/` of the new
//! run folder (a run of its own: checkpoints, events). Then its row of the task embedding and its head
//! join those of the trained model, and the whole becomes a finished run.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use camtl_data::encoded::TaskDataset;
use camtl_data::metrics::{ScoreTable, task_sigma};
use camtl_data::sampler::{SamplerConfig, ShuffledMix};
use camtl_data::task::TaskSpec;
use camtl_model::adapt::{TaskStart, freeze_shared};
use camtl_model::{Freeze, Model, ParameterReport};
use camtl_trainer::evaluate::add_scores;
use camtl_trainer::run_folder::{CONFIG_FILE, write_finished};
use camtl_trainer::summary::{self, ParameterSummary};
use camtl_trainer::{
    Outcome as TrainOutcome, RunConfig, Summary, TrainError, Trainer, evaluate, load_datasets,
    set_device_options, setup,
};

use crate::cli::AdaptArgs;
use crate::failure::{Failure, INTERRUPTED, Outcome, SUCCESS};
use crate::progress::Progress;
use crate::trained::{self, TrainedRun};
use crate::{interrupt, logging, output, scores};

/// The folder of the new task's own training inside the new run.
const PART: &str = "adaptation";
/// Epochs over the new task's data, unless the command line says otherwise.
const EPOCHS: f64 = 3.0;
/// Fewest updates, however little data there is, unless the command line says otherwise.
const LEAST_STEPS: u64 = 200;
/// Learning rate while only the row and the head are trained: they are few and start from nothing.
const FROZEN_LEARNING_RATE: f64 = 1e-3;

/// Runs the command.
pub(crate) fn run(args: &AdaptArgs, quiet: bool) -> Outcome {
    let base = TrainedRun::open(&args.base, &args.weights)?;
    let spec = new_task(args, &base)?;
    let start = start(args, &base)?;
    let run_dir = run_dir(args, &spec)?;
    let mut config = configuration(args, &base, &spec)?;
    let mut datasets = load_datasets(&config, std::slice::from_ref(&spec), &base.tokenizer)
        .map_err(trained::classify)?;
    set_length(args, &mut config, &datasets)?;
    let stop = interrupt::install()?;
    let part = run_dir.join(PART);
    let fresh = || {
        let encoder = base.model.config().encoder.clone();
        let alone = setup::model_config(&config, &[&spec], encoder);
        let (head, freeze) = (&alone.tasks[0], alone.freeze.clone());
        let mut model = base
            .model
            .for_new_task(head, &start, freeze, config.train.seed)?;
        set_device_options(&mut model, &config.train)?;
        Ok::<_, TrainError>(model)
    };
    let mut trainer = match args.resume {
        true => Trainer::resume(config.clone(), datasets.clone(), &part, fresh),
        false => fresh()
            .and_then(|model| Trainer::new(config.clone(), datasets.clone(), model, Some(&part))),
    }
    .map_err(trained::classify)?;
    logging::attach(&part)?;
    trained::copy_tokenizer(&base.tokenizer_dir, &part)?;
    tracing::info!(run = %run_dir.display(), task = spec.name, "adaptation begins");
    let mut progress = Progress::new("", quiet);
    let outcome = trainer
        .run(&mut |event| progress.show(event), &stop)
        .map_err(trained::classify)?;
    drop(progress);
    drop(trainer);
    let part_summary = match outcome {
        TrainOutcome::Finished(summary) => summary,
        TrainOutcome::Interrupted { step, .. } => {
            output::note(&format!(
                "stopped after step {step}, saved in {}",
                part.display()
            ));
            output::note("hint: continue with the same command and --resume");
            return Ok(INTERRUPTED);
        }
    };
    let adapted = Model::load(&part, base.model.device())?;
    let joined = base.model.joined(&adapted)?;
    let unchanged = joined.shares_parameters_with(&base.model)?;
    let dataset = datasets.pop();
    let new_scores = new_scores(&config, &joined, dataset.as_ref())?;
    let specs: Vec<&TaskSpec> = base.specs.iter().chain([&spec]).collect();
    let summary = summary_of(&base, &joined, &specs, &new_scores, part_summary, unchanged)?;
    trained::copy_tokenizer(&base.tokenizer_dir, &run_dir)?;
    write_finished(&run_dir, &base.config, &specs, &joined, &summary).map_err(trained::classify)?;
    output::result(&told(&run_dir, &base, &spec, &summary, unchanged))?;
    Ok(SUCCESS)
}

/// The new task's description. Files outside the run's data folder get absolute paths, so that the
/// run finds them.
fn new_task(args: &AdaptArgs, base: &TrainedRun) -> Result<TaskSpec, Failure> {
    let mut spec = TaskSpec::from_file(&args.task).map_err(Failure::usage)?;
    if base.specs.iter().any(|other| other.name == spec.name) {
        return Err(Failure::usage(anyhow!(
            "{} has a task `{}` already",
            args.base.display(),
            spec.name
        ))
        .hint("give the new task another `name` in its task file"));
    }
    if let Some(dir) = &args.data_dir
        && *dir != base.config.data.dir
    {
        let dir = std::path::absolute(dir)?;
        let splits: Vec<String> = spec.files.keys().cloned().collect();
        for split in splits {
            let path = spec.split_path(&dir, &split);
            if let (Some(source), Some(path)) = (spec.files.get_mut(&split), path) {
                source.path = path;
            }
        }
    }
    Ok(spec)
}

/// Where the new row of the task embedding starts.
fn start(args: &AdaptArgs, base: &TrainedRun) -> Result<TaskStart, Failure> {
    let Some(name) = &args.init_from else {
        return Ok(TaskStart::Mean);
    };
    if !base.model.config().method.is_conditional() {
        return Err(Failure::usage(anyhow!(
            "--init-from {name}: {} is a plain encoder with heads and has no task embedding",
            args.base.display()
        ))
        .hint("leave --init-from out; the new task gets a head"));
    }
    Ok(match name.as_str() {
        "mean" => TaskStart::Mean,
        "random" => TaskStart::Random,
        task => {
            base.task_index(task)
                .map_err(|failure| failure.hint("--init-from takes a task, mean or random"))?;
            TaskStart::Task(task.to_owned())
        }
    })
}

fn run_dir(args: &AdaptArgs, spec: &TaskSpec) -> Result<PathBuf, Failure> {
    let dir = match &args.run {
        Some(dir) => dir.clone(),
        None => {
            let mut name = args.base.clone().into_os_string();
            name.push(format!("-{}", spec.name));
            PathBuf::from(name)
        }
    };
    if dir.join(CONFIG_FILE).exists() {
        return Err(trained::classify(TrainError::RunExists {
            run_dir: dir,
            found: CONFIG_FILE,
        }));
    }
    Ok(dir)
}

/// The configuration of the new task's own training: the trained run's, for one task.
fn configuration(
    args: &AdaptArgs,
    base: &TrainedRun,
    spec: &TaskSpec,
) -> Result<RunConfig, Failure> {
    if !(args.fraction > 0.0 && args.fraction <= 1.0) {
        return Err(Failure::usage(anyhow!(
            "--fraction is {}; expected a number above 0 and at most 1",
            args.fraction
        )));
    }
    let mut config = base.config.clone();
    if let Some(dir) = &args.data_dir {
        config.data.dir.clone_from(dir);
    }
    config.data.tasks = vec![args.task.clone()];
    config.data.train_limit = None;
    config.data.train_fraction = (args.fraction < 1.0).then_some(args.fraction);
    config.model.freeze = freeze(&args.freeze, base)?;
    config.sampler = SamplerConfig::from(ShuffledMix {});
    config.train.exploration = 0.0;
    config.keep_loss_weights([]);
    config.train.epochs = EPOCHS;
    config.train.max_steps = None;
    if args.freeze == "shared" {
        config.train.learning_rate = FROZEN_LEARNING_RATE;
    }
    // The whole model is evaluated once the task has joined it.
    config.eval.at_end = false;
    let evaluated = |split: &String| setup::has_split(&config, spec, split);
    if !config.eval.splits.iter().any(evaluated) {
        config.eval.every_steps = None;
    }
    let text = config.to_toml()?;
    RunConfig::from_toml(&text, "the trained run's configuration", &args.set)
        .map_err(Failure::usage)
}

/// `shared`, what a configuration's `model.freeze` takes, or patterns with commas between them.
fn freeze(text: &str, base: &TrainedRun) -> Result<Freeze, Failure> {
    if text == "shared" {
        return Ok(freeze_shared(base.model.config())?);
    }
    if text.contains('*') {
        let patterns = text.split(',').map(|part| part.trim().to_owned());
        return Ok(Freeze::Patterns(patterns.collect()));
    }
    text.parse::<Freeze>().map_err(|error| {
        Failure::usage(anyhow::Error::new(error).context(format!("--freeze {text}")))
            .hint("--freeze takes shared, none, layers such as 0-4, or patterns such as 'bert.embeddings.*'")
    })
}

/// The number of updates, if the command line leaves it open: some epochs, and not too few of them.
fn set_length(
    args: &AdaptArgs,
    config: &mut RunConfig,
    datasets: &[TaskDataset],
) -> Result<(), Failure> {
    let is_set = |key: &str| args.set.iter().any(|set| set.trim_start().starts_with(key));
    if is_set("train.epochs") || is_set("train.max_steps") || is_set("train=") {
        return Ok(());
    }
    let examples: usize = datasets
        .iter()
        .filter_map(|dataset| Some(dataset.split("train")?.len()))
        .sum();
    let per_epoch = examples.div_ceil(config.train.batch_size.max(1)) as f64;
    config.train.max_steps = Some(((per_epoch * EPOCHS) as u64).max(LEAST_STEPS));
    Ok(())
}

/// The joined model's scores on the new task; empty if it has no split to evaluate.
fn new_scores(
    config: &RunConfig,
    joined: &Model,
    dataset: Option<&TaskDataset>,
) -> Result<ScoreTable, Failure> {
    let mut table = ScoreTable::new();
    let Some(dataset) = dataset else {
        return Ok(table);
    };
    let index = joined.config().tasks.len() - 1;
    let splits = &config.eval.splits;
    for split in splits.iter().filter(|split| dataset.split(split).is_some()) {
        let scores = evaluate(joined, dataset, index, split, config.eval.batch_tokens)?;
        add_scores(&mut table, &scores, splits.first().unwrap_or(split));
    }
    Ok(table)
}

/// What the new run's `summary.json` says. The old tasks' scores are the trained run's if their
/// outputs are; otherwise nobody has measured them.
fn summary_of(
    base: &TrainedRun,
    joined: &Model,
    specs: &[&TaskSpec],
    new_scores: &ScoreTable,
    part: Summary,
    unchanged: bool,
) -> Result<Summary, Failure> {
    let mut tasks = match trained::read_summary(&base.dir) {
        Some(summary) if unchanged => summary.tasks,
        _ => ScoreTable::new(),
    };
    tasks.extend(new_scores.clone());
    let known: Vec<&TaskSpec> = specs
        .iter()
        .filter(|spec| tasks.contains_key(&spec.name))
        .copied()
        .collect();
    let report = ParameterReport::new(joined.config())?;
    Ok(Summary {
        average: summary::average(&tasks, &known, base.config.eval.glue_average),
        task_sigma: match tasks.is_empty() {
            true => None,
            false => Some(task_sigma(&tasks)?),
        },
        tasks,
        params: ParameterSummary {
            trained: part.params.trained,
            trained_per_task_percent: part.params.trained_per_task_percent,
            ..ParameterSummary::from(&report)
        },
        ..part
    })
}

/// What the user reads at the end.
fn told(
    run_dir: &Path,
    base: &TrainedRun,
    spec: &TaskSpec,
    summary: &Summary,
    unchanged: bool,
) -> String {
    let old: Vec<&str> = base.specs.iter().map(|spec| spec.name.as_str()).collect();
    let old = old.join(", ");
    let case = match unchanged {
        true => format!(
            "Only the row and the head of {} were trained: the outputs of {old} are unchanged, bit \
             for bit.",
            spec.name
        ),
        false => format!(
            "Shared parameters were trained: the outputs of {old} have changed; `{} eval {}` \
             measures them.",
            output::command(),
            run_dir.display()
        ),
    };
    let mut order: Vec<&str> = base.specs.iter().map(|spec| spec.name.as_str()).collect();
    order.push(&spec.name);
    let size = summary
        .data
        .per_task
        .get(&spec.name)
        .map_or(0, |data| data.size);
    let table = scores::table(&summary.tasks, &order, summary.average, summary.task_sigma);
    format!(
        "{}: {} on {size} examples, {} updates, {} parameters trained\n{case}\n\n{table}",
        run_dir.display(),
        spec.name,
        summary.steps,
        summary.params.trained,
    )
}
