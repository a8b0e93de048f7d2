//! Which examples the next training step sees: MT-Uncertainty and the other task-sampling strategies.
//!
//! A [`Sampler`] hands out one batch per step as a list of [`ExampleRef`]s and keeps [`DataUsage`] statistics. Samplers
//! that choose by uncertainty ask a [`Scorer`], which the trainer implements with a forward pass; the others ignore it.
//! Each kind is one file with its options and its sampler, and one line of the list in `config.rs`.
//! Every random draw comes from a named [`Stream`](crate::random::Stream), and [`Sampler::state`] /
//! [`Sampler::restore`] continue a run exactly.
//!
//! | `kind` | one step's batch of b | task probabilities |
//! |---|---|---|
//! | `mt-uncertainty` | the b most uncertain of b candidates of **every** task | by uncertainty |
//! | `pooled-uncertainty` | uncertain ones of kept pools, and new ones | by uncertainty and size |
//! | `uniform` | one task | 1/T |
//! | `proportional` | one task | ∝ N_t |
//! | `square-root` | one task | ∝ N_t^0.5 |
//! | `temperature` | one task | ∝ N_t^(1/temperature) |
//! | `annealed` | one task | ∝ N_t^α, α falling from 1 to 0.2 over the epochs (Stickland & Murray, PALs) |
//! | `shuffled-mix` | any tasks mixed | each example once per epoch |
//!
//! ```
//! use camtl_data::sampler::{build_sampler, ExampleRef, SamplerConfig, TaskInfo};
//!
//! let tasks = [
//!     TaskInfo { name: "large".into(), train_size: 100, num_outputs: 3, regression: false },
//!     TaskInfo { name: "small".into(), train_size: 10, num_outputs: 2, regression: false },
//! ];
//! let mut sampler = build_sampler(&SamplerConfig::released(), &tasks, 8, 1.0, 12)?;
//! // A model that is unsure about the small task only: entropies in nats.
//! let mut scorer = |candidates: &[ExampleRef]| {
//!     Ok(candidates.iter().map(|c| if c.task == 1 { 0.6 } else { 0.1 }).collect())
//! };
//! let selection = sampler.next_batch(&mut scorer)?;
//! assert_eq!(selection.candidates, 16);
//! assert!(selection.examples.iter().all(|example| example.task == 1));
//! # Ok::<(), camtl_data::sampler::SamplerError>(())
//! ```

mod annealed;
mod borrow;
mod by_task;
mod config;
mod error;
mod kind;
mod loader;
mod mt_uncertainty;
mod pooled_uncertainty;
mod proportional;
pub mod score;
mod scorer;
mod select;
mod shares;
mod shuffled_mix;
mod square_root;
mod state;
mod temperature;
mod uniform;
mod usage;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use annealed::Annealed;
pub use borrow::Borrow;
pub use config::{SamplerConfig, build_sampler, steps_per_epoch};
pub use error::{BoxError, SamplerError};
pub use mt_uncertainty::MtUncertainty;
pub use pooled_uncertainty::PooledUncertainty;
pub use proportional::Proportional;
pub use score::UncertaintyForm;
pub use scorer::{RegressionUncertainty, Scorer, Scoring};
pub use shares::CandidateShares;
pub use shuffled_mix::ShuffledMix;
pub use square_root::SquareRoot;
pub use state::Progress;
pub use temperature::Temperature;
pub use uniform::Uniform;
pub use usage::{DataUsage, TaskUsage};

/// What a sampler needs to know of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskInfo {
    /// The task's name; unique within a run.
    pub name: String,
    /// Number of training examples, |D_t|.
    pub train_size: usize,
    /// Number of classes C_t, or 1 for a regression.
    pub num_outputs: usize,
    /// Whether the task predicts a real value.
    pub regression: bool,
}

/// One training example: a task (by position in the task list) and a row of its training split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleRef {
    /// Position of the task in the list that the sampler was built with.
    pub task: u32,
    /// Row of the task's training split, from 0.
    pub index: u32,
}

/// One step's batch and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The examples to train on; MT-Uncertainty gives them by falling score.
    pub examples: Vec<ExampleRef>,
    /// The final score of each example, if the sampler scores.
    pub scores: Option<Vec<f32>>,
    /// How many examples were scored to find these; 0 if the sampler does not score.
    pub candidates: usize,
    /// Per task, the mean uncertainty of its candidates on the scale of [0, 1] (entropy over its maximum, see
    /// [`score`]); `None` if the sampler does not score or the task has no uncertainty of its own.
    pub mean_uncertainty: Vec<Option<f32>>,
}

/// A strategy of choosing batches. Made by [`build_sampler`].
pub trait Sampler: Send {
    /// Chooses the next batch.
    ///
    /// # Errors
    /// If the scorer fails or returns scores that are not one finite number per candidate within bounds. The sampler may
    /// then have consumed candidates; restore it from the last state before going on.
    fn next_batch(&mut self, scorer: &mut dyn Scorer) -> Result<Selection, SamplerError>;

    /// What every sampler keeps.
    fn progress(&self) -> &Progress;

    /// The same, to be changed.
    fn progress_mut(&mut self) -> &mut Progress;

    /// What [`Sampler::next_batch`] asks its scorer for; `None` if it does not ask.
    fn scoring(&self) -> Option<Scoring> {
        None
    }

    /// Hears how uncertain the model was about the batch that it was just trained on, in the scorer's units, before the
    /// update. Only if [`Scoring::observes`]; regressions have no uncertainty here.
    fn observe(&mut self, _examples: &[ExampleRef], _uncertainty: &[f32]) {}

    /// State beside [`Sampler::progress`].
    fn own_state(&self) -> Value {
        Value::Null
    }

    /// Takes over [`Sampler::own_state`].
    ///
    /// # Errors
    /// [`SamplerError::State`] if it is damaged; the sampler is then unchanged.
    fn restore_own(&mut self, _own: &Value) -> Result<(), SamplerError> {
        Ok(())
    }

    /// The strategy's name, as `kind` in the configuration.
    fn name(&self) -> &'static str {
        self.progress().setup.kind
    }

    /// Whether [`Sampler::next_batch`] asks its scorer.
    fn uses_scorer(&self) -> bool {
        self.scoring().is_some()
    }

    /// Number of steps that count as one epoch; see [`steps_per_epoch`].
    fn steps_per_epoch(&self) -> u64 {
        self.progress().setup.steps_per_epoch
    }

    /// What has been selected so far.
    fn usage(&self) -> &DataUsage {
        &self.progress().usage
    }

    /// The complete state, from which [`Sampler::restore`] continues exactly, at any step.
    fn state(&self) -> Value {
        self.progress().save(self.own_state())
    }

    /// Continues from a state that a sampler with the same configuration, tasks, batch size and number of epochs saved.
    ///
    /// # Errors
    /// [`SamplerError::State`] if the state is damaged or belongs to a different sampler; the sampler is then unchanged.
    fn restore(&mut self, state: &Value) -> Result<(), SamplerError> {
        let (progress, own) = self.progress().read(state)?;
        self.restore_own(&own)?;
        *self.progress_mut() = progress;
        Ok(())
    }
}

fn check_tasks(tasks: &[TaskInfo], batch_size: usize) -> Result<(), SamplerError> {
    if tasks.is_empty() {
        return Err(SamplerError::NoTasks);
    }
    if batch_size == 0 {
        return Err(SamplerError::Option {
            option: "batch_size",
            value: "0".to_owned(),
            expected: "at least 1",
        });
    }
    let mut total: u64 = 0;
    for (position, task) in tasks.iter().enumerate() {
        if tasks[..position]
            .iter()
            .any(|other| other.name == task.name)
        {
            return Err(SamplerError::DuplicateTask {
                task: task.name.clone(),
            });
        }
        if task.train_size == 0 {
            return Err(SamplerError::EmptyTask {
                task: task.name.clone(),
            });
        }
        total = total.saturating_add(task.train_size as u64);
        if total > u64::from(u32::MAX) {
            return Err(SamplerError::TooManyExamples {
                task: task.name.clone(),
            });
        }
        if !task.regression && task.num_outputs < 2 {
            return Err(SamplerError::TooFewClasses {
                task: task.name.clone(),
                num_outputs: task.num_outputs,
            });
        }
    }
    Ok(())
}

/// A sampler of one's own: one file and one line of a list.
#[cfg(test)]
mod added;
