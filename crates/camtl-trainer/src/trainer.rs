//! The training loop.
//!
//! All randomness is drawn from streams keyed by the seed, a name and the number of the update, so
//! an update depends on nothing but the state before it; that state is what a checkpoint holds.
//! Same seed, configuration and thread count give the same bytes, whether or not the run was
//! interrupted.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use camtl_trainer::{Outcome, Trainer};
//! # fn parts() -> (camtl_trainer::RunConfig, Vec<camtl_data::encoded::TaskDataset>, camtl_model::Model) { todo!() }
//!
//! let (config, datasets, model) = parts();
//! let mut trainer = Trainer::new(config, datasets, model, Some("runs/first".as_ref()))?;
//! let stop = AtomicBool::new(false); // set it from a signal handler
//! match trainer.run(&mut |event| println!("{event:?}"), &stop)? {
//!     Outcome::Finished(summary) => println!("average {:?}", summary.average),
//!     Outcome::Interrupted { step, .. } => println!("stopped after {step} updates"),
//! }
//! # Ok::<(), camtl_trainer::TrainError>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use camtl_data::encoded::TaskDataset;
use camtl_data::sampler::{Sampler, TaskInfo, build_sampler};
use camtl_data::task::TaskSpec;
use camtl_model::{Model, ParameterReport};

use crate::checkpoint::CheckpointStore;
use crate::config::{Export, RunConfig};
use crate::device::device_name;
use crate::error::TrainError;
use crate::event::{Event, TaskSize, Timing};
use crate::optimizer::Optimizer;
use crate::run_folder::RunFolder;
use crate::schedule::LinearSchedule;
use crate::scorer::TRAIN;
use crate::state::{Totals, TrainState, Window};
use crate::summary::{DataSummary, ParameterSummary, Summary, ThroughputSummary};

const STATE: &str = "state.json";

/// How a call of [`Trainer::run`] ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The run is over.
    Finished(Summary),
    /// The run was asked to stop and can be resumed.
    Interrupted {
        /// Updates made so far.
        step: u64,
        /// The checkpoint that was saved; none for a run without a folder.
        checkpoint: Option<PathBuf>,
    },
}

/// Trains one model on one or more tasks.
pub struct Trainer {
    pub(crate) config: RunConfig,
    pub(crate) datasets: Vec<TaskDataset>,
    pub(crate) model: Model,
    pub(crate) sampler: Box<dyn Sampler>,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: LinearSchedule,
    pub(crate) state: TrainState,
    pub(crate) folder: Option<RunFolder>,
    /// What to tell the caller before anything else.
    first_events: Vec<Event>,
    /// Start of the part of the run that `state.totals.run_s` does not hold yet.
    clock: Instant,
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Trainer")
            .field("step", &self.state.step)
            .field("total_steps", &self.schedule.total_steps())
            .field("tasks", &self.datasets.len())
            .finish_non_exhaustive()
    }
}

impl Trainer {
    /// A new run. The data sets are in the order of the model's tasks. Without `run_dir` nothing is
    /// written and nothing can be resumed.
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
        let mut trainer = Self::assemble(config, datasets, Model::load(&path, device)?)?;
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
        let per_epoch =
            camtl_data::sampler::steps_per_epoch(&config.sampler, &infos, train.batch_size)?;
        let total_steps = match train.max_steps {
            Some(steps) => steps,
            None => ((per_epoch as f64 * train.epochs) as u64).max(1),
        };
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
        Ok(Self {
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

    /// Trains until the run is over or `stop` is set, telling `on_event` what happens. `stop` is
    /// looked at between updates and between passes of an evaluation; a run with a folder then saves
    /// a checkpoint.
    ///
    /// # Errors
    /// Loss, gradient or a score is not finite, a file cannot be written, or libtorch refuses. The
    /// checkpoints taken before are intact, and the run can be resumed from them.
    pub fn run(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
        stop: &AtomicBool,
    ) -> Result<Outcome, TrainError> {
        self.clock = Instant::now();
        for event in std::mem::take(&mut self.first_events) {
            self.emit(on_event, event)?;
        }
        loop {
            if self.state.finished {
                return self.conclude(on_event).map(Outcome::Finished);
            }
            if stop.load(Ordering::Relaxed) {
                return self.interrupt(on_event);
            }
            if self.evaluation_is_due() && !self.scheduled_evaluation(on_event, stop)? {
                return self.interrupt(on_event);
            }
            if self.checkpoint_is_due() {
                self.scheduled_checkpoint(on_event)?;
            }
            if self.is_over() {
                if !self.final_evaluation(on_event, stop)? {
                    return self.interrupt(on_event);
                }
                self.state.finished = true;
                self.scheduled_checkpoint(on_event)?;
                continue;
            }
            self.next_update(on_event)?;
        }
    }

    /// The model as it is now.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Gives the model away.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// Updates made so far.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// Updates the run will make unless stopped early.
    pub fn total_steps(&self) -> u64 {
        self.schedule.total_steps()
    }

    /// The data sets, in the order of the tasks.
    pub fn datasets(&self) -> &[TaskDataset] {
        &self.datasets
    }

    /// The results so far, as `summary.json` would hold them.
    ///
    /// # Errors
    /// The model's configuration is not valid (not possible for a model that exists).
    pub fn summary(&self) -> Result<Summary, TrainError> {
        let totals = &self.state.totals;
        let rate = |count: u64| {
            if totals.update_s > 0.0 {
                count as f64 / totals.update_s
            } else {
                0.0
            }
        };
        let evaluation = self.state.evaluation.as_ref();
        Ok(Summary {
            tasks: evaluation
                .map(|evaluation| evaluation.tasks.clone())
                .unwrap_or_default(),
            average: evaluation.map(|evaluation| evaluation.average),
            task_sigma: evaluation.map(|evaluation| evaluation.task_sigma),
            params: ParameterSummary::from(&ParameterReport::new(self.model.config())?),
            data: DataSummary::new(self.sampler.usage(), self.epoch()),
            throughput: ThroughputSummary {
                examples_per_s: rate(totals.examples),
                tokens_per_s: rate(totals.tokens),
                scoring_share: if totals.update_s > 0.0 {
                    totals.scoring_s / totals.update_s
                } else {
                    0.0
                },
            },
            steps: self.state.step,
            seed: self.config.train.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Epochs of the sampler made so far.
    pub(crate) fn epoch(&self) -> f64 {
        self.state.step as f64 / self.sampler.steps_per_epoch() as f64
    }

    /// Seconds of the run so far.
    pub(crate) fn run_s(&self) -> f64 {
        self.state.totals.run_s + self.clock.elapsed().as_secs_f64()
    }

    pub(crate) fn emit(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
        event: Event,
    ) -> Result<(), TrainError> {
        if let Some(folder) = &mut self.folder {
            folder.write(&event)?;
        }
        on_event(&event);
        Ok(())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.stopped_early || self.state.step >= self.schedule.total_steps()
    }

    fn next_update(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<(), TrainError> {
        let update = self.update()?;
        let state = &mut self.state;
        state.step += 1;
        state.totals.examples += update.tasks.iter().map(|task| task.1).sum::<u64>();
        state.totals.tokens += update.tokens;
        state.totals.scored += update.candidates;
        state.totals.update_s += update.seconds;
        state.totals.scoring_s += update.scoring_s;
        state.window.add(&update);
        let (step, total_steps) = (self.state.step, self.schedule.total_steps());
        let progress = Event::Progress {
            step,
            total_steps,
            loss: update.loss,
            timing: update.timing(self.run_s()),
        };
        self.emit(on_event, progress)?;
        if step % self.config.train.log_every_steps == 0 || self.is_over() {
            self.close_window(on_event)?;
        }
        Ok(())
    }

    /// Emits the `step` event of the updates since the last one, if there are any.
    fn close_window(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<(), TrainError> {
        if self.state.window.is_empty() {
            return Ok(());
        }
        let (step, epoch, run_s) = (self.state.step, self.epoch(), self.run_s());
        let event = self.state.window.take(step, epoch, run_s);
        self.emit(on_event, event)
    }

    fn checkpoint_is_due(&self) -> bool {
        let step = self.state.step;
        let every = self.config.checkpoint.every_steps;
        let scheduled = every > 0 && step > 0 && step.is_multiple_of(every);
        let best = self.config.checkpoint.keep_best
            && self.state.best.is_some_and(|best| best.step == step)
            && self.state.evaluated_at == Some(step);
        // The checkpoint at the end is taken after the evaluation there.
        (scheduled || best) && !self.is_over() && self.state.saved_at != Some(step)
    }

    fn scheduled_checkpoint(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<(), TrainError> {
        if self.state.finished {
            self.close_window(on_event)?;
        }
        self.state.saved_at = Some(self.state.step);
        if self.folder.is_none() {
            return Ok(());
        }
        let started = Instant::now();
        self.save_checkpoint()?;
        let event = self.checkpoint_saved(started.elapsed().as_secs_f64());
        self.emit(on_event, event)
    }

    fn checkpoint_saved(&self, took_s: f64) -> Event {
        let step = self.state.step;
        Event::CheckpointSaved {
            step,
            folder: format!("{}/step-{step}", crate::checkpoint::CHECKPOINTS),
            timing: Timing {
                run_s: self.run_s(),
                took_s,
                ..Timing::default()
            },
        }
    }

    /// Saves everything and deletes what need not be kept. Returns the folder.
    fn save_checkpoint(&mut self) -> Result<Option<PathBuf>, TrainError> {
        // The clock starts anew so that the time saved and the time to come add up.
        self.state.totals.run_s = self.run_s();
        self.clock = Instant::now();
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        folder.note_positions(&mut self.state)?;
        self.state.optimizer_step = self.optimizer.state.step;
        self.state.sampler = self.sampler.state();
        let path = folder.store.save(self.state.step, |staged| {
            self.model.save(staged)?;
            self.optimizer.save(staged)?;
            let file = staged.join(STATE);
            let fail = |source| TrainError::io("write", &file, source);
            let text = serde_json::to_vec(&self.state).map_err(|error| fail(error.into()))?;
            std::fs::write(&file, text).map_err(fail)
        })?;
        let best = self
            .state
            .best
            .filter(|_| self.config.checkpoint.keep_best)
            .map(|best| best.step);
        folder
            .store
            .prune(self.config.checkpoint.keep_last, best.as_slice())?;
        Ok(Some(path))
    }

    fn interrupt(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<Outcome, TrainError> {
        let step = self.state.step;
        let checkpoint = match &self.folder {
            Some(folder) if self.state.saved_at == Some(step) => Some(folder.store.path(step)),
            _ => self.save_checkpoint()?,
        };
        self.emit(
            on_event,
            Event::Interrupted {
                step,
                checkpoint: checkpoint.clone(),
            },
        )?;
        Ok(Outcome::Interrupted { step, checkpoint })
    }

    /// Writes the results of a run that is over.
    fn conclude(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<Summary, TrainError> {
        if let Some(folder) = &self.folder {
            let best = self
                .state
                .best
                .filter(|_| self.config.checkpoint.export == Export::Best);
            folder.export(|staged| match best {
                Some(best) if best.step != self.state.step => {
                    copy_model(&folder.store.path(best.step), staged)
                }
                _ => Ok(self.model.save(staged).map(|_| ())?),
            })?;
        }
        let summary = self.summary()?;
        let event = Event::Finished {
            step: self.state.step,
            average: summary.average,
            task_sigma: summary.task_sigma,
            timing: Timing {
                run_s: self.run_s(),
                ..Timing::default()
            },
        };
        self.emit(on_event, event)?;
        if let Some(folder) = &self.folder {
            folder.write_summary(&summary)?;
            if !self.config.checkpoint.keep_when_finished {
                folder.store.prune(0, &[])?;
            }
        }
        Ok(summary)
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

/// Copies the weights and their description out of a checkpoint.
fn copy_model(checkpoint: &Path, staged: &Path) -> Result<(), TrainError> {
    for name in [crate::run_folder::MODEL_FILE, "camtl.json"] {
        let source = checkpoint.join(name);
        std::fs::copy(&source, staged.join(name))
            .map_err(|error| TrainError::io("copy", &source, error))?;
    }
    Ok(())
}

/// What the sampler needs to know of the tasks.
fn task_infos(datasets: &[TaskDataset]) -> Result<Vec<TaskInfo>, TrainError> {
    let info = |dataset: &TaskDataset| {
        let split = crate::evaluate::find_split(dataset, TRAIN)?;
        if let Some(example) = split.iter().find(|example| example.label.is_none()) {
            return Err(TrainError::Mismatch(format!(
                "task `{}`: example {} of the training split has no label",
                dataset.spec.name, example.id
            )));
        }
        Ok(TaskInfo {
            name: dataset.spec.name.clone(),
            train_size: split.len(),
            num_outputs: dataset.spec.kind.num_outputs(),
            regression: dataset.spec.kind.is_regression(),
        })
    };
    datasets.iter().map(info).collect()
}

/// Data sets and heads must be the same tasks in the same order.
fn check_tasks(datasets: &[TaskDataset], model: &Model) -> Result<(), TrainError> {
    let describe = |name: &str, outputs: usize, regression: bool| {
        let kind = if regression {
            "regression".to_owned()
        } else {
            format!("{outputs} classes")
        };
        format!("{name} ({kind})")
    };
    let data: Vec<String> = datasets
        .iter()
        .map(|dataset| {
            let kind = &dataset.spec.kind;
            describe(&dataset.spec.name, kind.num_outputs(), kind.is_regression())
        })
        .collect();
    let heads: Vec<String> = model
        .config()
        .tasks
        .iter()
        .map(|head| describe(&head.name, head.num_outputs, head.regression))
        .collect();
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
