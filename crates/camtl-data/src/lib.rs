//! camtl-data

pub mod metrics;
pub mod random;
pub mod sampler;

pub use metrics::{MetricError, MetricKind, Predictions, References};
pub use random::{Stream, StreamState, derive_seed};
pub use sampler::{
    DataUsage, ExampleRef, Sampler, SamplerConfig, SamplerError, Scorer, Selection, TaskInfo, build_sampler,
};
