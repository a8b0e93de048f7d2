//! Words to be tagged.

use serde::Serialize;

use super::lengths::nearest_rank;
use crate::encoded::EncodedSplit;
use crate::kinds::IGNORED;
use crate::reader::{Details, Example};

/// Words of the sentences of a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// All words.
    pub count: u64,
    /// Median of the words of a sentence.
    pub sentence_p50: u64,
    /// The longest sentence in words.
    pub sentence_max: u64,
    /// Words beyond the maximum length, which count as tagged with the first label; `None` without a tokenizer.
    pub cut: Option<u64>,
}

impl Words {
    /// `None` where there are no words to be tagged.
    pub(super) fn of(examples: &[Example]) -> Option<Self> {
        let mut lengths: Vec<u64> = examples
            .iter()
            .filter_map(|example| match &example.details {
                Details::Words { words, .. } => Some(words.len() as u64),
                _ => None,
            })
            .collect();
        lengths.sort_unstable();
        Some(Self {
            count: lengths.iter().sum(),
            sentence_p50: nearest_rank(&lengths, 50),
            sentence_max: *lengths.last()?,
            cut: None,
        })
    }

    pub(super) fn count_cut(&mut self, encoded: &EncodedSplit) {
        let kept = encoded
            .iter()
            .flat_map(|example| example.extra)
            .filter(|tag| **tag != IGNORED);
        self.cut = Some(self.count.saturating_sub(kept.count() as u64));
    }
}
