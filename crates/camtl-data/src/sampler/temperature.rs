//! Tasks by a flattened size: P_t ∝ |D_t|^(1 / temperature).

use super::by_task::TaskLaw;

pub(super) struct Temperature {
    pub(super) temperature: f64,
}

impl TaskLaw for Temperature {
    fn weight(&self, size: usize, _step: u64) -> f64 {
        (size as f64).powf(1.0 / self.temperature)
    }
}
