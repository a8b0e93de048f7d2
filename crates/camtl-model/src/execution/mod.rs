//! Computing: the forward pass, the forms of a weight, steps with one table, captured graphs.

mod bucket;
pub(crate) mod forward;
mod graphs;
pub(crate) mod input;
pub(crate) mod invariance;
pub(crate) mod linear_map;
pub(crate) mod modulation;
pub(crate) mod pass;
mod plain_batch;
mod step;
pub(crate) mod trace;

pub use bucket::Bucket;
pub use graphs::{Gradients, StepGraphs};
pub use input::ModelInput;
pub use plain_batch::PlainBatch;
pub use step::StepModulation;
pub use trace::Trace;
