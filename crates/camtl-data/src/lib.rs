//! Tasks, readers, tokenisation, packed batches, task samplers and metrics for multi-task language models.
#![deny(unsafe_code)]

pub mod batch;
mod cache;
pub mod encoded;
pub mod error;
pub mod load;
pub mod metrics;
pub mod random;
pub mod reader;
pub mod sampler;
pub mod suggest;
pub mod task;
pub mod tokenize;

pub use batch::{BatchError, BatchItem, LossReduction, PackedBatch, TaskSegment};
pub use encoded::{EncodedExample, EncodedSplit, SplitSummary, TaskDataset};
pub use error::{DataError, RowError, RowProblem};
pub use load::{LoadOptions, load_task};
pub use reader::{Example, Label, ReadReport, read_lines, read_split, read_texts};
pub use task::{
    Column, Fields, FileFormat, MalformedRows, SplitSource, Submission, TaskError, TaskKind, TaskSpec,
};
pub use tokenize::{Encoded, TextTokenizer, TokenizerError};
pub use metrics::{MetricError, MetricKind, Predictions, References};
pub use random::{Stream, StreamState, derive_seed};
pub use sampler::{
    DataUsage, ExampleRef, Sampler, SamplerConfig, SamplerError, Scorer, Selection, TaskInfo, build_sampler,
};
