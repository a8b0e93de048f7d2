//! Word pieces with the places in the text that they come from.

use std::ops::Range;

use super::{PairLayout, TextTokenizer, TokenizerError};

/// The pieces of a text.
pub(crate) struct Pieces {
    pub(crate) ids: Vec<u32>,
    /// Bytes of the text that each piece stands for, white space before it left out.
    pub(crate) places: Vec<Range<usize>>,
}

impl Pieces {
    /// The first and last of `pieces` that stand for some of the bytes `place`; `None` if there is none.
    pub(crate) fn covering(
        &self,
        pieces: Range<usize>,
        place: &Range<usize>,
    ) -> Option<(usize, usize)> {
        let touches = |piece: &usize| {
            let own = &self.places[*piece];
            own.start < place.end && own.end > place.start
        };
        let first = pieces.clone().find(touches)?;
        let last = pieces.rev().find(touches)?;
        Some((first, last))
    }
}

impl TextTokenizer {
    pub(crate) fn pieces(&self, text: &str, what: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding =
            self.inner
                .encode_fast(text, false)
                .map_err(|error| TokenizerError::Encode {
                    what: what.to_owned(),
                    reason: error.to_string(),
                })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The pieces of a text, at least one: a text without any is an unknown token.
    pub(crate) fn placed_pieces(&self, text: &str, what: &str) -> Result<Pieces, TokenizerError> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|error| TokenizerError::Encode {
                what: what.to_owned(),
                reason: error.to_string(),
            })?;
        let mut ids = encoding.get_ids().to_vec();
        let mut places: Vec<Range<usize>> = (encoding.get_offsets().iter())
            .map(|(start, end)| without_space(text, *start..*end))
            .collect();
        if ids.is_empty() {
            ids.push(self.special.unk);
            places.push(0..text.len());
        }
        Ok(Pieces { ids, places })
    }

    /// The pieces of one word of a sentence, at least one.
    pub(crate) fn word_pieces(&self, word: &str) -> Result<Vec<u32>, TokenizerError> {
        // Byte-level vocabularies tell a word that follows a space from one that does not.
        let spaced;
        let word = match self.layout {
            PairLayout::Bert => word,
            PairLayout::Roberta => {
                spaced = format!(" {word}");
                &spaced
            }
        };
        let mut ids = self.pieces(word, "a word")?;
        if ids.is_empty() {
            ids.push(self.special.unk);
        }
        Ok(ids)
    }
}

/// The place within the text and on the bounds of characters, without white space before it.
fn without_space(text: &str, place: Range<usize>) -> Range<usize> {
    let mut start = place.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = place.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let covered = &text[start..end];
    let trimmed = covered.trim_start();
    if trimmed.is_empty() {
        return start..end;
    }
    end - trimmed.len()..end
}
