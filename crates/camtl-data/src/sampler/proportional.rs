//! Tasks by their size: P_t = |D_t| / Σ |D_u| (π_|task| of the paper).

use serde::{Deserialize, Serialize};

use super::by_task::{ByTask, TaskLaw};
use super::kind::SamplerKind;
use super::state::Setup;
use super::{Sampler, SamplerError};

/// A task per step, tasks in proportion to their size; no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proportional {}

impl TaskLaw for Proportional {
    fn weight(&self, size: usize, _step: u64) -> f64 {
        size as f64
    }
}

impl SamplerKind for Proportional {
    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        Ok(ByTask::boxed(setup, self.clone()))
    }
}
