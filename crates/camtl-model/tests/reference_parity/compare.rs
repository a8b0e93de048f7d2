//! Collecting deviations.

use std::fmt::Debug;

use tch::{Kind, Tensor};

pub(crate) const OUTPUT_TOLERANCE: f64 = 2e-5;
pub(crate) const GRADIENT_TOLERANCE: f64 = 2e-4;

pub(crate) struct Report {
    case: String,
    pub(crate) failures: Vec<String>,
    comparisons: usize,
    worst: (f64, String),
}

impl Report {
    pub(crate) fn new(case: &str) -> Self {
        let (failures, worst) = (Vec::new(), (0.0, String::new()));
        Report {
            case: case.to_string(),
            failures,
            comparisons: 0,
            worst,
        }
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{}: {} comparisons, worst {:.3} of its tolerance ({})",
            self.case, self.comparisons, self.worst.0, self.worst.1
        )
    }

    pub(crate) fn fail(&mut self, message: String) {
        self.failures.push(format!("{}: {message}", self.case));
    }

    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, what: &str, ours: &T, theirs: &T) {
        self.comparisons += 1;
        if ours != theirs {
            self.fail(format!("{what}: {ours:?}, the reference has {theirs:?}"));
        }
    }

    /// `|ours - theirs| <= tolerance * scale`, elementwise.
    pub(crate) fn within(
        &mut self,
        what: &str,
        ours: &Tensor,
        theirs: &Tensor,
        tolerance: f64,
        scale: f64,
    ) {
        self.comparisons += 1;
        if ours.size() != theirs.size() {
            self.fail(format!(
                "{what}: shape {:?} against {:?}",
                ours.size(),
                theirs.size()
            ));
            return;
        }
        if theirs.numel() == 0 {
            return;
        }
        let difference =
            (ours.detach().to_kind(Kind::Double) - theirs.detach().to_kind(Kind::Double)).abs();
        let worst = difference.max().double_value(&[]);
        let share = worst / (tolerance * scale);
        // A NaN fails as well.
        if !matches!(share.partial_cmp(&1.0), Some(std::cmp::Ordering::Less)) {
            self.fail(format!(
                "{what}: differs by {worst:.3e}, allowed {:.3e}",
                tolerance * scale
            ));
        } else if share > self.worst.0 {
            self.worst = (share, what.to_string());
        }
    }

    /// An output against the rows of the reference that were computed; the scale is the whole
    /// reference tensor's largest value.
    pub(crate) fn output(&mut self, what: &str, ours: &Tensor, theirs: &Tensor, whole: &Tensor) {
        self.within(
            what,
            ours,
            theirs,
            OUTPUT_TOLERANCE,
            largest(whole).max(0.1),
        );
    }
}

pub(crate) fn largest(tensor: &Tensor) -> f64 {
    if tensor.numel() == 0 {
        0.0
    } else {
        tensor.to_kind(Kind::Double).abs().max().double_value(&[])
    }
}
