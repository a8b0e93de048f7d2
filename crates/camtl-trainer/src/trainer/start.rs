//! How a run begins: anew, or from a checkpoint.

use std::cell::RefCell;
use std::path::Path;
use std::time::Instant;

use camtl_data::encoded::TaskDataset;
use camtl_data::sampler::build_sampler;
use camtl_data::task::TaskSpec;
use camtl_model::{HeadKind, Model, ParameterReport, StepGraphs, TaskHead};

use super::{STATE, Trainer};
use crate::checkpoint::CheckpointStore;
use crate::config::RunConfig;
use crate::device::{device_name, device_reason};
use crate::error::TrainError;
use crate::event::{Event, TaskSize};
use crate::label_prior;
use crate::optimizer::Optimizer;
use crate::run_folder::RunFolder;
use crate::schedule::LinearSchedule;
use crate::scorer::TRAIN;
use crate::setup::{steps_of, task_head, task_infos};
use crate::state::{Totals, TrainState, Window};

/// Buckets of batches whose graphs are kept: those of training and of scoring.
const GRAPHS: usize = 32;

impl Trainer {
    /// A new run. The data sets are in the order of the model's tasks. Without `run_dir` nothing is
    /// written and nothing can be resumed. With `head_bias_init = "label-prior"` the heads of `model`
    /// are given the prior of the training labels.
    ///
    /// # Errors
    /// Configuration, data sets and model do not belong together, a training split is missing, empty
    /// or has examples without a label, or the run folder holds a run already or is in use.
    pub fn new(
        config: RunConfig,
        datasets: Vec<TaskDataset>,
        model: Model,
        run_dir: Option<&Path>,
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::assemble(config, datasets, model)?;
        label_prior::set(&trainer.model, &trainer.datasets)?;
        if let Some(dir) = run_dir {
            let specs: Vec<&TaskSpec> = trainer
                .datasets
                .iter()
                .map(|dataset| &dataset.spec)
                .collect();
            trainer.folder = Some(RunFolder::create(dir, &trainer.config, &specs)?);
        }
        trainer.first_events = vec![trainer.run_started()?];
        Ok(trainer)
    }

    /// Continues the run in `run_dir` from its newest intact checkpoint. A run that was ended before
    /// its first checkpoint starts from the beginning with the model that `fresh` makes.
    ///
    /// # Errors
    /// There is no run, it is in use, it was started with another configuration, other tasks or other
    /// data, or none of its checkpoints is intact.
    pub fn resume(
        config: RunConfig,
        datasets: Vec<TaskDataset>,
        run_dir: &Path,
        fresh: impl FnOnce() -> Result<Model, TrainError>,
    ) -> Result<Self, TrainError> {
        let specs: Vec<&TaskSpec> = datasets.iter().map(|dataset| &dataset.spec).collect();
        let lock = RunFolder::lock_existing(run_dir, &config, &specs)?;
        let store = CheckpointStore::new(run_dir);
        store.prepare()?;
        let Some((manifest, damaged)) = store.newest_intact()? else {
            if run_dir.join(crate::run_folder::SUMMARY_FILE).exists() {
                return Err(TrainError::Finished {
                    run_dir: run_dir.to_path_buf(),
                });
            }
            let mut trainer = Self::assemble(config, datasets, fresh()?)?;
            label_prior::set(&trainer.model, &trainer.datasets)?;
            trainer.folder = Some(RunFolder::begin(run_dir, lock)?);
            let total_steps = trainer.schedule.total_steps();
            trainer.first_events = vec![
                Event::Resumed {
                    step: 0,
                    total_steps,
                },
                trainer.run_started()?,
            ];
            return Ok(trainer);
        };
        let path = store.path(manifest.step);
        let device = crate::device::resolve_device(config.train.device)?;
        let mut model = Model::load(&path, device)?;
        crate::set_device_options(&mut model, &config.train)?;
        let mut trainer = Self::assemble(config, datasets, model)?;
        trainer.restore(&path)?;
        trainer.folder = Some(RunFolder::continue_at(
            run_dir,
            lock,
            store,
            &trainer.state,
        )?);
        for one in damaged {
            tracing::warn!(folder = %one.folder.display(), problem = %one.problem, "a damaged checkpoint is passed over");
            trainer.first_events.push(Event::CheckpointDamaged {
                folder: one.folder,
                problem: one.problem,
            });
        }
        let (step, total_steps) = (trainer.state.step, trainer.schedule.total_steps());
        trainer
            .first_events
            .push(Event::Resumed { step, total_steps });
        if trainer.state.saved_at == Some(step) || trainer.state.finished {
            // Written after the checkpoint and cut off with what followed it.
            trainer.first_events.push(trainer.checkpoint_saved(0.0));
        }
        Ok(trainer)
    }

    /// Everything but the run folder.
    fn assemble(
        config: RunConfig,
        datasets: Vec<TaskDataset>,
        model: Model,
    ) -> Result<Self, TrainError> {
        config.check()?;
        check_tasks(&datasets, &model)?;
        if let Some(threads) = config.train.threads {
            camtl_ops::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX))?;
        }
        camtl_ops::set_fused(config.ops.fused);
        camtl_ops::set_deterministic(config.ops.deterministic)?;
        let infos = task_infos(&datasets)?;
        let train = &config.train;
        let named = |task: &&String| infos.iter().any(|info| info.name == **task);
        if let Some(task) = train.loss_weights.keys().find(|task| !named(task)) {
            let tasks: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
            return Err(TrainError::Mismatch(format!(
                "train.loss_weights names the task `{task}`, which is not in this run (tasks: {})",
                tasks.join(", ")
            )));
        }
        let (per_epoch, total_steps) = steps_of(&config, &infos)?;
        let epochs = total_steps as f64 / per_epoch as f64;
        let sampler = build_sampler(
            &config.sampler,
            &infos,
            train.batch_size,
            epochs,
            train.seed,
        )?;
        let state = TrainState {
            step: 0,
            optimizer_step: 0,
            sampler: serde_json::Value::Null,
            next_scoring_is_deterministic: true,
            window: Window::default(),
            evaluated_at: None,
            saved_at: None,
            best: None,
            stale_evaluations: 0,
            stopped_early: false,
            evaluation: None,
            finished: false,
            totals: Totals::default(),
            threads: camtl_ops::num_threads()?,
            data: data_checksum(&datasets)?,
            events_bytes: 0,
            tensorboard: None,
        };
        let graphs = match train.cuda_graphs {
            true => {
                StepGraphs::check(&model)?;
                Some(RefCell::new(StepGraphs::new(GRAPHS)))
            }
            false => None,
        };
        Ok(Self {
            graphs,
            optimizer: Optimizer::new(&model, train)?,
            schedule: LinearSchedule::new(train.learning_rate, total_steps, train.warmup_ratio),
            config,
            datasets,
            model,
            sampler,
            state,
            folder: None,
            first_events: Vec::new(),
            clock: Instant::now(),
        })
    }

    /// Takes over the state of the checkpoint in `path`; the weights are there already.
    fn restore(&mut self, path: &Path) -> Result<(), TrainError> {
        let file = path.join(STATE);
        let text = std::fs::read(&file).map_err(|source| TrainError::io("read", &file, source))?;
        let state: TrainState = serde_json::from_slice(&text).map_err(|error| {
            TrainError::checkpoint(&file, format!("is no state this version can read: {error}"))
        })?;
        if state.data != self.state.data {
            return Err(TrainError::checkpoint(
                &file,
                "the training data has changed since the checkpoint was taken (other rows, labels or tokens); put the \
                 original data back, or start a new run",
            ));
        }
        if state.threads != self.state.threads {
            // The number of threads decides the order of sums.
            camtl_ops::set_num_threads(state.threads)?;
        }
        self.optimizer.load(path, state.optimizer_step)?;
        self.sampler.restore(&state.sampler)?;
        self.state = state;
        Ok(())
    }

    fn run_started(&self) -> Result<Event, TrainError> {
        let report = ParameterReport::new(self.model.config())?;
        let size = |dataset: &TaskDataset| TaskSize {
            name: dataset.spec.name.clone(),
            train_examples: dataset.splits.get(TRAIN).map_or(0, |split| split.len()),
        };
        Ok(Event::RunStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.config.train.seed,
            device: device_name(self.model.device()).to_owned(),
            device_reason: device_reason(self.config.train.device, self.model.device()),
            threads: usize::try_from(self.state.threads).unwrap_or(0),
            tasks: self.datasets.iter().map(size).collect(),
            total_steps: self.schedule.total_steps(),
            steps_per_epoch: self.sampler.steps_per_epoch(),
            warmup_steps: self.schedule.warmup_steps(),
            total_parameters: report.total,
            trained_parameters: report.trained,
        })
    }
}

/// Data sets and heads must be the same tasks in the same order.
fn check_tasks(datasets: &[TaskDataset], model: &Model) -> Result<(), TrainError> {
    let describe = |head: &TaskHead| {
        let classes = head.num_outputs;
        let kind = match head.kind {
            HeadKind::Regression => "regression".to_owned(),
            HeadKind::MultipleChoice => "multiple choice".to_owned(),
            HeadKind::Tagging => format!("{classes} tags"),
            HeadKind::Span { no_answer: false } => "span".to_owned(),
            HeadKind::Span { no_answer: true } => "span or no answer".to_owned(),
            HeadKind::SpanPair => format!("span pair, {classes} classes"),
            _ => format!("{classes} classes"),
        };
        format!("{} ({kind})", head.name)
    };
    let data: Vec<String> = datasets
        .iter()
        .map(|dataset| describe(&task_head(&dataset.spec)))
        .collect();
    let heads: Vec<String> = model.config().tasks.iter().map(describe).collect();
    match data == heads {
        true => Ok(()),
        false => Err(TrainError::Mismatch(format!(
            "the data sets and the model's heads are not the same tasks in the same order: {} against {}",
            data.join(", "),
            heads.join(", ")
        ))),
    }
}

/// A checksum of all training examples: ids, tokens, segments and labels.
fn data_checksum(datasets: &[TaskDataset]) -> Result<String, TrainError> {
    let mut checksum = 0u32;
    let mut bytes = Vec::new();
    for dataset in datasets {
        for example in crate::evaluate::find_split(dataset, TRAIN)?.iter() {
            bytes.clear();
            bytes.extend_from_slice(&example.id.to_le_bytes());
            bytes.extend(example.input_ids.iter().flat_map(|id| id.to_le_bytes()));
            bytes.extend_from_slice(example.token_type_ids);
            bytes.extend(example.extra.iter().flat_map(|value| value.to_le_bytes()));
            match example.label {
                Some(camtl_data::reader::Label::Class(class)) => {
                    bytes.extend_from_slice(&class.to_le_bytes())
                }
                Some(camtl_data::reader::Label::Score(score)) => {
                    bytes.extend_from_slice(&score.to_bits().to_le_bytes());
                }
                _ => {}
            }
            checksum = crc32c::crc32c_append(checksum, &bytes);
        }
    }
    Ok(format!("{checksum:08x}"))
}
