//! Tasks by the square root of their size: P_t ∝ |D_t|^0.5 (`sqrt` of the PALs code).

use serde::{Deserialize, Serialize};

use super::by_task::{ByTask, TaskLaw};
use super::kind::SamplerKind;
use super::state::Setup;
use super::{Sampler, SamplerError};

/// A task per step, tasks in proportion to the square root of their size; no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SquareRoot {}

impl TaskLaw for SquareRoot {
    fn weight(&self, size: usize, _step: u64) -> f64 {
        (size as f64).sqrt()
    }
}

impl SamplerKind for SquareRoot {
    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        Ok(ByTask::boxed(setup, self.clone()))
    }
}
