//! The error every operation returns.
//!
//! An error names the operation, the tensor and what was expected, so that a
//! caller three layers up can print it as it is. Text that comes from libtorch
//! is cut to its first line: the C++ backtrace behind it helps nobody who reads
//! a log.
//!
//! ```
//! use camtl_ops::{OpsError, Packing};
//! use tch::Device;
//!
//! let error = Packing::new(&[0, 3, 2], &[0, 0], Device::Cpu).unwrap_err();
//! assert!(matches!(error, OpsError::Packing { .. }));
//! assert!(error.to_string().contains("cu_seqlens[2] is 2, below cu_seqlens[1] = 3"));
//! ```

use tch::{Device, Kind, TchError, Tensor};

/// What went wrong in an operation of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpsError {
    /// A tensor's shape does not fit the operation or the other tensors.
    #[error("{op}: `{tensor}` has shape {got:?}, expected {expected}")]
    Shape {
        /// Operation that was called.
        op: &'static str,
        /// Argument that does not fit.
        tensor: String,
        /// Shape that would fit, in words.
        expected: String,
        /// Shape that was passed.
        got: Vec<i64>,
    },
    /// A tensor's element type does not fit the operation or the other tensors.
    #[error("{op}: `{tensor}` holds {got:?} values, expected {expected}")]
    Kind {
        /// Operation that was called.
        op: &'static str,
        /// Argument that does not fit.
        tensor: String,
        /// Element type that would fit, in words.
        expected: String,
        /// Element type that was passed.
        got: Kind,
    },
    /// A tensor lies on another device than the layout of the batch.
    #[error("{op}: `{tensor}` is on {got:?}, the other arguments are on {expected:?}")]
    Device {
        /// Operation that was called.
        op: &'static str,
        /// Argument that does not fit.
        tensor: String,
        /// Device of the other arguments.
        expected: Device,
        /// Device of this argument.
        got: Device,
    },
    /// A number outside its range, or two arguments that contradict each other.
    #[error("{op}: {message}")]
    Value {
        /// Operation that was called.
        op: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The layout of a packed batch is inconsistent.
    #[error("packing: {message}")]
    Packing {
        /// The entry that is wrong and what would be right.
        message: String,
    },
    /// A GPU was asked for and something it takes is not there.
    #[error("cuda: {message}; {remedy}")]
    Cuda {
        /// What is missing.
        message: String,
        /// What to do about it.
        remedy: String,
    },
    /// libtorch refused a call; the text is the first line of its message.
    #[error("{op}: libtorch: {message}")]
    Libtorch {
        /// Operation that was called.
        op: &'static str,
        /// First line of the text from C++.
        message: String,
    },
}

impl OpsError {
    /// Names the operation in an error that was raised below it.
    #[must_use]
    pub(crate) fn within(self, name: &'static str) -> Self {
        match self {
            OpsError::Libtorch { op: "", message } => OpsError::Libtorch { op: name, message },
            other => other,
        }
    }

    /// A shape error for `tensor`.
    pub(crate) fn shape(
        op: &'static str,
        name: &str,
        expected: impl Into<String>,
        tensor: &Tensor,
    ) -> Self {
        OpsError::Shape {
            op,
            tensor: name.to_owned(),
            expected: expected.into(),
            got: tensor.size(),
        }
    }
}

impl From<TchError> for OpsError {
    fn from(error: TchError) -> Self {
        let text = match error {
            TchError::Torch(text) => text,
            other => other.to_string(),
        };
        OpsError::Libtorch {
            op: "",
            message: first_line(&text),
        }
    }
}

/// First line of a libtorch message, without the position libtorch appends.
pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Result of an operation.
pub type Result<T> = std::result::Result<T, OpsError>;
