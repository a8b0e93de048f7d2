//! Kinds of tasks, a file each and one list: the keys and the rows of a task, its token sequences and what these add, its
//! answers, and what metrics can compare.

mod classification;
mod extra;
mod keys;
mod kind;
mod multiple_choice;
mod regression;
pub(crate) mod span;
mod span_pair;
mod tagging;

use std::ops::Deref;

pub use classification::Classification;
pub use extra::{Extra, IGNORED, UNKNOWN, Window};
pub(crate) use keys::Keys;
pub use kind::{Kind, Parts};
pub use multiple_choice::MultipleChoice;
pub(crate) use multiple_choice::encode_options;
pub use regression::Regression;
pub use span::Span;
pub use span_pair::SpanPair;
pub(crate) use span_pair::{encode_mentions, mentions_cut};
pub use tagging::Tagging;
pub(crate) use tagging::encode_words;

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

/// A kind is added by one file and one line of a list.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{AnswerForm, Label, RowProblem};

    /// Options in an order, each with its place.
    mod ranking {
        use crate::kinds::{Keys, Kind, Parts};
        use crate::metrics::Evidence;
        use crate::spec::AnswerForm;

        #[derive(Clone, Debug, PartialEq)]
        pub(super) struct Ranking {
            labels: Vec<String>,
        }

        impl Ranking {
            pub(super) const NAME: &'static str = "ranking";

            pub(super) fn new(keys: &Keys) -> Result<Self, &'static str> {
                let labels = keys.labels("ranking needs `labels`, the places")?;
                Ok(Self { labels })
            }
        }

        impl Kind for Ranking {
            fn name(&self) -> &'static str {
                Self::NAME
            }

            fn labels(&self) -> &[String] {
                &self.labels
            }

            fn parts(&self) -> Parts {
                Parts::Options
            }

            fn answer(&self) -> AnswerForm {
                AnswerForm::Choice
            }

            fn evidence(&self) -> &'static [Evidence] {
                &[Evidence::Decisions]
            }

            fn about(&self) -> String {
                format!("ranking of {}", self.labels.len())
            }
        }
    }
    use ranking::Ranking;

    kinds! {
        /// Kinds of one's own.
        enum OwnKind {
            /// Options in an order.
            Ranking,
        }
    }

    fn keys(labels: &[&str], range: Option<[f32; 2]>) -> Keys {
        Keys {
            labels: Some(labels.iter().map(|label| (*label).to_owned()).collect()),
            range,
            no_answer: None,
        }
    }

    #[test]
    fn a_kind_is_a_file_and_a_line() {
        assert_eq!(OwnKind::NAMES, ["ranking"]);
        let kind = OwnKind::new("ranking", keys(&["1", "2", "3"], None)).unwrap();
        assert_eq!(Keys::of(&*kind).labels.as_deref(), Some(kind.labels()));
        assert_eq!(kind.problem(), None);
        assert_eq!((kind.num_outputs(), kind.sequences_per_example()), (3, 3));
        assert_eq!(kind.answer(), AnswerForm::Choice);
        assert_eq!(kind.parse_label("2"), Ok(Label::Class(1)));
        assert!(matches!(
            kind.parse_label("4"),
            Err(RowProblem::UnknownLabel { .. })
        ));
        assert_eq!(kind.extra(&[], 7), Some(Extra::None));
        assert_eq!(kind.about(), "ranking of 3");
        let error = OwnKind::new("ranking", keys(&["1"], Some([0.0, 1.0]))).unwrap_err();
        assert_eq!(error, "`range` is for regression; remove it");
    }
}
