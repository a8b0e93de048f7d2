//! What a model says of an example.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest answer in tokens that a model is asked for.
pub const MAX_ANSWER_LENGTH: usize = 30;
/// At most so many candidates are kept of a window.
pub const MAX_CANDIDATES: usize = 20;

/// The model's answer to one example of a split.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One of several labels (classification, span-pair).
    Class {
        /// The most probable class; of equal ones the first.
        label: u32,
        /// Probability of every class.
        probabilities: Vec<f32>,
    },
    /// A score (regression).
    Score(f32),
    /// One of the example's options (multiple choice).
    Choice {
        /// The most probable option; of equal ones the first.
        option: u32,
        /// Probability of every option.
        probabilities: Vec<f32>,
    },
    /// The tag of every word whose first piece is in the sequence (tagging).
    Tags(Vec<u32>),
    /// Spans of a window of the context (span).
    Span {
        /// The best candidates, best first, at most [`MAX_CANDIDATES`]: within the context, and at most
        /// [`MAX_ANSWER_LENGTH`] tokens long.
        best: Vec<SpanCandidate>,
        /// Score of "no answer here": the start and end logits of the first token, summed.
        null_score: f32,
    },
}

impl Answer {
    /// Its form.
    #[must_use]
    pub fn form(&self) -> AnswerForm {
        match self {
            Self::Class { .. } => AnswerForm::Class,
            Self::Score(_) => AnswerForm::Score,
            Self::Choice { .. } => AnswerForm::Choice,
            Self::Tags(_) => AnswerForm::Tags,
            Self::Span { .. } => AnswerForm::Span,
        }
    }
}

/// The form of an answer, without its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// See [`Answer::Class`].
    Class,
    /// See [`Answer::Score`].
    Score,
    /// See [`Answer::Choice`].
    Choice,
    /// See [`Answer::Tags`].
    Tags,
    /// See [`Answer::Span`].
    Span,
}

impl fmt::Display for AnswerForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Class => "a class",
            Self::Score => "a score",
            Self::Choice => "an option",
            Self::Tags => "tags",
            Self::Span => "spans",
        })
    }
}

/// A span of tokens that may be the answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanCandidate {
    /// Its first token, from the beginning of the window's sequence.
    pub start: usize,
    /// Its last token.
    pub end: usize,
    /// Start logit of the first and end logit of the last token, summed.
    pub score: f32,
}
