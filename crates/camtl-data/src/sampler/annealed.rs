//! From proportional towards uniform (Stickland & Murray 2019, PALs): P_t ∝ |D_t|^α with
//! α = 1 − 0.8 e / (E − 1) in epoch e = 0 .. E−1.

use super::by_task::TaskLaw;

pub(super) struct Annealed {
    epochs: u64,
    steps_per_epoch: u64,
}

impl Annealed {
    /// `total_epochs` is rounded up to E whole epochs; with a single one α stays 1.
    pub(super) fn new(total_epochs: f64, steps_per_epoch: u64) -> Self {
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

impl TaskLaw for Annealed {
    fn weight(&self, size: usize, step: u64) -> f64 {
        (size as f64).powf(self.alpha(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_falls_linearly_from_one_to_a_fifth() {
        let law = Annealed::new(5.0, 10);
        let alphas: Vec<f64> = (0..6).map(|epoch| law.alpha(epoch * 10 + 9)).collect();
        for (alpha, expected) in alphas.iter().zip([1.0, 0.8, 0.6, 0.4, 0.2, 0.2]) {
            assert!((alpha - expected).abs() < 1e-12, "{alphas:?}");
        }
        assert_eq!(Annealed::new(1.0, 10).alpha(99), 1.0);
        assert!((Annealed::new(1.5, 10).alpha(10) - 0.2).abs() < 1e-12);
    }
}
