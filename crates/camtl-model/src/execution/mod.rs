//! Computing: the forward pass, the forms of a weight, steps with one table, captured graphs.

mod bucket;
pub(crate) mod encoder;
mod graphs;
mod input;
pub(crate) mod invariance;
pub(crate) mod linear_map;
mod step;
mod trace;

pub use bucket::Bucket;
pub use graphs::{Gradients, PlainBatch, StepGraphs};
pub use input::ModelInput;
pub use step::StepModulation;
pub use trace::Trace;
