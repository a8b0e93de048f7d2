//! What can go wrong in this crate, in one enum.

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::Damaged;
use crate::config::ConfigError;

/// Examples of one task, by their row numbers in the training split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offenders {
    /// The task.
    pub task: String,
    /// Row numbers, from 0.
    pub example_ids: Vec<u64>,
}

/// An error of this crate. Every message names what failed, where, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `save the checkpoint`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Data could not be read.
    #[error(transparent)]
    Data(#[from] camtl_data::DataError),
    /// A batch could not be split.
    #[error(transparent)]
    Batch(#[from] camtl_data::BatchError),
    /// The sampler failed.
    #[error(transparent)]
    Sampler(#[from] camtl_data::SamplerError),
    /// A metric has no value.
    #[error("task `{task}`, split `{split}`: {source}")]
    Metric {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// What is wrong.
        source: camtl_data::answers::AnswerError,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] camtl_model::ModelError),
    /// An operation failed.
    #[error(transparent)]
    Ops(#[from] camtl_ops::OpsError),
    /// A libtorch call failed.
    #[error("libtorch: {0}")]
    Torch(String),
    /// The device that was asked for is not there.
    #[error("train.device = \"{device}\": {problem}")]
    Device {
        /// The device asked for.
        device: &'static str,
        /// Why it cannot be used and what to do.
        problem: String,
    },
    /// Data sets, model and configuration do not belong together.
    #[error("{0}")]
    Mismatch(String),
    /// Loss, gradient or score is not a finite number. No update was made with it.
    #[error(
        "update {step}: {what} not finite, caused by {}; nothing was updated, and earlier checkpoints are intact. \
         Check these examples, lower train.learning_rate, or resume from an earlier checkpoint",
        list(offenders)
    )]
    NonFinite {
        /// The update that failed, counted from 1.
        step: u64,
        /// `the loss is`, `the gradient is` or `a score is`.
        what: &'static str,
        /// Whose it is, as far as can be told: the examples at fault, else the whole batch.
        offenders: Vec<Offenders>,
    },
    /// The run folder is in use.
    #[error("{} is being trained in by another process ({holder}); wait for it to end, or choose another run folder", run_dir.display())]
    Locked {
        /// The run folder.
        run_dir: PathBuf,
        /// What the lock file says.
        holder: String,
    },
    /// A new run would overwrite an old one.
    #[error(
        "{} already holds a run ({found}); continue it with --resume, choose another folder with --run, or delete it",
        run_dir.display()
    )]
    RunExists {
        /// The run folder.
        run_dir: PathBuf,
        /// The file that shows it.
        found: &'static str,
    },
    /// There is nothing to resume.
    #[error("{} holds no run to resume (no config.toml); start it without --resume", run_dir.display())]
    NoRun {
        /// The run folder.
        run_dir: PathBuf,
    },
    /// The run is over and its checkpoints were deleted.
    #[error(
        "{} is finished and its checkpoints were deleted (checkpoint.keep_when_finished = false); there is nothing to resume",
        run_dir.display()
    )]
    Finished {
        /// The run folder.
        run_dir: PathBuf,
    },
    /// A resumed run must have the configuration it was started with.
    #[error(
        "{} was started with another configuration; these differ:{}\nA resumed run continues bit for bit as if it had \
         never stopped, and even the learning rate of every update depends on the planned length. Resume with the \
         original settings (leave the configuration out to take the run's own config.toml), or start a new run",
        run_dir.display(),
        differences.iter().map(|line| format!("\n  {line}")).collect::<String>()
    )]
    ChangedConfig {
        /// The run folder.
        run_dir: PathBuf,
        /// One line per key, with both values.
        differences: Vec<String>,
    },
    /// No checkpoint can be used.
    #[error(
        "no checkpoint in {} is intact:{}\nRestore one from a backup, or delete the run folder and start again",
        folder.display(),
        damaged.iter().map(|one| format!("\n  {}: {}", one.folder.display(), one.problem)).collect::<String>()
    )]
    NoIntactCheckpoint {
        /// The folder of checkpoints.
        folder: PathBuf,
        /// Each with its problem.
        damaged: Vec<Damaged>,
    },
    /// A checkpoint is intact but does not fit.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What does not fit and what to do.
        problem: String,
    },
}

impl TrainError {
    /// An [`TrainError::Io`] for `path`.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// An [`TrainError::Checkpoint`] for `path`.
    pub(crate) fn checkpoint(path: &Path, problem: impl Into<String>) -> Self {
        Self::Checkpoint {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        // libtorch appends its C++ backtrace; the first line says what happened.
        Self::Torch(
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

/// `cola: 3, 17; rte: 5`, at most twenty ids per task.
fn list(offenders: &[Offenders]) -> String {
    const SHOWN: usize = 20;
    let tasks: Vec<String> = offenders
        .iter()
        .map(|one| {
            let ids: Vec<String> = one
                .example_ids
                .iter()
                .take(SHOWN)
                .map(u64::to_string)
                .collect();
            let rest = one.example_ids.len().saturating_sub(SHOWN);
            let more = if rest > 0 {
                format!(" and {rest} more")
            } else {
                String::new()
            };
            format!("task `{}` examples {}{more}", one.task, ids.join(", "))
        })
        .collect();
    tasks.join("; ")
}
