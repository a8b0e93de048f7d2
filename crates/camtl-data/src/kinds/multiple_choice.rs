//! One of several texts that the example itself brings along.

use super::extra::Extra;
use super::keys::Keys;
use super::kind::{Kind, Parts};
use crate::metrics::Evidence;
use crate::spec::AnswerForm;
use crate::tokenize::{Encoded, TextTokenizer, TokenizerError};

/// One of several options.
#[derive(Clone, Debug, PartialEq)]
pub struct MultipleChoice {
    /// How the data spells the options, in order: `["0", "1"]`, `["A", "B", "C", "D"]`.
    pub labels: Vec<String>,
}

impl MultipleChoice {
    pub(super) const NAME: &'static str = "multiple-choice";

    pub(super) fn new(keys: &Keys) -> Result<Self, &'static str> {
        let missing = "multiple choice needs `labels`, how the data spells the options in their order, such as [\"0\", \"1\"]";
        keys.labels(missing).map(|labels| Self { labels })
    }
}

impl Kind for MultipleChoice {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn parts(&self) -> Parts {
        Parts::Options
    }

    fn extra<'a>(&self, values: &'a [i32], length: usize) -> Option<Extra<'a>> {
        let tokens = values.iter().map(|tokens| i64::from(*tokens)).sum::<i64>();
        let sound = values.len() == self.labels.len()
            && values.iter().all(|tokens| *tokens > 0)
            && tokens == length as i64;
        sound.then_some(Extra::Options(values))
    }

    fn num_outputs(&self) -> usize {
        1
    }

    fn num_alternatives(&self) -> usize {
        self.labels.len()
    }

    fn answer(&self) -> AnswerForm {
        AnswerForm::Choice
    }

    fn evidence(&self) -> &'static [Evidence] {
        &[Evidence::Decisions]
    }

    fn about(&self) -> String {
        format!("multiple choice of {}", self.labels.len())
    }

    fn examples(&self, _pair: bool) -> &'static str {
        "texts with options"
    }

    fn label_words(&self) -> (&'static str, &'static str) {
        ("right option", "option ")
    }
}

/// The pairs that a text makes with each of its options, end to end; where there is a text `before` the option, it stands
/// there with a space between them.
pub(crate) fn encode_options(
    tokenizer: &TextTokenizer,
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
        let one = tokenizer.encode(text, Some(&second), max_length)?;
        all.extra.push(one.input_ids.len() as i32);
        all.input_ids.extend(one.input_ids);
        all.token_type_ids.extend(one.token_type_ids);
        all.truncated |= one.truncated;
    }
    Ok(all)
}
