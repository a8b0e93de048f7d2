//! Mean F1 of the words of answers.

use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "qa_f1",
    spelling: "qa-f1",
    compares: &[Compares::Answers(|scores| scores.f1)],
    labels_problem: None,
};
