//! Tasks by their size: P_t = |D_t| / Σ |D_u| (π_|task| of the paper).

use super::by_task::TaskLaw;

pub(super) struct Proportional;

impl TaskLaw for Proportional {
    fn weight(&self, size: usize, _step: u64) -> f64 {
        size as f64
    }
}
