//! Mentions of span pairs.

use serde::Serialize;

use super::lengths::nearest_rank;
use crate::kinds::mentions_cut;
use crate::reader::{Details, Example, TextSide};
use crate::tokenize::{TextTokenizer, TokenizerError};

/// Mentions of a split, two of each example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mentions {
    /// Median of the words of a mention, by white space.
    pub words_p50: u64,
    /// 99th percentile of the words of a mention.
    pub words_p99: u64,
    /// The longest mention in words.
    pub words_max: u64,
    /// Mentions that lie beyond the maximum length, wholly or in part; `None` without a tokenizer.
    pub cut: Option<u64>,
}

impl Mentions {
    /// `None` where there are no mentions.
    pub(super) fn of(examples: &[Example]) -> Option<Self> {
        let mut words: Vec<u64> = Vec::new();
        for example in examples {
            let Details::Mentions(mentions) = &example.details else {
                continue;
            };
            for mention in mentions {
                let text = match mention.side {
                    TextSide::A => example.text_a.as_str(),
                    TextSide::B => example.text_b.as_deref().unwrap_or_default(),
                };
                let covered = text.get(mention.range.clone()).unwrap_or_default();
                words.push(covered.split_whitespace().count() as u64);
            }
        }
        words.sort_unstable();
        Some(Self {
            words_p50: nearest_rank(&words, 50),
            words_p99: nearest_rank(&words, 99),
            words_max: *words.last()?,
            cut: None,
        })
    }

    pub(super) fn count_cut(
        &mut self,
        tokenizer: &TextTokenizer,
        examples: &[Example],
        max_length: usize,
    ) -> Result<(), TokenizerError> {
        let mut cut = 0;
        for example in examples {
            cut += mentions_cut(tokenizer, example, max_length)?;
        }
        self.cut = Some(cut);
        Ok(())
    }
}
