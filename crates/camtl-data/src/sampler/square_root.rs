//! Tasks by the square root of their size: P_t ∝ |D_t|^0.5 (`sqrt` of the PALs code).

use super::by_task::TaskLaw;

pub(super) struct SquareRoot;

impl TaskLaw for SquareRoot {
    fn weight(&self, size: usize, _step: u64) -> f64 {
        (size as f64).sqrt()
    }
}
