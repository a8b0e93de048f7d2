//! A span of the context that answers a question.

use std::ops::Range;

use super::extra::{Extra, Window};
use super::keys::Keys;
use super::kind::{Kind, Parts};
use crate::formats::RowForm;
use crate::metrics::Evidence;
use crate::spec::{AnswerForm, Label, RowProblem};
use crate::tokenize::{Encoded, TextTokenizer, TokenizerError};

/// A span of a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Whether there may be no answer (SQuAD v2).
    pub no_answer: bool,
}

impl Span {
    pub(super) const NAME: &'static str = "span";

    pub(super) fn new(keys: &Keys) -> Result<Self, &'static str> {
        match keys.labels {
            Some(_) => Err("`labels` is not for spans; remove it"),
            None => Ok(Self {
                no_answer: keys.no_answer.unwrap_or(false),
            }),
        }
    }
}

impl Kind for Span {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn no_answer(&self) -> Option<bool> {
        Some(self.no_answer)
    }

    fn problem(&self) -> Option<String> {
        None
    }

    fn rows(&self) -> &'static [RowForm] {
        &[RowForm::Questions]
    }

    fn parts(&self) -> Parts {
        Parts::Question
    }

    /// Its files give the truth themselves.
    fn parse_label(&self, _text: &str) -> Result<Label, RowProblem> {
        Ok(Label::Structured)
    }

    fn extra<'a>(&self, values: &'a [i32], length: usize) -> Option<Extra<'a>> {
        Window::new(values, length).map(Extra::Window)
    }

    fn num_outputs(&self) -> usize {
        2
    }

    fn answer(&self) -> AnswerForm {
        AnswerForm::Span
    }

    fn evidence(&self) -> &'static [Evidence] {
        &[Evidence::Answers]
    }

    fn about(&self) -> String {
        match self.no_answer {
            true => "span or no answer".to_owned(),
            false => "span".to_owned(),
        }
    }

    fn examples(&self, _pair: bool) -> &'static str {
        "questions on a context"
    }
}

/// Where the windows of a question stand in its context.
#[derive(Clone, Debug)]
pub(crate) struct WindowPlaces {
    /// The first token of every window that belongs to the context.
    first: usize,
    /// The pieces of the context that each window holds.
    windows: Vec<Range<usize>>,
    /// The bytes of the context that each piece stands for.
    places: Vec<Range<usize>>,
}

impl WindowPlaces {
    /// The bytes of the context that tokens `start..=end` of a window stand for; `None` for tokens outside of the context.
    pub(crate) fn of_tokens(
        &self,
        window: usize,
        start: usize,
        end: usize,
    ) -> Option<Range<usize>> {
        let places = self.places.get(self.windows.get(window)?.clone())?;
        let place = |token: usize| places.get(token.checked_sub(self.first)?);
        let (from, to) = (place(start)?, place(end)?);
        (from.start <= to.end).then_some(from.start..to.end)
    }
}

/// Most tokens of a question; longer ones are cut.
const MAX_QUESTION: usize = 64;
/// Distance of the beginnings of windows unless the task file says otherwise.
const DOC_STRIDE: usize = 128;

/// The windows of a question's context: the question, cut to 64 tokens and to half of the room, and as many tokens of
/// the context as fit. Windows begin `doc_stride` tokens apart, at most as far as a window is long; where it is not
/// given, 128 and at most half a window, so that windows overlap. `answers` are places in the context; a window is
/// labelled with the first that lies within it.
pub(crate) fn windows(
    tokenizer: &TextTokenizer,
    question: &str,
    context: &str,
    answers: &[Range<usize>],
    max_length: usize,
    doc_stride: Option<usize>,
) -> Result<(Vec<Encoded>, WindowPlaces), TokenizerError> {
    let room = tokenizer.room(max_length, true)?;
    let mut asked = tokenizer.pieces(question, "the question")?;
    let truncated = asked.len() > MAX_QUESTION.min(room / 2);
    asked.truncate(MAX_QUESTION.min(room / 2));
    let context = tokenizer.placed_pieces(context, "the context")?;
    let size = room - asked.len();
    let stride = doc_stride
        .unwrap_or(DOC_STRIDE.min(size.div_ceil(2)))
        .clamp(1, size);
    let first = asked.len() + tokenizer.layout().num_special(true) - 1;
    let answers: Vec<(usize, usize)> = (answers.iter())
        .filter_map(|place| context.covering(0..context.ids.len(), place))
        .collect();
    let mut all = Vec::new();
    let mut windows = Vec::new();
    let mut start = 0;
    loop {
        let end = (start + size).min(context.ids.len());
        let mut encoded = tokenizer.assemble(&asked, Some(&context.ids[start..end]), room);
        encoded.truncated = truncated;
        let answer = (answers.iter()).find(|(from, to)| start <= *from && *to < end);
        let token = |piece: usize| first + piece - start;
        let window = Window {
            answer: answer.map(|(from, to)| (token(*from), token(*to))),
            context: (token(start), token(end - 1)),
        };
        encoded.extra = window.values();
        all.push(encoded);
        windows.push(start..end);
        if end == context.ids.len() {
            let places = WindowPlaces {
                first,
                windows,
                places: context.places,
            };
            return Ok((all, places));
        }
        start += stride;
    }
}
