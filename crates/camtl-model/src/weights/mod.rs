//! Weight files: the only place that reads or writes them.
//!
//! Only safetensors files are read. A file is untrusted: its header is checked completely before
//! any tensor is touched, and tensors are views of the mapped file until they are copied into the
//! model. Loading is strict: every missing, unknown, misshapen or mistyped tensor is listed at once.
//!
//! ```
//! use camtl_model::weights::{WeightFile, write_tensors};
//! use tch::{Kind, Tensor};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let path = dir.path().join("model.safetensors");
//! let values = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
//! write_tensors(&path, &[("x".to_string(), values)]).unwrap();
//! let file = WeightFile::open(&path).unwrap();
//! assert_eq!(file.tensor("x").unwrap().kind(), Kind::Float);
//!
//! // A header that claims more than the file has.
//! std::fs::write(&path, [255, 255, 0, 0, 0, 0, 0, 0]).unwrap();
//! assert!(WeightFile::open(&path).unwrap_err().to_string().contains("header"));
//! ```

mod file;
mod header;
mod load;
mod shards;
mod write;

use std::fmt;
use std::path::PathBuf;

pub use file::WeightFile;
pub use header::TensorInfo;
pub use load::{IgnoredTensor, LoadReport};
pub(crate) use load::{load_exact, load_pretrained};
pub use write::{WrittenFile, write_tensors};

/// What is wrong with one tensor of a weight file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorProblem {
    /// The model needs it, the file lacks it.
    Missing {
        /// Name in the file.
        name: String,
        /// Shape the model needs.
        expected: Vec<i64>,
    },
    /// The file has it, the model has no place for it.
    Unexpected {
        /// Name in the file.
        name: String,
        /// Shape in the file.
        shape: Vec<i64>,
    },
    /// Its shape is not the model's.
    Shape {
        /// Name in the file.
        name: String,
        /// Shape the model needs.
        expected: Vec<i64>,
        /// Shape in the file.
        found: Vec<i64>,
    },
    /// Its type is no floating-point type.
    Dtype {
        /// Name in the file.
        name: String,
        /// Type in the file.
        found: String,
    },
    /// Two names of the file mean the same parameter.
    Duplicate {
        /// The second name in the file.
        name: String,
        /// The parameter both mean.
        parameter: String,
    },
}

impl fmt::Display for TensorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TensorProblem::Missing { name, expected } => {
                write!(f, "missing: `{name}` {expected:?}")
            }
            TensorProblem::Unexpected { name, shape } => {
                write!(f, "unknown: `{name}` {shape:?}")
            }
            TensorProblem::Shape {
                name,
                expected,
                found,
            } => {
                write!(
                    f,
                    "shape: `{name}` is {found:?}, the configuration asks for {expected:?}"
                )
            }
            TensorProblem::Dtype { name, found } => {
                write!(
                    f,
                    "type: `{name}` is {found}, expected F32, F16, BF16 or F64"
                )
            }
            TensorProblem::Duplicate { name, parameter } => {
                write!(f, "twice: `{name}` also means `{parameter}`")
            }
        }
    }
}

/// A weight file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The file is damaged or no safetensors file.
    #[error(
        "{} is not a usable safetensors file: {problem}; fetch or write the file again", path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, naming the tensor or byte.
        problem: String,
    },
    /// The folder has no weights this crate reads.
    #[error("{}: {problem}", dir.display())]
    NoWeights {
        /// The folder.
        dir: PathBuf,
        /// What is there instead and what to do.
        problem: String,
    },
    /// Tensors do not fit the model; all of them are listed.
    #[error(
        "{}: {} of its tensors do not fit the model:\n{}\n{advice}",
        path.display(),
        problems.len(),
        list(problems)
    )]
    Tensors {
        /// The file or folder.
        path: PathBuf,
        /// Every problem.
        problems: Vec<TensorProblem>,
        /// What to do.
        advice: String,
    },
    /// There is no tensor of this name.
    #[error("{} has no tensor `{name}`", path.display())]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
    /// The file is not the one its manifest describes.
    #[error(
        "{} is not the file its manifest describes ({problem}); restore both from one save",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// libtorch refused.
    #[error("{}: libtorch: {message}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// First line of libtorch's message.
        message: String,
    },
}

fn list(problems: &[TensorProblem]) -> String {
    problems
        .iter()
        .map(|problem| format!("  {problem}"))
        .collect::<Vec<_>>()
        .join("\n")
}

impl WeightError {
    fn io(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        WeightError::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    fn torch(path: &std::path::Path, error: &tch::TchError) -> Self {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().to_string();
        WeightError::Torch {
            path: path.to_path_buf(),
            message,
        }
    }
}
