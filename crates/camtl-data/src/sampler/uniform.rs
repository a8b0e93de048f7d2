//! Every task equally often: P_t = 1 / T (π_rand of the paper).

use serde::{Deserialize, Serialize};

use super::by_task::{ByTask, TaskLaw};
use super::kind::SamplerKind;
use super::state::Setup;
use super::{Sampler, SamplerError};

/// A task per step, every task equally often; no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uniform {}

impl TaskLaw for Uniform {
    fn weight(&self, _size: usize, _step: u64) -> f64 {
        1.0
    }
}

impl SamplerKind for Uniform {
    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        Ok(ByTask::boxed(setup, self.clone()))
    }
}
