//! What happens during training, as typed events.
//!
//! The trainer hands every [`Event`] to its caller and writes those that describe the training
//! itself to `events.jsonl`, one JSON object per line. What belongs to one process only (a
//! resumption, an interruption, progress for a bar) is not written, so that the file of a run
//! that was killed and resumed equals that of an undisturbed run, its [`Timing`]s apart.
//!
//! ```
//! use camtl_trainer::{Event, event::Timing};
//!
//! let event = Event::EarlyStopped { step: 40, best_step: 20, best_average: 0.5, timing: Timing::default() };
//! let line = serde_json::to_string(&event)?;
//! assert!(line.starts_with(r#"{"event":"early_stopped","step":40,"#));
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use camtl_data::metrics::ScoreTable;
use serde::{Deserialize, Serialize};

/// Wall-clock figures of an event; the only part that differs between two equal runs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Seconds of training, scoring, evaluation and saving since the run began, without the time
    /// between a kill and the resumption.
    pub run_s: f64,
    /// Seconds that what the event describes took.
    pub took_s: f64,
    /// Of these, seconds of scoring candidates (0 where nothing is scored).
    pub scoring_s: f64,
    /// Examples trained on per second (0 where nothing is trained).
    pub examples_per_s: f64,
    /// Tokens trained on per second (0 where nothing is trained).
    pub tokens_per_s: f64,
    /// Candidates scored per second of scoring (0 where nothing is scored).
    pub scored_examples_per_s: f64,
}

/// One task's part of [`Event::RunStarted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSize {
    /// The task.
    pub name: String,
    /// Training examples.
    pub train_examples: usize,
}

/// One task's part of [`Event::Step`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskStep {
    /// Training examples that gave a gradient.
    pub examples: u64,
    /// Their mean loss; absent when there were none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss: Option<f64>,
    /// Mean normalised uncertainty of the candidates; absent when the sampler scores none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uncertainty: Option<f64>,
}

/// Something that happened during training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// First line of every run.
    RunStarted {
        /// Version of camtl.
        version: String,
        /// The seed everything is drawn from.
        seed: u64,
        /// The device: `cpu` or `cuda`.
        device: String,
        /// Why it is the CPU, if `train.device = "auto"` found no GPU.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device_reason: Option<String>,
        /// Threads of the tensor operations.
        threads: usize,
        /// Tasks in the order of the configuration.
        tasks: Vec<TaskSize>,
        /// Updates the run will make unless stopped early.
        total_steps: u64,
        /// Updates of one epoch of the sampler.
        steps_per_epoch: u64,
        /// Updates of the warm-up.
        warmup_steps: u64,
        /// Parameters in all.
        total_parameters: u64,
        /// Parameters that are trained.
        trained_parameters: u64,
    },
    /// The updates since the previous `step` event, up to and including update `step`.
    Step {
        /// Updates made so far.
        step: u64,
        /// Updates this event sums up.
        updates: u64,
        /// Epochs of the sampler made so far.
        epoch: f64,
        /// Learning rate of the last of the updates.
        learning_rate: f64,
        /// Mean of the batches' losses.
        loss: f64,
        /// Largest gradient norm before clipping.
        grad_norm: f64,
        /// Tokens trained on.
        tokens: u64,
        /// Candidates that were scored.
        candidates: u64,
        /// Per task.
        tasks: BTreeMap<String, TaskStep>,
        /// Wall-clock figures.
        timing: Timing,
    },
    /// An evaluation.
    Evaluated {
        /// Updates made so far.
        step: u64,
        /// Whether this is the evaluation at the end of the run.
        at_end: bool,
        /// Metrics per task, as fractions.
        tasks: ScoreTable,
        /// Mean loss per task over the evaluated splits' labelled examples.
        losses: BTreeMap<String, f64>,
        /// Average over tasks (see [`crate::summary::average`]).
        average: f64,
        /// Population standard deviation over all metrics.
        task_sigma: f64,
        /// Whether the average is the best so far.
        best: bool,
        /// Wall-clock figures.
        timing: Timing,
    },
    /// A checkpoint is complete on disk.
    CheckpointSaved {
        /// Updates made so far.
        step: u64,
        /// Folder, relative to the run folder.
        folder: String,
        /// Wall-clock figures.
        timing: Timing,
    },
    /// The average did not rise for the configured number of evaluations.
    EarlyStopped {
        /// Updates made so far.
        step: u64,
        /// When the average was best.
        best_step: u64,
        /// The best average.
        best_average: f64,
        /// Wall-clock figures.
        timing: Timing,
    },
    /// Last line of every run that ended by itself.
    Finished {
        /// Updates made.
        step: u64,
        /// Average over tasks of the final model; absent if it was not evaluated.
        average: Option<f64>,
        /// Task σ of the final model; absent if it was not evaluated.
        task_sigma: Option<f64>,
        /// Wall-clock figures.
        timing: Timing,
    },
    /// One update was made. For progress displays; not written.
    Progress {
        /// Updates made so far.
        step: u64,
        /// Updates the run will make.
        total_steps: u64,
        /// Loss of the batch.
        loss: f64,
        /// Wall-clock figures of the update.
        timing: Timing,
    },
    /// An evaluation goes on. For progress displays; not written.
    Evaluating {
        /// Examples done.
        done: usize,
        /// Examples in all.
        total: usize,
        /// The task at work.
        task: String,
    },
    /// The run continues from a checkpoint. Not written.
    Resumed {
        /// Updates made so far; 0 when the run had no checkpoint yet.
        step: u64,
        /// Updates the run will make.
        total_steps: u64,
    },
    /// A checkpoint could not be used and an older one was taken. Not written.
    CheckpointDamaged {
        /// The damaged folder.
        folder: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The run was asked to stop, saved a checkpoint and ends. Not written.
    Interrupted {
        /// Updates made so far.
        step: u64,
        /// The checkpoint; absent for a run without a folder.
        checkpoint: Option<PathBuf>,
    },
}

impl Event {
    /// Whether the event belongs into `events.jsonl`.
    pub fn is_written(&self) -> bool {
        !matches!(
            self,
            Self::Progress { .. }
                | Self::Evaluating { .. }
                | Self::Resumed { .. }
                | Self::CheckpointDamaged { .. }
                | Self::Interrupted { .. }
        )
    }

    /// Updates made when the event happened, where the event says so.
    pub fn step(&self) -> Option<u64> {
        match self {
            Self::RunStarted { .. } => Some(0),
            Self::Step { step, .. }
            | Self::Evaluated { step, .. }
            | Self::CheckpointSaved { step, .. }
            | Self::EarlyStopped { step, .. }
            | Self::Finished { step, .. }
            | Self::Progress { step, .. }
            | Self::Resumed { step, .. }
            | Self::Interrupted { step, .. } => Some(*step),
            Self::Evaluating { .. } | Self::CheckpointDamaged { .. } => None,
        }
    }
}
