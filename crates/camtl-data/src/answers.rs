//! What a model says about examples, before it is turned into text or compared with the truth.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::metrics::MetricError;
use crate::tokenize::TokenizerError;

/// Longest answer in tokens that a model is asked for.
pub const MAX_ANSWER_LENGTH: usize = 30;
/// At most so many candidates are kept of a window.
pub const MAX_CANDIDATES: usize = 20;

/// The model's answer to one example of a split.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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

/// Why answers could not be turned into text or compared with the truth.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// A metric has no value.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The split's file, which holds the texts, could not be read again.
    #[error(transparent)]
    Data(Box<DataError>),
    /// The tokenizer fails on what it could encode before.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The split was made without its texts.
    #[error(
        "task `{task}`: the split does not know the texts it was made of; load it from its file"
    )]
    NoTexts {
        /// The task.
        task: String,
    },
    /// There is not one answer for each example.
    #[error("task `{task}`: {answers} answers for {examples} examples; there must be one for each")]
    Count {
        /// The task.
        task: String,
        /// Number of answers.
        answers: usize,
        /// Number of examples.
        examples: usize,
    },
    /// An answer does not fit its example.
    #[error("task `{task}`, example {example} (counted from 0): {problem}")]
    Answer {
        /// The task.
        task: String,
        /// The example's position in the split.
        example: usize,
        /// What does not fit.
        problem: String,
    },
}

impl From<DataError> for AnswerError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}
