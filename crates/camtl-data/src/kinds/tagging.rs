//! A tag for every word.

use super::extra::{Extra, IGNORED, UNKNOWN};
use super::keys::Keys;
use super::kind::{Kind, Parts};
use crate::formats::RowForm;
use crate::metrics::Evidence;
use crate::spec::{AnswerForm, Label, RowProblem};
use crate::tokenize::{Encoded, TextTokenizer, TokenizerError};

/// A tag for every word.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagging {
    /// Tags as the data spells them. Words cut off by truncation count as tagged with the first, which for entities is `O`.
    pub labels: Vec<String>,
}

impl Tagging {
    pub(super) const NAME: &'static str = "tagging";

    pub(super) fn new(keys: &Keys) -> Result<Self, &'static str> {
        let missing =
            "tagging needs `labels`, the tags, `O` first: [\"O\", \"B-person\", \"I-person\"]";
        keys.labels(missing).map(|labels| Self { labels })
    }
}

impl Kind for Tagging {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn rows(&self) -> &'static [RowForm] {
        &[RowForm::Sentences]
    }

    fn parts(&self) -> Parts {
        Parts::Words
    }

    /// Its files give the truth themselves.
    fn parse_label(&self, _text: &str) -> Result<Label, RowProblem> {
        Ok(Label::Structured)
    }

    fn extra<'a>(&self, values: &'a [i32], length: usize) -> Option<Extra<'a>> {
        let tag = |value: &i32| {
            matches!(*value, IGNORED | UNKNOWN)
                || usize::try_from(*value).is_ok_and(|tag| tag < self.labels.len())
        };
        (values.len() == length && values.iter().all(tag)).then_some(Extra::Tags(values))
    }

    fn answer(&self) -> AnswerForm {
        AnswerForm::Tags
    }

    fn evidence(&self) -> &'static [Evidence] {
        &[Evidence::Decisions, Evidence::Tags]
    }

    fn about(&self) -> String {
        format!("tagging, {} tags", self.labels.len())
    }

    fn examples(&self, _pair: bool) -> &'static str {
        "sentences"
    }

    fn label_words(&self) -> (&'static str, &'static str) {
        ("tag", "")
    }
}

/// The pieces of words, with the tag of each word at its first piece.
pub(crate) fn encode_words(
    tokenizer: &TextTokenizer,
    words: &[String],
    tags: Option<&[u32]>,
    max_length: usize,
) -> Result<Encoded, TokenizerError> {
    let room = tokenizer.room(max_length, false)?;
    let mut pieces = Vec::new();
    let mut extra = vec![IGNORED];
    for (number, word) in words.iter().enumerate() {
        let tag = match tags.and_then(|tags| tags.get(number)) {
            Some(class) => *class as i32,
            None => UNKNOWN,
        };
        for (place, id) in tokenizer.word_pieces(word)?.into_iter().enumerate() {
            pieces.push(id);
            extra.push(if place == 0 { tag } else { IGNORED });
        }
    }
    let mut encoded = tokenizer.assemble(&pieces, None, room);
    extra.truncate(encoded.input_ids.len() - 1);
    extra.push(IGNORED);
    encoded.extra = extra;
    Ok(encoded)
}
