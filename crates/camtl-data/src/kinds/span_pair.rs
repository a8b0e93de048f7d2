//! One of several labels for a pair of mentions marked in the text.

use super::extra::Extra;
use super::keys::Keys;
use super::kind::{Kind, Parts};
use crate::metrics::Evidence;
use crate::spec::{AnswerForm, Details, Example, Mention, TextSide};
use crate::tokenize::{Encoded, TextTokenizer, TokenizerError, longest_first};

/// One of several labels for two mentions.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanPair {
    /// Label names as the data spells them, in the order of the classes.
    pub labels: Vec<String>,
}

impl SpanPair {
    pub(super) const NAME: &'static str = "span-pair";

    pub(super) fn new(keys: &Keys) -> Result<Self, &'static str> {
        let missing = "span-pair needs `labels`, the label names in the order of their classes";
        keys.labels(missing).map(|labels| Self { labels })
    }
}

impl Kind for SpanPair {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn parts(&self) -> Parts {
        Parts::Mentions
    }

    /// `[start, end, start, end]` of the two mentions in tokens, the ends exclusive.
    fn extra<'a>(&self, values: &'a [i32], length: usize) -> Option<Extra<'a>> {
        let &[a, b, c, d] = values else {
            return None;
        };
        let mention = |start: i32, end: i32| {
            let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
            (range.start < range.end && range.end <= length).then_some(range)
        };
        Some(Extra::Mentions([mention(a, b)?, mention(c, d)?]))
    }

    fn answer(&self) -> AnswerForm {
        AnswerForm::Class
    }

    fn evidence(&self) -> &'static [Evidence] {
        &[Evidence::Decisions, Evidence::Classes]
    }

    fn about(&self) -> String {
        format!("pair of mentions, {} labels", self.labels.len())
    }
}

/// The sequence of a text or a pair with the tokens of its two mentions.
pub(crate) fn encode_mentions(
    tokenizer: &TextTokenizer,
    text_a: &str,
    text_b: Option<&str>,
    mentions: &[Mention; 2],
    max_length: usize,
) -> Result<Encoded, TokenizerError> {
    let room = tokenizer.room(max_length, text_b.is_some())?;
    let a = tokenizer.placed_pieces(text_a, "the first text")?;
    let b = text_b
        .map(|text| tokenizer.placed_pieces(text, "the second text"))
        .transpose()?;
    let b_ids = b.as_ref().map(|pieces| pieces.ids.as_slice());
    let (kept_a, kept_b) = longest_first(a.ids.len(), b_ids.map_or(0, <[u32]>::len), room);
    let mut encoded = tokenizer.assemble(&a.ids, b_ids, room);
    let second = 1 + kept_a + tokenizer.layout().num_special(true) - 2;
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
    tokenizer: &TextTokenizer,
    example: &Example,
    max_length: usize,
) -> Result<u64, TokenizerError> {
    let Details::Mentions(mentions) = &example.details else {
        return Ok(0);
    };
    let room = tokenizer.room(max_length, example.text_b.is_some())?;
    let a = tokenizer.placed_pieces(&example.text_a, "the first text")?;
    let b = (example.text_b.as_deref())
        .map(|text| tokenizer.placed_pieces(text, "the second text"))
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
