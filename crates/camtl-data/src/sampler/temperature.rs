//! Tasks by a flattened size: P_t ∝ |D_t|^(1 / temperature).

use serde::{Deserialize, Serialize};

use super::by_task::{ByTask, TaskLaw};
use super::kind::SamplerKind;
use super::state::Setup;
use super::{Sampler, SamplerError};

/// A task per step, in proportion to size^(1/temperature).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temperature {
    /// 1 is proportional, 2 is square-root, infinity would be uniform; above 0.
    #[serde(default = "missing")]
    pub temperature: f64,
}

/// It has no default; the check says what is expected.
fn missing() -> f64 {
    f64::NAN
}

impl TaskLaw for Temperature {
    fn weight(&self, size: usize, _step: u64) -> f64 {
        (size as f64).powf(1.0 / self.temperature)
    }
}

impl SamplerKind for Temperature {
    fn check(&self) -> Result<(), SamplerError> {
        if self.temperature.is_finite() && self.temperature > 0.0 {
            return Ok(());
        }
        Err(SamplerError::Option {
            option: "temperature",
            value: match self.temperature.is_nan() {
                true => "(missing)".to_owned(),
                false => self.temperature.to_string(),
            },
            expected: "a number above 0",
        })
    }

    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        Ok(ByTask::boxed(setup, self.clone()))
    }
}
