//! Every task equally often: P_t = 1 / T (π_rand of the paper).

use super::by_task::TaskLaw;

pub(super) struct Uniform;

impl TaskLaw for Uniform {
    fn weight(&self, _size: usize, _step: u64) -> f64 {
        1.0
    }
}
