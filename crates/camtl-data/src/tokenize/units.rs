//! From an example of any kind to its sequences.

use std::ops::Range;

use super::{Encoded, TextTokenizer, TokenizerError, longest_first};
use crate::encoded::{IGNORED, UNKNOWN};
use crate::reader::{Details, Example, Mention, TextSide};

/// A row in tokens.
#[derive(Debug)]
pub(super) struct Sequences {
    /// Its sequences: one, or one for each window of a question's context. The options of a multiple choice are one, end to end.
    pub(super) encoded: Vec<Encoded>,
    /// Where the windows stand in the context, if the row is a question.
    pub(super) places: Option<WindowPlaces>,
}

impl TextTokenizer {
    /// The sequences of a row of any kind.
    pub(super) fn encode_example(
        &self,
        example: &Example,
        max_length: usize,
        doc_stride: Option<usize>,
    ) -> Result<Sequences, TokenizerError> {
        let text_b = example.text_b.as_deref();
        let encoded = match &example.details {
            Details::None | Details::Candidate(_) => {
                self.encode(&example.text_a, text_b, max_length)?
            }
            Details::Options(options) => {
                self.encode_options(&example.text_a, text_b, options, max_length)?
            }
            Details::Words { words, tags } => {
                self.encode_words(words, tags.as_deref(), max_length)?
            }
            Details::Question(question) => {
                let (encoded, places) = self.windows(
                    &example.text_a,
                    text_b.unwrap_or_default(),
                    &question.spans,
                    max_length,
                    doc_stride,
                )?;
                return Ok(Sequences {
                    encoded,
                    places: Some(places),
                });
            }
            Details::Mentions(mentions) => {
                self.encode_mentions(&example.text_a, text_b, mentions, max_length)?
            }
        };
        Ok(Sequences {
            encoded: vec![encoded],
            places: None,
        })
    }

    fn encode_options(
        &self,
        text: &str,
        before: Option<&str>,
        options: &[String],
        max_length: usize,
    ) -> Result<Encoded, TokenizerError> {
        let mut all = Encoded::default();
        for option in options {
            let second = match before {
                Some(before) => format!("{before} {option}"),
                None => option.clone(),
            };
            let one = self.encode(text, Some(&second), max_length)?;
            all.extra.push(one.input_ids.len() as i32);
            all.input_ids.extend(one.input_ids);
            all.token_type_ids.extend(one.token_type_ids);
            all.truncated |= one.truncated;
        }
        Ok(all)
    }

    fn encode_words(
        &self,
        words: &[String],
        tags: Option<&[u32]>,
        max_length: usize,
    ) -> Result<Encoded, TokenizerError> {
        let room = self.room(max_length, false)?;
        let mut pieces = Vec::new();
        let mut extra = vec![IGNORED];
        for (number, word) in words.iter().enumerate() {
            let tag = match tags.and_then(|tags| tags.get(number)) {
                Some(class) => *class as i32,
                None => UNKNOWN,
            };
            for (place, id) in self.word_pieces(word)?.into_iter().enumerate() {
                pieces.push(id);
                extra.push(if place == 0 { tag } else { IGNORED });
            }
        }
        let mut encoded = self.assemble(&pieces, None, room);
        extra.truncate(encoded.input_ids.len() - 1);
        extra.push(IGNORED);
        encoded.extra = extra;
        Ok(encoded)
    }

    fn encode_mentions(
        &self,
        text_a: &str,
        text_b: Option<&str>,
        mentions: &[Mention; 2],
        max_length: usize,
    ) -> Result<Encoded, TokenizerError> {
        let room = self.room(max_length, text_b.is_some())?;
        let a = self.placed_pieces(text_a, "the first text")?;
        let b = text_b
            .map(|text| self.placed_pieces(text, "the second text"))
            .transpose()?;
        let b_ids = b.as_ref().map(|pieces| pieces.ids.as_slice());
        let (kept_a, kept_b) = longest_first(a.ids.len(), b_ids.map_or(0, <[u32]>::len), room);
        let mut encoded = self.assemble(&a.ids, b_ids, room);
        let second = 1 + kept_a + self.layout.num_special(true) - 2;
        for Mention { side, range } in mentions {
            let (pieces, kept, start) = match (side, &b) {
                (TextSide::B, Some(b)) => (b, kept_b, second),
                _ => (&a, kept_a, 1),
            };
            let tokens = match pieces.covering(0..kept, range) {
                Some((first, last)) => start + first..start + last + 1,
                // Cut off: what is left of the text ends as near to the mention as can be. The token before it is a
                // special one where nothing is left.
                None => (start + kept).saturating_sub(1)..(start + kept).max(1),
            };
            encoded
                .extra
                .extend([tokens.start as i32, tokens.end as i32]);
        }
        Ok(encoded)
    }

    /// How many of an example's mentions lose tokens to the maximum length.
    pub(crate) fn mentions_cut(
        &self,
        example: &Example,
        max_length: usize,
    ) -> Result<u64, TokenizerError> {
        let Details::Mentions(mentions) = &example.details else {
            return Ok(0);
        };
        let room = self.room(max_length, example.text_b.is_some())?;
        let a = self.placed_pieces(&example.text_a, "the first text")?;
        let b = (example.text_b.as_deref())
            .map(|text| self.placed_pieces(text, "the second text"))
            .transpose()?;
        let b_length = b.as_ref().map_or(0, |pieces| pieces.ids.len());
        let (kept_a, kept_b) = longest_first(a.ids.len(), b_length, room);
        let mut cut = 0;
        for Mention { side, range } in mentions {
            let (pieces, kept) = match (side, &b) {
                (TextSide::B, Some(b)) => (b, kept_b),
                _ => (&a, kept_a),
            };
            let whole = pieces.covering(0..pieces.ids.len(), range);
            cut += u64::from(pieces.covering(0..kept, range) != whole);
        }
        Ok(cut)
    }

    /// Tokens of text in a sequence of at most `max_length`.
    pub(super) fn room(&self, max_length: usize, pair: bool) -> Result<usize, TokenizerError> {
        let special = self.layout.num_special(pair);
        match max_length.checked_sub(special) {
            Some(room) if room > 0 => Ok(room),
            _ => Err(TokenizerError::MaxLength {
                max_length,
                special,
            }),
        }
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

impl TextTokenizer {
    /// The windows of a question's context: the question, cut to 64 tokens and to half of the room, and as many tokens of
    /// the context as fit. Windows begin `doc_stride` tokens apart, at most as far as a window is long; where it is not
    /// given, 128 and at most half a window, so that windows overlap. `answers` are places in the context; a window is
    /// labelled with the first that lies within it.
    pub(crate) fn windows(
        &self,
        question: &str,
        context: &str,
        answers: &[Range<usize>],
        max_length: usize,
        doc_stride: Option<usize>,
    ) -> Result<(Vec<Encoded>, WindowPlaces), TokenizerError> {
        let room = self.room(max_length, true)?;
        let mut asked = self.pieces(question, "the question")?;
        let truncated = asked.len() > MAX_QUESTION.min(room / 2);
        asked.truncate(MAX_QUESTION.min(room / 2));
        let context = self.placed_pieces(context, "the context")?;
        let size = room - asked.len();
        let stride = doc_stride
            .unwrap_or(DOC_STRIDE.min(size.div_ceil(2)))
            .clamp(1, size);
        let first = asked.len() + self.layout.num_special(true) - 1;
        let answers: Vec<(usize, usize)> = (answers.iter())
            .filter_map(|place| context.covering(0..context.ids.len(), place))
            .collect();
        let mut all = Vec::new();
        let mut windows = Vec::new();
        let mut start = 0;
        loop {
            let end = (start + size).min(context.ids.len());
            let mut encoded = self.assemble(&asked, Some(&context.ids[start..end]), room);
            encoded.truncated = truncated;
            let answer = (answers.iter()).find(|(from, to)| start <= *from && *to < end);
            let token = |piece: usize| (first + piece - start) as i32;
            let (from, to) = answer.map_or((0, 0), |(from, to)| (token(*from), token(*to)));
            encoded.extra = vec![from, to, token(start), token(end - 1)];
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
}
