//! The training loop.
//!
//! All randomness is drawn from streams keyed by the seed, a name and the number of the update, so
//! an update depends on nothing but the state before it; that state is what a checkpoint holds.
//! Same seed, configuration and thread count give the same bytes, whether or not the run was
//! interrupted.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use camtl_data::encoded::TaskDataset;
//! use camtl_model::Model;
//! use camtl_trainer::{Outcome, RunConfig, TrainError, Trainer};
//!
//! fn train(config: RunConfig, datasets: Vec<TaskDataset>, model: Model) -> Result<(), TrainError> {
//!     let mut trainer = Trainer::new(config, datasets, model, Some("runs/first".as_ref()))?;
//!     let stop = AtomicBool::new(false); // set it from a signal handler
//!     match trainer.run(&mut |event| println!("{event:?}"), &stop)? {
//!         Outcome::Finished(summary) => println!("average {:?}", summary.average),
//!         Outcome::Interrupted { step, .. } => println!("stopped after {step} updates"),
//!     }
//!     Ok(())
//! }
//! ```

mod evaluation;
mod saving;
mod start;
mod update;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use camtl_data::encoded::TaskDataset;
use camtl_data::sampler::Sampler;
use camtl_model::{Model, ParameterReport, StepGraphs};

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::event::Event;
use crate::optimizer::Optimizer;
use crate::run_folder::RunFolder;
use crate::schedule::LinearSchedule;
use crate::state::TrainState;
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
    /// Captured steps, if `train.cuda_graphs` asks for them. On a CPU batches are filled up as for a
    /// graph, and nothing is captured.
    pub(crate) graphs: Option<RefCell<StepGraphs>>,
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
            examples: evaluation
                .map(|evaluation| evaluation.examples.clone())
                .unwrap_or_default(),
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
        match &event {
            Event::Progress { .. } | Event::Evaluating { .. } => {}
            Event::Step { .. } => tracing::debug!(?event),
            _ => tracing::info!(?event),
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
}
