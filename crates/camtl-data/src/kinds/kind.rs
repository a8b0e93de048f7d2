//! What every kind of task says of itself.

use std::fmt::Debug;

use super::extra::Extra;
use super::keys::labels_problem;
use crate::formats::{RowForm, unknown_label};
use crate::metrics::Evidence;
use crate::spec::{AnswerForm, Label, RowProblem};

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
        labels_problem(self.name(), self.labels())
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
