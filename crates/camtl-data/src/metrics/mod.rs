//! Metrics of classification and regression tasks, and the averages that GLUE and the CA-MTL paper report.
//!
//! Values agree with scikit-learn and SciPy wherever those define one; where they return NaN or warn (constant inputs)
//! the value is 0, as a table of results must never hold NaN. Empty inputs, unequal lengths, non-finite scores and
//! metrics that do not fit the kind of label are errors.
//!
//! ```
//! use camtl_data::metrics::{compute, MetricKind, Predictions, References};
//!
//! let value = compute(
//!     MetricKind::Accuracy,
//!     Predictions::Classes(&[0, 1, 1, 0]),
//!     References::Classes(&[0, 1, 0, 0]),
//! )?;
//! assert_eq!(value, 0.75);
//! # Ok::<(), camtl_data::metrics::MetricError>(())
//! ```
//!
//! Metrics of answers that are more than one class or score have modules of their own: [`question_answering`] (SQuAD v1.1
//! and v2.0, MRQA), [`record`], [`entities`] (CoNLL files), [`multirc`] and [`winogender`] (AX-g).

mod accuracy;
mod answer_f1;
mod check;
mod class_counts;
pub mod entities;
mod entity_f1;
mod error;
mod exact_match;
mod f1;
mod f1a;
mod gender_parity;
pub mod glue;
mod macro_f1;
mod matthews;
mod metric;
pub mod multirc;
mod pearson;
pub mod question_answering;
pub mod record;
mod spearman;
pub mod winogender;

use std::fmt;
use std::str::FromStr;

use crate::listed::listed;

pub(crate) use check::{check_finite, check_lengths};
pub use error::MetricError;
pub use glue::{GlueRule, ScoreTable, glue_average, task_sigma};
pub use metric::Evidence;
pub(crate) use metric::{Compares, Metric, Rows};

listed! {
    /// A metric by name. Task files spell it in kebab case (`"macro-f1"`); the names of reports ([`MetricKind::name`]) are
    /// accepted as well.
    pub enum MetricKind: Metric = METRIC, expecting "the name of a metric" {
        /// Share of predictions that equal the reference.
        Accuracy in accuracy,
        /// F1 of class 1 in a two-class task: `2 TP / (2 TP + FP + FN)`, 0 if that is 0/0.
        F1 in f1,
        /// Unweighted mean of the F1 of every class that occurs among predictions or references.
        MacroF1 in macro_f1,
        /// Matthews correlation coefficient for any number of classes (Gorodkin's R_K), 0 if either side is constant.
        Matthews in matthews,
        /// Pearson's r between predicted and reference scores, 0 if either side is constant.
        Pearson in pearson,
        /// Spearman's rho: Pearson's r of the ranks, tied values sharing their average rank; 0 if either side is constant.
        Spearman in spearman,
        /// Share of the questions answered exactly: SQuAD's, MRQA's and ReCoRD's exact match, MultiRC's "all answers of the
        /// question judged correctly".
        ExactMatch in exact_match,
        /// Mean over questions of the F1 of the answer's words (SQuAD, MRQA, ReCoRD).
        AnswerF1 in answer_f1,
        /// F1 of MultiRC over all candidate answers.
        F1a in f1a,
        /// Micro-averaged F1 of entities read from BIO tags.
        EntityF1 in entity_f1,
        /// Share of AX-g's pairs with the same prediction for both genders.
        GenderParity in gender_parity,
    }
}

impl MetricKind {
    /// The name in reports and in `summary.json`: `accuracy`, `f1`, `macro_f1`, `mcc`, `pearson`, `spearman`,
    /// `em`, `qa_f1`, `f1a`, `entity_f1`, `gender_parity`.
    pub fn name(self) -> &'static str {
        self.definition().name
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for MetricKind {
    type Err = MetricError;

    fn from_str(text: &str) -> Result<Self, MetricError> {
        Self::called(text).ok_or_else(|| MetricError::UnknownMetric {
            name: text.to_owned(),
            known: Self::SPELLINGS,
        })
    }
}

/// What a model predicted, one entry per example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Predictions<'a> {
    /// Class indices.
    Classes(&'a [u32]),
    /// Real-valued scores.
    Scores(&'a [f32]),
}

/// What the data says, one entry per example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum References<'a> {
    /// Class indices.
    Classes(&'a [u32]),
    /// Real-valued scores.
    Scores(&'a [f32]),
}

/// The value of `kind` for `predictions` against `references`.
///
/// # Errors
/// See [`MetricError`]: empty input, unequal lengths, the wrong kind of values, non-finite scores, more than two classes
/// for [`MetricKind::F1`].
pub fn compute(
    kind: MetricKind,
    predictions: Predictions<'_>,
    references: References<'_>,
) -> Result<f64, MetricError> {
    for compares in kind.definition().compares {
        match compares {
            Compares::Decisions(score) => {
                let (predicted, actual) = classes(kind.name(), predictions, references)?;
                return Ok(score(predicted, actual));
            }
            Compares::Classes(score) => {
                let (predicted, actual) = classes(kind.name(), predictions, references)?;
                return score(predicted, actual);
            }
            Compares::Scores(score) => {
                let (predicted, actual) = scores(kind.name(), predictions, references)?;
                return Ok(score(predicted.into(), actual.into()));
            }
            Compares::Answers(_)
            | Compares::Judgements(_)
            | Compares::Tags(_)
            | Compares::Rows(_) => {}
        }
    }
    Err(MetricError::NeedsSplit {
        metric: kind.name(),
    })
}

fn classes<'a>(
    metric: &'static str,
    predictions: Predictions<'a>,
    references: References<'a>,
) -> Result<(&'a [u32], &'a [u32]), MetricError> {
    let wrong = |side| MetricError::WrongKind {
        metric,
        side,
        expected: "classes",
        got: "scores",
    };
    match (predictions, references) {
        (Predictions::Classes(predicted), References::Classes(actual)) => {
            check_lengths(metric, predicted.len(), actual.len())?;
            Ok((predicted, actual))
        }
        (Predictions::Scores(_), _) => Err(wrong("predictions")),
        (_, References::Scores(_)) => Err(wrong("references")),
    }
}

fn scores<'a>(
    metric: &'static str,
    predictions: Predictions<'a>,
    references: References<'a>,
) -> Result<(&'a [f32], &'a [f32]), MetricError> {
    let wrong = |side| MetricError::WrongKind {
        metric,
        side,
        expected: "scores",
        got: "classes",
    };
    match (predictions, references) {
        (Predictions::Scores(predicted), References::Scores(actual)) => {
            check_lengths(metric, predicted.len(), actual.len())?;
            check_finite(metric, "predictions", predicted)?;
            check_finite(metric, "references", actual)?;
            Ok((predicted, actual))
        }
        (Predictions::Classes(_), _) => Err(wrong("predictions")),
        (_, References::Classes(_)) => Err(wrong("references")),
    }
}

/// A metric is added by one file and one line of a list.
#[cfg(test)]
mod tests {
    use super::*;

    mod error_rate {
        use crate::metrics::{Compares, Metric};

        pub(super) const METRIC: Metric = Metric {
            name: "error_rate",
            spelling: "error-rate",
            compares: &[Compares::Decisions(|predicted, actual| {
                let wrong = predicted.iter().zip(actual).filter(|(p, a)| p != a);
                wrong.count() as f64 / actual.len() as f64
            })],
            labels_problem: None,
        };
    }

    listed! {
        /// Metrics of one's own.
        enum OwnMetric: Metric = METRIC, expecting "the name of a metric" {
            /// Share of wrong decisions.
            ErrorRate in error_rate,
        }
    }

    #[test]
    fn a_metric_is_a_file_and_a_line() {
        let metric: OwnMetric = serde_json::from_str("\"error-rate\"").unwrap();
        assert_eq!(metric, OwnMetric::ErrorRate);
        assert_eq!(OwnMetric::called("error_rate"), Some(metric));
        assert_eq!(OwnMetric::ALL.len(), OwnMetric::SPELLINGS.len());
        assert_eq!(serde_json::to_string(&metric).unwrap(), "\"error-rate\"");
        let provided = [Evidence::Classes, Evidence::Decisions];
        match metric.definition().comparison(&provided) {
            Some(Compares::Decisions(score)) => {
                assert_eq!(score(&[0, 1, 1, 0], &[0, 1, 0, 0]), 0.25)
            }
            _ => panic!("it compares decisions"),
        }
        assert!(
            metric
                .definition()
                .comparison(&[Evidence::Scores])
                .is_none()
        );
    }
}
