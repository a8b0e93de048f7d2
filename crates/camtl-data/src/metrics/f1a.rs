//! MultiRC's F1 over all candidate answers.

use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "f1a",
    spelling: "f1a",
    compares: &[Compares::Judgements(|scores| scores.f1a)],
    labels_problem: None,
};
