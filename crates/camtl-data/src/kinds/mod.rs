//! Kinds of tasks, a file each and one list: the keys and the rows of a task, its token sequences and what these add, its
//! answers, and what metrics can compare.

mod classification;
mod extra;
mod keys;
mod multiple_choice;
mod regression;
pub(crate) mod span;
mod span_pair;
mod tagging;

use std::fmt::Debug;
use std::ops::Deref;

use crate::formats::{RowForm, unknown_label};
use crate::metrics::Evidence;
use crate::spec::{AnswerForm, Label, RowProblem};

pub use classification::Classification;
pub use extra::{Extra, IGNORED, UNKNOWN, Window};
pub(crate) use keys::{Keys, KindName};
pub use multiple_choice::MultipleChoice;
pub(crate) use multiple_choice::encode_options;
pub use regression::Regression;
pub use span::Span;
pub use span_pair::SpanPair;
pub(crate) use span_pair::{encode_mentions, mentions_cut};
pub use tagging::Tagging;
pub(crate) use tagging::encode_words;

/// What a row has beside one or two texts and a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Nothing.
    Texts,
    /// One text for each label.
    Options,
    /// The words of the text.
    Words,
    /// A question (the first text) on a context (the second).
    Question,
    /// Two places in the texts.
    Mentions,
}

/// A kind of task.
pub trait Kind: Debug {
    /// The name in task files.
    fn name(&self) -> &'static str;

    /// Names of labels, tags or options.
    fn labels(&self) -> &[String] {
        &[]
    }

    /// Smallest and largest score, where a score is predicted.
    fn range(&self) -> Option<[f32; 2]> {
        None
    }

    /// Whether a question may have no answer, where there are questions.
    fn no_answer(&self) -> Option<bool> {
        None
    }

    /// What is wrong with the task's keys.
    fn problem(&self) -> Option<String> {
        keys::labels_problem(self.name(), self.labels())
    }

    /// The rows of files that it can be made of.
    fn rows(&self) -> &'static [RowForm] {
        &[RowForm::Cells]
    }

    /// What its rows have beside texts and a label.
    fn parts(&self) -> Parts {
        Parts::Texts
    }

    /// The label that a cell spells.
    ///
    /// # Errors
    /// A name that is no label, a score out of range.
    fn parse_label(&self, text: &str) -> Result<Label, RowProblem> {
        let class = self.labels().iter().position(|label| label == text);
        match class.and_then(|class| u32::try_from(class).ok()) {
            Some(class) => Ok(Label::Class(class)),
            None => Err(unknown_label(self.labels(), text)),
        }
    }

    /// What `values` add to an example of `length` tokens ([`EncodedExample::extra`](crate::EncodedExample::extra));
    /// `None` if they are not of this kind.
    fn extra<'a>(&self, values: &'a [i32], length: usize) -> Option<Extra<'a>> {
        let _ = length;
        values.is_empty().then_some(Extra::None)
    }

    /// Width of the task's output layer: the number of classes or tags, 1 for a score or for the fitness of an option,
    /// 2 for the start and the end of a span.
    fn num_outputs(&self) -> usize {
        self.labels().len()
    }

    /// Number of alternatives `C` whose logarithm is the largest uncertainty: classes, tags or options, 2 for a span
    /// (whose uncertainty is brought to the scale of ln 2), 1 for a score.
    fn num_alternatives(&self) -> usize {
        self.num_outputs()
    }

    /// Sequences of an example: the options of a multiple choice, else 1.
    fn sequences_per_example(&self) -> usize {
        match self.parts() {
            Parts::Options => self.labels().len(),
            Parts::Texts | Parts::Words | Parts::Question | Parts::Mentions => 1,
        }
    }

    /// Whether a score is predicted (trained with squared error).
    fn is_regression(&self) -> bool {
        self.range().is_some()
    }

    /// The form of its answers.
    fn answer(&self) -> AnswerForm;

    /// What metrics can compare.
    fn evidence(&self) -> &'static [Evidence];

    /// The kind with its numbers, for people.
    fn about(&self) -> String;

    /// What its examples are, for people.
    fn examples(&self, pair: bool) -> &'static str {
        if pair {
            "pairs of texts"
        } else {
            "single texts"
        }
    }

    /// What a label is called, and what stands before its name.
    fn label_words(&self) -> (&'static str, &'static str) {
        ("label", "")
    }
}

/// Declares [`TaskKind`] from the list of kinds.
macro_rules! kinds {
    ($(#[$about:meta])* $vis:vis enum $Name:ident { $( $(#[doc = $doc:literal])+ $Kind:ident, )+ }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $Name {
            $( $(#[doc = $doc])+ $Kind($Kind), )+
        }

        impl $Name {
            /// The names in task files.
            pub(crate) const NAMES: &'static [&'static str] = &[$($Kind::NAME),+];

            /// The kind that is called `name`, with the keys that describe it; what is wrong with them, in words.
            pub(crate) fn new(name: &str, keys: Keys) -> Result<Self, &'static str> {
                let kind = match name {
                    $( $Kind::NAME => Self::$Kind($Kind::new(&keys)?), )+
                    _ => return Err("`kind` is not known"),
                };
                keys.unused_by(&*kind).map_or(Ok(kind), Err)
            }
        }

        impl Deref for $Name {
            type Target = dyn Kind;

            fn deref(&self) -> &(dyn Kind + 'static) {
                match self {
                    $( Self::$Kind(kind) => kind, )+
                }
            }
        }
    };
}

kinds! {
    /// What a task predicts.
    pub enum TaskKind {
        /// One of several labels. Class `i` is the i-th name.
        Classification,
        /// A score.
        Regression,
        /// One of several texts that the example itself brings along. Every option is a sequence of its own, and the
        /// probabilities are over the options of one example.
        MultipleChoice,
        /// A tag for every word.
        Tagging,
        /// A span of the context that answers the question. The unit is a window of the context: a question with a long
        /// context is several examples.
        Span,
        /// One of several labels for a pair of mentions marked in the text.
        SpanPair,
    }
}
