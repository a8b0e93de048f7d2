//! A row of a data file, whatever the format.

use std::ops::Range;
use std::sync::Arc;

use super::fields::TextSide;

/// One row of a data file.
///
/// ```
/// use camtl_data::{Example, Label};
///
/// let example = Example { text_a: "It rains.".into(), label: Some(Label::Class(1)), ..Example::default() };
/// assert_eq!(example.text_b, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// Number of the row among the data rows of its file, from 0. Rows that were left out are counted.
    pub id: u64,
    /// The file's own identifier of the row.
    pub key: Option<String>,
    /// The first (or only) text.
    pub text_a: String,
    /// The second text of a pair.
    pub text_b: Option<String>,
    /// The label, where the split has labels.
    pub label: Option<Label>,
    /// Rows that are scored together have the same number: the answers of a question (`MultiRC`), the candidates of a
    /// query (`ReCoRD`).
    pub group: Option<u64>,
    /// What the task's kind needs beside two texts and a label.
    pub details: Details,
}

/// What some kinds of tasks need beside two texts and a label.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Details {
    /// Nothing.
    #[default]
    None,
    /// The options of a multiple choice. Option `i` makes a pair with `text_a`; where there is a `text_b`, it stands
    /// before the option with a space between them.
    Options(Vec<String>),
    /// The words of a sentence to be tagged; `text_a` holds them with spaces between them.
    Words {
        /// The words.
        words: Vec<String>,
        /// The class of each word's tag; `None` without labels.
        tags: Option<Vec<u32>>,
    },
    /// A question: `text_a` is the question, `text_b` the context that holds the answer.
    Question(Question),
    /// Two places in the texts.
    Mentions([Mention; 2]),
    /// A query of `ReCoRD` with one of the passage's entities in place of the gap.
    Candidate(Candidate),
}

/// The answers to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The accepted answers; none for a question without an answer and for unlabelled data.
    pub answers: Vec<String>,
    /// Places of answers in the context, in bytes, in the order of preference for training.
    pub spans: Vec<Range<usize>>,
}

/// A place in one of an example's texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The text.
    pub side: TextSide,
    /// The place in bytes; not empty.
    pub range: Range<usize>,
}

/// A candidate of a `ReCoRD` query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The entity as the passage spells it.
    pub entity: String,
    /// The accepted answers of the query; none for unlabelled data.
    pub answers: Arc<[String]>,
}

/// What is to be predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Label {
    /// Index into the task's label names.
    Class(u32),
    /// A score.
    Score(f32),
    /// A truth of several parts: the tags of a sentence, the place of an answer. The example's `extra` holds it.
    Structured,
}
