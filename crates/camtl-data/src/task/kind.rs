//! The kinds of tasks.

use crate::encoded::{IGNORED, UNKNOWN};
use crate::formats::RowForm;

/// What a task predicts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TaskKind {
    /// One of several labels. Class `i` is the i-th name.
    Classification {
        /// Label names as the data spells them.
        labels: Vec<String>,
    },
    /// A score.
    Regression {
        /// Smallest score that may occur.
        min: f32,
        /// Largest score that may occur.
        max: f32,
    },
    /// One of several texts that the example itself brings along. Every option is a sequence of its own, and the
    /// probabilities are over the options of one example.
    MultipleChoice {
        /// How the data spells the options, in order: `["0", "1"]`, `["A", "B", "C", "D"]`.
        labels: Vec<String>,
    },
    /// A tag for every word.
    Tagging {
        /// Tags as the data spells them. Words cut off by truncation count as tagged with the first, which for entities
        /// is `O`.
        labels: Vec<String>,
    },
    /// A span of the context that answers the question. The unit is a window of the context: a question with a long
    /// context is several examples.
    Span {
        /// Whether there may be no answer (SQuAD v2).
        no_answer: bool,
    },
    /// One of several labels for a pair of mentions marked in the text.
    SpanPair {
        /// Label names as the data spells them.
        labels: Vec<String>,
    },
}

impl TaskKind {
    /// The name in task files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classification { .. } => "classification",
            Self::Regression { .. } => "regression",
            Self::MultipleChoice { .. } => "multiple-choice",
            Self::Tagging { .. } => "tagging",
            Self::Span { .. } => "span",
            Self::SpanPair { .. } => "span-pair",
        }
    }

    /// Width of the task's output layer: the number of classes or tags, 1 for a score or for the fitness of an option,
    /// 2 for the start and the end of a span.
    #[must_use]
    pub fn num_outputs(&self) -> usize {
        match self {
            Self::Classification { labels }
            | Self::Tagging { labels }
            | Self::SpanPair { labels } => labels.len(),
            Self::Regression { .. } | Self::MultipleChoice { .. } => 1,
            Self::Span { .. } => 2,
        }
    }

    /// Number of alternatives `C` whose logarithm is the largest uncertainty: classes, tags or options, 2 for a span
    /// (whose uncertainty is brought to the scale of ln 2), 1 for a score.
    #[must_use]
    pub fn num_alternatives(&self) -> usize {
        match self {
            Self::MultipleChoice { labels } => labels.len(),
            other => other.num_outputs(),
        }
    }

    /// Sequences of an example: the options of a multiple choice, else 1.
    #[must_use]
    pub fn sequences_per_example(&self) -> usize {
        match self {
            Self::MultipleChoice { labels } => labels.len(),
            _ => 1,
        }
    }

    /// The rows that it can be made of.
    pub(crate) fn rows(&self) -> &'static [RowForm] {
        match self {
            Self::Classification { .. } => &[RowForm::Cells, RowForm::Judgements],
            Self::Regression { .. } | Self::MultipleChoice { .. } | Self::SpanPair { .. } => {
                &[RowForm::Cells]
            }
            Self::Tagging { .. } => &[RowForm::Sentences],
            Self::Span { .. } => &[RowForm::Questions],
        }
    }

    /// Whether a score is predicted (trained with squared error).
    #[must_use]
    pub fn is_regression(&self) -> bool {
        matches!(self, Self::Regression { .. })
    }

    /// Whether `extra` can be what this kind adds to an example of `length` tokens
    /// ([`EncodedExample::extra`](crate::EncodedExample::extra)).
    #[must_use]
    pub fn accepts_extra(&self, extra: &[i32], length: usize) -> bool {
        let index = |value: i32| usize::try_from(value).is_ok_and(|at| at < length);
        match self {
            Self::Classification { .. } | Self::Regression { .. } => extra.is_empty(),
            Self::MultipleChoice { labels } => {
                extra.len() == labels.len()
                    && extra.iter().all(|tokens| *tokens > 0)
                    && extra.iter().map(|tokens| i64::from(*tokens)).sum::<i64>() == length as i64
            }
            Self::Tagging { labels } => {
                let tag = |value: i32| {
                    matches!(value, IGNORED | UNKNOWN)
                        || usize::try_from(value).is_ok_and(|tag| tag < labels.len())
                };
                extra.len() == length && extra.iter().all(|value| tag(*value))
            }
            Self::Span { .. } => match *extra {
                [start, end, first, last] => {
                    let answer = first <= start && start <= end && end <= last;
                    index(first)
                        && index(last)
                        && first <= last
                        && (answer || start == 0 && end == 0)
                }
                _ => false,
            },
            Self::SpanPair { .. } => match *extra {
                [a, b, c, d] => [(a, b), (c, d)]
                    .into_iter()
                    .all(|(start, end)| start < end && index(start) && index(end - 1)),
                _ => false,
            },
        }
    }

    /// Names of labels, tags or options; empty for regression and spans.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Classification { labels }
            | Self::MultipleChoice { labels }
            | Self::Tagging { labels }
            | Self::SpanPair { labels } => labels,
            Self::Regression { .. } | Self::Span { .. } => &[],
        }
    }
}
