//! What the file of a metric says about it.

use std::collections::BTreeMap;

use ndarray::ArrayView1;

use super::error::MetricError;
use super::multirc::MultiRcScores;
use super::question_answering::AnswerScores;
use crate::spec::Example;

/// A metric.
pub(crate) struct Metric {
    /// Its name in reports.
    pub(crate) name: &'static str,
    /// Its name in task files.
    pub(crate) spelling: &'static str,
    /// What it compares; of several, the first that a task provides counts.
    pub(crate) compares: &'static [Compares],
    /// What is wrong with a task's labels, if the metric wants special ones.
    pub(crate) labels_problem: Option<LabelsProblem>,
}

type LabelsProblem = fn(&[String]) -> Option<String>;

/// Tags by sentence.
type Sentences<'a> = &'a [Vec<&'a str>];

/// What a metric compares, and how. Predictions come first; there is at least one, and as many as references.
#[derive(Clone, Copy)]
pub(crate) enum Compares {
    /// See [`Evidence::Decisions`].
    Decisions(fn(&[u32], &[u32]) -> f64),
    /// See [`Evidence::Classes`].
    Classes(fn(&[u32], &[u32]) -> Result<f64, MetricError>),
    /// See [`Evidence::Scores`]; all are finite.
    Scores(fn(ArrayView1<'_, f32>, ArrayView1<'_, f32>) -> f64),
    /// See [`Evidence::Answers`].
    Answers(fn(&AnswerScores) -> f64),
    /// See [`Evidence::Judgements`].
    Judgements(fn(&MultiRcScores) -> f64),
    /// See [`Evidence::Tags`].
    Tags(fn(Sentences<'_>, Sentences<'_>) -> Result<f64, MetricError>),
    /// See [`Evidence::Rows`].
    Rows(fn(&Rows<'_>) -> Result<f64, MetricError>),
}

/// What a task provides of its answers for metrics to compare with the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Decisions, each right or wrong: the class of an example, the option taken, the tag of a word.
    Decisions,
    /// The classes of examples, each of them a thing to be found.
    Classes,
    /// Real-valued scores of examples.
    Scores,
    /// Texts that answer questions, compared with the accepted ones.
    Answers,
    /// Whether candidate answers are right, by question.
    Judgements,
    /// The tags of sentences.
    Tags,
    /// Classes with the rows they are about.
    Rows,
}

/// Predicted classes with the rows they are about.
pub(crate) struct Rows<'a> {
    /// Row and class of examples, by their place in the split.
    pub(crate) classes: BTreeMap<usize, (&'a Example, u32)>,
    /// Examples of the split.
    pub(crate) all: usize,
}

impl Compares {
    pub(crate) fn evidence(self) -> Evidence {
        match self {
            Self::Decisions(_) => Evidence::Decisions,
            Self::Classes(_) => Evidence::Classes,
            Self::Scores(_) => Evidence::Scores,
            Self::Answers(_) => Evidence::Answers,
            Self::Judgements(_) => Evidence::Judgements,
            Self::Tags(_) => Evidence::Tags,
            Self::Rows(_) => Evidence::Rows,
        }
    }
}

impl Metric {
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let plain = name.replace('-', "_");
        plain == self.name || plain == self.spelling.replace('-', "_")
    }

    /// What it compares of the evidence that a task provides.
    pub(crate) fn comparison(&self, provided: &[Evidence]) -> Option<Compares> {
        (self.compares.iter().copied()).find(|compares| provided.contains(&compares.evidence()))
    }
}
