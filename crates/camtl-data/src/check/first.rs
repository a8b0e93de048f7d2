//! The first examples as the model will see them.

use serde::Serialize;

use crate::encoded::EncodedExample;
use crate::kinds::{Extra, Window};
use crate::spec::{Details, Example, Label};
use crate::task::TaskSpec;
use crate::tokenize::{TextTokenizer, TokenizerError};

/// An example as the model will see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstExample {
    /// Row number in the file, from 0.
    pub id: u64,
    /// The file's own identifier.
    pub key: Option<String>,
    /// The label's name, the score, the tags, or the accepted answers.
    pub label: Option<String>,
    /// The texts as they were read: one, or two of a pair, and the options of a multiple choice.
    pub texts: Vec<String>,
    /// The tokens after truncation: of all options of a multiple choice, of one window of a context; empty without a
    /// tokenizer.
    pub tokens: Vec<String>,
    /// The segment of each token.
    pub token_type_ids: Vec<u8>,
    /// Tokens of each sequence: of each option of a multiple choice, else of the only one.
    pub sequence_lengths: Vec<usize>,
    /// What stands where in the tokens: mentions, the answer, the tags of words.
    pub marks: Vec<Mark>,
    /// For a question, which of its windows this is: the first with an answer, or the first of all. From 0.
    pub window: Option<usize>,
    /// For a question, how many windows it has.
    pub windows: Option<usize>,
}

/// A part of the tokens with a meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Its first token, from 0.
    pub start: usize,
    /// The token behind its last.
    pub end: usize,
    /// `mention 1`, `mention 2`, `answer`, or a tag.
    pub name: String,
}

impl FirstExample {
    pub(super) fn of(
        spec: &TaskSpec,
        tokenizer: Option<&TextTokenizer>,
        example: &Example,
        max_length: usize,
    ) -> Result<Self, TokenizerError> {
        let options = match &example.details {
            Details::Options(options) => options.as_slice(),
            _ => &[],
        };
        let mut first = Self {
            id: example.id,
            key: example.key.clone(),
            label: label(spec, example),
            texts: std::iter::once(&example.text_a)
                .chain(&example.text_b)
                .chain(options)
                .cloned()
                .collect(),
            tokens: Vec::new(),
            token_type_ids: Vec::new(),
            sequence_lengths: Vec::new(),
            marks: Vec::new(),
            window: None,
            windows: None,
        };
        let Some(tokenizer) = tokenizer else {
            return Ok(first);
        };
        let encoded = tokenizer.encode_for(spec, std::slice::from_ref(example), max_length)?;
        let question = matches!(example.details, Details::Question(_));
        let shown = encoded
            .iter()
            .position(|window| question && has_answer(spec, &window))
            .unwrap_or(0);
        let sequence = encoded.get(shown);
        first.tokens = sequence
            .input_ids
            .iter()
            .map(|id| tokenizer.token(*id).unwrap_or_else(|| format!("<{id}>")))
            .collect();
        first.token_type_ids = sequence.token_type_ids.to_vec();
        first.sequence_lengths = sequence.sequence_lengths().collect();
        first.marks = marks(spec, &sequence);
        if question {
            first.window = Some(shown);
            first.windows = Some(encoded.len());
        }
        Ok(first)
    }
}

fn label(spec: &TaskSpec, example: &Example) -> Option<String> {
    let name = |class: u32| spec.label_name(class).unwrap_or_default();
    Some(match (example.label?, &example.details) {
        (Label::Class(class), _) => name(class).to_owned(),
        (Label::Score(score), _) => score.to_string(),
        (Label::Structured, Details::Words { tags, .. }) => {
            let tags = tags.iter().flatten().map(|tag| name(*tag));
            tags.collect::<Vec<_>>().join(" ")
        }
        (Label::Structured, Details::Question(question)) => match question.answers.is_empty() {
            true => "no answer".to_owned(),
            false => question.answers.join(" | "),
        },
        (Label::Structured, _) => String::new(),
    })
}

fn has_answer(spec: &TaskSpec, window: &EncodedExample<'_>) -> bool {
    matches!(
        spec.kind.extra(window.extra, window.len()),
        Some(Extra::Window(Window {
            answer: Some(_),
            ..
        }))
    )
}

fn marks(spec: &TaskSpec, sequence: &EncodedExample<'_>) -> Vec<Mark> {
    let mark = |start: usize, end: usize, name: &str| Mark {
        start,
        end,
        name: name.to_owned(),
    };
    match spec.kind.extra(sequence.extra, sequence.len()) {
        None | Some(Extra::None | Extra::Options(_)) => Vec::new(),
        Some(Extra::Window(window)) => (window.answer.into_iter())
            .map(|(start, end)| mark(start, end + 1, "answer"))
            .collect(),
        Some(Extra::Mentions([one, other])) => vec![
            mark(one.start, one.end, "mention 1"),
            mark(other.start, other.end, "mention 2"),
        ],
        Some(Extra::Tags(tags)) => (0..)
            .zip(tags)
            .filter_map(|(token, tag)| {
                let name = spec.label_name(u32::try_from(*tag).ok()?)?;
                Some(mark(token, token + 1, name))
            })
            .collect(),
    }
}
