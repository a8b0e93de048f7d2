//! What makes the encoder depend on the task.

mod modulation;

pub use modulation::{Film, Modulation, NormRows};
