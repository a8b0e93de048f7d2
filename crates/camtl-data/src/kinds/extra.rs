//! What kinds add to the tokens of an example, read from the numbers that are kept of it.

use std::ops::Range;

/// In what tagging adds: a token that is not the first piece of a word.
pub const IGNORED: i32 = -100;
/// In what tagging adds: the first piece of a word whose tag is not known.
pub const UNKNOWN: i32 = -1;

/// What the kind of a task adds to the tokens of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extra<'a> {
    /// Nothing.
    None,
    /// The number of tokens of each option's sequence.
    Options(&'a [i32]),
    /// One value per token: the class of the tag at the first piece of a word, [`UNKNOWN`] there if it is not known,
    /// [`IGNORED`] elsewhere.
    Tags(&'a [i32]),
    /// A window of a context.
    Window(Window),
    /// The tokens of two mentions.
    Mentions([Range<usize>; 2]),
}

/// A window of a question's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First and last token of the answer; `None` where the window has none.
    pub answer: Option<(usize, usize)>,
    /// First and last token that belongs to the context.
    pub context: (usize, usize),
}

impl Window {
    /// The numbers that are kept: `[start, end, first, last]`, the answer 0 and 0 where there is none.
    pub(crate) fn values(self) -> Vec<i32> {
        let (start, end) = self.answer.unwrap_or_default();
        let (first, last) = self.context;
        [start, end, first, last].map(|token| token as i32).to_vec()
    }

    /// From [`values`](Self::values); `None` if they are not within `length` tokens. The first token, `[CLS]`, stands for
    /// "no answer here".
    pub(crate) fn new(values: &[i32], length: usize) -> Option<Self> {
        let token = |at: usize| {
            usize::try_from(*values.get(at)?)
                .ok()
                .filter(|at| *at < length)
        };
        let (start, end, first, last) = (token(0)?, token(1)?, token(2)?, token(3)?);
        let within = first <= start && start <= end && end <= last;
        let none = (start, end) == (0, 0);
        (values.len() == 4 && first <= last && (within || none)).then_some(Self {
            answer: (!none).then_some((start, end)),
            context: (first, last),
        })
    }
}
