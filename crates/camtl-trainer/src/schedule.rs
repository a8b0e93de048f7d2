//! The learning rate as a function of the step: linear warm-up, then linear decay to zero.
//!
//! The multiplier is that of Hugging Face's `get_linear_schedule_with_warmup`: update `k`
//! (counted from 0) of `n` with `w` warm-up steps uses `k / w` while `k < w` and
//! `(n - k) / (n - w)` afterwards. The first update of a run with warm-up therefore has the
//! learning rate 0, as there.
//!
//! ```
//! use camtl_trainer::schedule::LinearSchedule;
//!
//! let schedule = LinearSchedule::new(2e-5, 100, 0.1);
//! assert_eq!(schedule.warmup_steps(), 10);
//! assert_eq!(schedule.learning_rate(0), 0.0);
//! assert_eq!(schedule.learning_rate(10), 2e-5);
//! assert_eq!(schedule.learning_rate(100), 0.0);
//! ```

/// Linear warm-up and linear decay to zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearSchedule {
    peak: f64,
    total_steps: u64,
    warmup_steps: u64,
}

impl LinearSchedule {
    /// A schedule that reaches `peak` after `ceil(warmup_ratio * total_steps)` updates and 0
    /// after `total_steps`.
    pub fn new(peak: f64, total_steps: u64, warmup_ratio: f64) -> Self {
        // Rounded up as `TrainingArguments.get_warmup_steps` does; the subtraction keeps
        // 0.1 * 30 = 3.0000000000000004 from becoming 4.
        let exact = warmup_ratio * total_steps as f64;
        let warmup_steps = (exact - 1e-9).ceil().max(0.0) as u64;
        Self {
            peak,
            total_steps,
            warmup_steps: warmup_steps.min(total_steps),
        }
    }

    /// Number of warm-up updates.
    pub fn warmup_steps(&self) -> u64 {
        self.warmup_steps
    }

    /// Number of updates after which the learning rate is 0.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// The learning rate of update `step`, counted from 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let factor = if step < self.warmup_steps {
            step as f64 / self.warmup_steps as f64
        } else {
            let rest = self.total_steps.saturating_sub(step) as f64;
            rest / (self.total_steps.saturating_sub(self.warmup_steps).max(1)) as f64
        };
        self.peak * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_closed_form() {
        // transformers.get_linear_schedule_with_warmup(optimizer, 3, 10), lr = 1.
        let expected = [
            0.0,
            1.0 / 3.0,
            2.0 / 3.0,
            1.0,
            6.0 / 7.0,
            5.0 / 7.0,
            4.0 / 7.0,
            3.0 / 7.0,
            2.0 / 7.0,
            1.0 / 7.0,
            0.0,
        ];
        let schedule = LinearSchedule::new(1.0, 10, 0.3);
        assert_eq!(schedule.warmup_steps(), 3);
        for (step, want) in expected.iter().enumerate() {
            assert!(
                (schedule.learning_rate(step as u64) - want).abs() < 1e-15,
                "step {step}"
            );
        }
    }

    #[test]
    fn degenerate_lengths_are_finite() {
        for (total, ratio) in [(0, 0.1), (1, 0.0), (1, 1.0), (5, 1.0), (3, 0.0)] {
            let schedule = LinearSchedule::new(1e-3, total, ratio);
            for step in 0..=total + 2 {
                let rate = schedule.learning_rate(step);
                assert!(
                    rate.is_finite() && (0.0..=1e-3).contains(&rate),
                    "{total} {ratio} {step}: {rate}"
                );
            }
        }
    }

    #[test]
    fn an_exact_product_is_not_rounded_up() {
        assert_eq!(LinearSchedule::new(1.0, 30, 0.1).warmup_steps(), 3);
        assert_eq!(LinearSchedule::new(1.0, 31, 0.1).warmup_steps(), 4);
    }
}
