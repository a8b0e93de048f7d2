//! What can go wrong in this crate, in one enum.

use std::path::{Path, PathBuf};

use crate::weights::WeightError;

/// An error of this crate. Every message names what failed, where, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// An encoder configuration (`config.json`) cannot be used.
    #[error("{origin}: {problem}")]
    Encoder {
        /// The file, or `encoder configuration` when it did not come from one.
        origin: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The method switches, tasks, lengths or freezing do not fit together.
    #[error("{field}: {problem}")]
    Config {
        /// The configuration field, for example `model.max_length`.
        field: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A weight file cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A saved model's manifest cannot be used.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The input of a forward pass does not fit the model.
    #[error("model input: {0}")]
    Input(String),
    /// A parameter was asked for that the model does not have.
    #[error("the model has no parameter `{name}`{hint}")]
    UnknownParameter {
        /// The name asked for.
        name: String,
        /// The nearest known name, as a sentence part, or nothing.
        hint: String,
    },
    /// An operation of camtl-ops failed.
    #[error(transparent)]
    Ops(#[from] camtl_ops::OpsError),
    /// A libtorch call failed.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl ModelError {
    /// An [`ModelError::Io`] for `path`.
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        ModelError::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// An [`ModelError::Config`] for `field`.
    pub(crate) fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        ModelError::Config {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl From<tch::TchError> for ModelError {
    fn from(error: tch::TchError) -> Self {
        // libtorch appends its C++ backtrace; the first line says what happened.
        let text = error.to_string();
        ModelError::Torch(text.lines().next().unwrap_or_default().to_string())
    }
}
