//! Metrics by name, and the tasks that each fits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MetricError;
use crate::task::{FileFormat, TaskKind};

/// A metric by name. Task files spell it in kebab case (`"macro-f1"`); the names of reports ([`MetricKind::name`]) are
/// accepted as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MetricKind {
    /// Share of predictions that equal the reference.
    Accuracy,
    /// F1 of class 1 in a two-class task: `2 TP / (2 TP + FP + FN)`, 0 if that is 0/0.
    F1,
    /// Unweighted mean of the F1 of every class that occurs among predictions or references.
    #[serde(alias = "macro_f1")]
    MacroF1,
    /// Matthews correlation coefficient for any number of classes (Gorodkin's R_K), 0 if either side is constant.
    #[serde(alias = "mcc")]
    Matthews,
    /// Pearson's r between predicted and reference scores, 0 if either side is constant.
    Pearson,
    /// Spearman's rho: Pearson's r of the ranks, tied values sharing their average rank; 0 if either side is constant.
    Spearman,
    /// Share of the questions answered exactly: SQuAD's, MRQA's and ReCoRD's exact match, MultiRC's "all answers of the
    /// question judged correctly".
    #[serde(rename = "em")]
    ExactMatch,
    /// Mean over questions of the F1 of the answer's words (SQuAD, MRQA, ReCoRD).
    #[serde(rename = "qa-f1", alias = "qa_f1")]
    AnswerF1,
    /// F1 of MultiRC over all candidate answers.
    #[serde(rename = "f1a")]
    F1a,
    /// Micro-averaged F1 of entities read from BIO tags.
    #[serde(alias = "entity_f1")]
    EntityF1,
    /// Share of AX-g's pairs with the same prediction for both genders.
    #[serde(alias = "gender_parity")]
    GenderParity,
}

impl MetricKind {
    /// Every metric, in the order of declaration.
    pub const ALL: [Self; 11] = [
        Self::Accuracy,
        Self::F1,
        Self::MacroF1,
        Self::Matthews,
        Self::Pearson,
        Self::Spearman,
        Self::ExactMatch,
        Self::AnswerF1,
        Self::F1a,
        Self::EntityF1,
        Self::GenderParity,
    ];

    /// The name in reports and in `summary.json`: `accuracy`, `f1`, `macro_f1`, `mcc`, `pearson`, `spearman`,
    /// `em`, `qa_f1`, `f1a`, `entity_f1`, `gender_parity`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::MacroF1 => "macro_f1",
            Self::Matthews => "mcc",
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::ExactMatch => "em",
            Self::AnswerF1 => "qa_f1",
            Self::F1a => "f1a",
            Self::EntityF1 => "entity_f1",
            Self::GenderParity => "gender_parity",
        }
    }

    /// Whether the metric compares real-valued scores; otherwise it compares classes.
    pub fn compares_scores(self) -> bool {
        matches!(self, Self::Pearson | Self::Spearman)
    }

    /// Whether the metric is not of one class or score per example, so that only
    /// [`score_split`](super::score_split) can tell it.
    pub fn needs_split(self) -> bool {
        matches!(
            self,
            Self::ExactMatch | Self::AnswerF1 | Self::F1a | Self::EntityF1 | Self::GenderParity
        )
    }

    /// Whether the metric can be told of a task of this kind whose files have this format.
    pub fn fits(self, kind: &TaskKind, format: FileFormat) -> bool {
        let classes = matches!(
            kind,
            TaskKind::Classification { .. } | TaskKind::SpanPair { .. }
        );
        match self {
            Self::Pearson | Self::Spearman => kind.is_regression(),
            Self::F1 | Self::MacroF1 | Self::Matthews => classes,
            Self::Accuracy => {
                classes
                    || matches!(
                        kind,
                        TaskKind::MultipleChoice { .. } | TaskKind::Tagging { .. }
                    )
            }
            Self::AnswerF1 => matches!(kind, TaskKind::Span { .. }) || format == FileFormat::Record,
            Self::ExactMatch => {
                matches!(kind, TaskKind::Span { .. })
                    || matches!(format, FileFormat::MultiRc | FileFormat::Record)
            }
            Self::F1a => classes && format == FileFormat::MultiRc,
            Self::EntityF1 => matches!(kind, TaskKind::Tagging { .. }),
            Self::GenderParity => matches!(kind, TaskKind::Classification { .. }),
        }
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
        let wanted = text.replace('-', "_");
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == wanted || (wanted == "matthews" && *kind == Self::Matthews))
            .ok_or_else(|| MetricError::UnknownMetric {
                name: text.to_owned(),
            })
    }
}
