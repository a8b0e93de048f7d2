//! Questions, their answers, and the windows of their contexts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::lengths::nearest_rank;
use crate::encoded::EncodedSplit;
use crate::kinds::Window;
use crate::reader::{Details, Example};

/// Questions of a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Questions {
    /// Questions without an answer; in a split without labels all of them.
    pub without_answer: u64,
    /// Median of the words of an answer (the first one of each question), by white space; 0 where there is none.
    pub answer_words_p50: u64,
    /// 99th percentile of the words of an answer.
    pub answer_words_p99: u64,
    /// The longest answer in words.
    pub answer_words_max: u64,
    /// The windows of the contexts; `None` without a tokenizer.
    pub windows: Option<Windows>,
}

/// The windows that the contexts of a split are read in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Windows {
    /// All windows.
    pub count: u64,
    /// Most windows of one question.
    pub max_per_question: u64,
    /// Windows that hold an answer as a whole.
    pub with_answer: u64,
    /// Questions whose answers are whole in none of their windows, so that they are trained as if they had none.
    pub answers_lost: u64,
}

impl Questions {
    /// `None` where there are no questions.
    pub(super) fn of(examples: &[Example]) -> Option<Self> {
        let mut found = Self::default();
        let mut words = Vec::new();
        let mut questions = 0u64;
        for example in examples {
            let Details::Question(question) = &example.details else {
                continue;
            };
            questions += 1;
            match question.answers.first() {
                Some(answer) => words.push(answer.split_whitespace().count() as u64),
                None => found.without_answer += 1,
            }
        }
        words.sort_unstable();
        found.answer_words_p50 = nearest_rank(&words, 50);
        found.answer_words_p99 = nearest_rank(&words, 99);
        found.answer_words_max = words.last().copied().unwrap_or(0);
        (questions > 0).then_some(found)
    }

    pub(super) fn count_windows(&mut self, encoded: &EncodedSplit, examples: &[Example]) {
        let mut windows = Windows::default();
        let mut by_question: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
        for window in encoded.iter() {
            let has_answer = Window::new(window.extra, window.len())
                .is_some_and(|window| window.answer.is_some());
            let (count, answered) = by_question.entry(window.id).or_default();
            *count += 1;
            *answered |= has_answer;
            windows.count += 1;
            windows.with_answer += u64::from(has_answer);
        }
        windows.max_per_question = by_question
            .values()
            .map(|(count, _)| *count)
            .max()
            .unwrap_or(0);
        for example in examples {
            let Details::Question(question) = &example.details else {
                continue;
            };
            let lost = by_question
                .get(&example.id)
                .is_some_and(|(_, answered)| !answered);
            windows.answers_lost += u64::from(lost && !question.spans.is_empty());
        }
        self.windows = Some(windows);
    }
}
