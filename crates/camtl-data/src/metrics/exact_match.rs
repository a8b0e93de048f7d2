//! Share of the questions that are answered exactly.

use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "em",
    spelling: "em",
    compares: &[
        Compares::Judgements(|scores| scores.exact_match),
        Compares::Answers(|scores| scores.exact_match),
    ],
    labels_problem: None,
};
