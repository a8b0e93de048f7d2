//! From proportional towards uniform (Stickland & Murray 2019, PALs): P_t ∝ |D_t|^α with
//! α = 1 − 0.8 e / (E − 1) in epoch e = 0 .. E−1.

use serde::{Deserialize, Serialize};

use super::by_task::{ByTask, TaskLaw};
use super::kind::{SamplerKind, one_pass};
use super::state::Setup;
use super::{Sampler, SamplerError, TaskInfo};

/// A task per step, in proportion to size^α with α falling from 1 in the first epoch to 0.2 in the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annealed {
    /// Steps that count as one epoch; by default one pass over as many examples as there are. (The PALs code has
    /// 300 per task, 2,400 for GLUE's eight.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_per_epoch: Option<u64>,
}

impl SamplerKind for Annealed {
    fn check(&self) -> Result<(), SamplerError> {
        match self.steps_per_epoch {
            Some(0) => Err(SamplerError::Option {
                option: "steps_per_epoch",
                value: "0".to_owned(),
                expected: "at least 1",
            }),
            _ => Ok(()),
        }
    }

    fn steps_per_epoch(&self, tasks: &[TaskInfo], batch_size: usize) -> u64 {
        self.steps_per_epoch
            .unwrap_or_else(|| one_pass(tasks, batch_size))
    }

    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        let law = Law::new(setup.total_epochs, setup.steps_per_epoch);
        Ok(ByTask::boxed(setup, law))
    }
}

struct Law {
    epochs: u64,
    steps_per_epoch: u64,
}

impl Law {
    /// `total_epochs` is rounded up to E whole epochs; with a single one α stays 1.
    fn new(total_epochs: f64, steps_per_epoch: u64) -> Self {
        Self {
            epochs: total_epochs.ceil() as u64,
            steps_per_epoch,
        }
    }

    fn alpha(&self, step: u64) -> f64 {
        if self.epochs <= 1 {
            return 1.0;
        }
        let last = self.epochs - 1;
        let epoch = (step / self.steps_per_epoch).min(last);
        1.0 - 0.8 * epoch as f64 / last as f64
    }
}

impl TaskLaw for Law {
    fn weight(&self, size: usize, step: u64) -> f64 {
        (size as f64).powf(self.alpha(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_falls_linearly_from_one_to_a_fifth() {
        let law = Law::new(5.0, 10);
        let alphas: Vec<f64> = (0..6).map(|epoch| law.alpha(epoch * 10 + 9)).collect();
        for (alpha, expected) in alphas.iter().zip([1.0, 0.8, 0.6, 0.4, 0.2, 0.2]) {
            assert!((alpha - expected).abs() < 1e-12, "{alphas:?}");
        }
        assert_eq!(Law::new(1.0, 10).alpha(99), 1.0);
        assert!((Law::new(1.5, 10).alpha(10) - 0.2).abs() < 1e-12);
    }
}
