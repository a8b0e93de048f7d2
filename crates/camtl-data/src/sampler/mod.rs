//! Which examples the next training step sees: MT-Uncertainty and the other task-sampling strategies.
//!
//! A [`Sampler`] hands out one batch per step as a list of [`ExampleRef`]s and keeps [`DataUsage`] statistics. Samplers
//! that choose by uncertainty ask a [`Scorer`], which the trainer implements with a forward pass; the others ignore it.
//! Every random draw comes from a named [`Stream`](crate::random::Stream), and [`Sampler::state`] /
//! [`Sampler::restore`] continue a run exactly.
//!
//! | `kind` | one step's batch of b | task probabilities |
//! |---|---|---|
//! | `mt-uncertainty` | the b most uncertain of b candidates of **every** task | by uncertainty |
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
mod by_task;
mod candidates;
mod config;
mod error;
mod loader;
mod mt_uncertainty;
mod proportional;
pub mod score;
mod shuffled_mix;
mod square_root;
mod state;
mod temperature;
mod uniform;
mod usage;

use serde::{Deserialize, Serialize};

pub use config::{Borrow, CandidateShares, RegressionUncertainty, SamplerConfig, UncertaintyForm};
pub use error::{BoxError, SamplerError};
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

/// Says how uncertain the model is about candidates. Implemented by the trainer with a forward pass; closures that take
/// the candidates and return the scores are scorers as well.
pub trait Scorer {
    /// One score per candidate, in order.
    ///
    /// For a classification the score is the entropy of the softmax in nats, not normalised, `0 ≤ H ≤ ln C`. For a
    /// regression it is an uncertainty in `[0, 1]` of the scorer's own making, 0 if it has none; it is used only with
    /// [`RegressionUncertainty::Own`].
    ///
    /// # Errors
    /// Whatever stops the scorer; the sampler passes it on as [`SamplerError::Scorer`].
    fn score(&mut self, candidates: &[ExampleRef]) -> Result<Vec<f32>, BoxError>;
}

impl<F> Scorer for F
where
    F: FnMut(&[ExampleRef]) -> Result<Vec<f32>, BoxError>,
{
    fn score(&mut self, candidates: &[ExampleRef]) -> Result<Vec<f32>, BoxError> {
        self(candidates)
    }
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
    /// The strategy's name, as `kind` in the configuration.
    fn name(&self) -> &'static str;

    /// Chooses the next batch.
    ///
    /// # Errors
    /// If the scorer fails or returns scores that are not one finite number per candidate within bounds. The sampler may
    /// then have consumed candidates; restore it from the last state before going on.
    fn next_batch(&mut self, scorer: &mut dyn Scorer) -> Result<Selection, SamplerError>;

    /// Whether [`Sampler::next_batch`] asks its scorer.
    fn uses_scorer(&self) -> bool;

    /// Number of steps that count as one epoch; see [`steps_per_epoch`].
    fn steps_per_epoch(&self) -> u64;

    /// What has been selected so far.
    fn usage(&self) -> &DataUsage;

    /// The complete state, from which [`Sampler::restore`] continues exactly, at any step.
    fn state(&self) -> serde_json::Value;

    /// Continues from a state that a sampler with the same configuration, tasks, batch size and number of epochs saved.
    ///
    /// # Errors
    /// [`SamplerError::State`] if the state is damaged or belongs to a different sampler; the sampler is then unchanged.
    fn restore(&mut self, state: &serde_json::Value) -> Result<(), SamplerError>;
}

/// Builds the sampler that `config` describes.
///
/// `batch_size` is b, the number of examples per step. `total_epochs` is the planned length of training in the
/// sampler's own epochs ([`steps_per_epoch`]); only `annealed` depends on it. All draws derive from `seed`.
///
/// # Errors
/// If there are no tasks, a task is empty or named twice, `batch_size` is 0 or an option is out of range; the message
/// names it.
pub fn build_sampler(
    config: &SamplerConfig,
    tasks: &[TaskInfo],
    batch_size: usize,
    total_epochs: f64,
    seed: u64,
) -> Result<Box<dyn Sampler>, SamplerError> {
    check_tasks(tasks, batch_size)?;
    config.check()?;
    if !(total_epochs.is_finite() && total_epochs > 0.0) {
        return Err(SamplerError::Option {
            option: "total_epochs",
            value: total_epochs.to_string(),
            expected: "a number of epochs above 0",
        });
    }
    let setup = state::Setup {
        config: config.clone(),
        tasks: tasks.to_vec(),
        batch_size,
        steps_per_epoch: steps_per_epoch(config, tasks, batch_size)?,
        seed,
    };
    Ok(match config {
        SamplerConfig::MtUncertainty { .. } => Box::new(mt_uncertainty::MtUncertainty::new(setup)?),
        SamplerConfig::ShuffledMix => Box::new(shuffled_mix::ShuffledMix::new(setup)),
        SamplerConfig::Uniform => Box::new(by_task::ByTask::new(setup, uniform::Uniform)),
        SamplerConfig::Proportional => {
            Box::new(by_task::ByTask::new(setup, proportional::Proportional))
        }
        SamplerConfig::SquareRoot => Box::new(by_task::ByTask::new(setup, square_root::SquareRoot)),
        SamplerConfig::Temperature { temperature } => {
            let law = temperature::Temperature {
                temperature: *temperature,
            };
            Box::new(by_task::ByTask::new(setup, law))
        }
        SamplerConfig::Annealed { .. } => {
            let law = annealed::Annealed::new(total_epochs, setup.steps_per_epoch);
            Box::new(by_task::ByTask::new(setup, law))
        }
    })
}

/// Number of steps that count as one epoch of `config`.
///
/// MT-Uncertainty: `int(max_t ceil(|D_t| / b) · T · epoch_fraction)`, the rule of the released code, where
/// `epoch_fraction` is its `percent_of_max_data_size`. All others: `ceil(Σ |D_t| / b)`, one pass over as many examples
/// as there are, unless `annealed` sets its own number. At least 1.
///
/// ```
/// use camtl_data::sampler::{steps_per_epoch, SamplerConfig, TaskInfo};
/// let task = |name: &str, train_size| TaskInfo { name: name.into(), train_size, num_outputs: 2, regression: false };
/// let tasks = [task("a", 100), task("b", 10)];
/// assert_eq!(steps_per_epoch(&SamplerConfig::released(), &tasks, 8)?, 13 * 2);
/// assert_eq!(steps_per_epoch(&SamplerConfig::ShuffledMix, &tasks, 8)?, 14);
/// # Ok::<(), camtl_data::sampler::SamplerError>(())
/// ```
///
/// # Errors
/// As [`build_sampler`].
pub fn steps_per_epoch(
    config: &SamplerConfig,
    tasks: &[TaskInfo],
    batch_size: usize,
) -> Result<u64, SamplerError> {
    check_tasks(tasks, batch_size)?;
    config.check()?;
    let steps = match config {
        SamplerConfig::MtUncertainty { epoch_fraction, .. } => {
            let longest = tasks
                .iter()
                .map(|task| task.train_size.div_ceil(batch_size))
                .max()
                .unwrap_or(0);
            (longest as f64 * tasks.len() as f64 * epoch_fraction) as u64
        }
        SamplerConfig::Annealed {
            steps_per_epoch: Some(steps),
        } => *steps,
        _ => {
            let examples: usize = tasks.iter().map(|task| task.train_size).sum();
            examples.div_ceil(batch_size) as u64
        }
    };
    Ok(steps.max(1))
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
