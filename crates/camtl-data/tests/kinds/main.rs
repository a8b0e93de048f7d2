//! Kinds of tasks beyond one label or score for a text: files, token sequences and metrics, with values worked out by
//! hand.

mod choices;
mod files;
mod mentions;
mod questions;
mod records;
mod scores;
mod tagging;

use camtl_data::{EncodedSplit, Example, TaskSpec, TextTokenizer, read_lines};

/// Letters are words of their own; `##x` continues one.
pub(crate) fn tokenizer() -> TextTokenizer {
    let mut vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
    for letter in 'a'..='z' {
        vocab += &format!("{letter}\n##{letter}\n");
    }
    for word in [
        "?", ".", ",", "-", "because", "so", "the", "who", "é", "##é",
    ] {
        vocab += &format!("{word}\n");
    }
    TextTokenizer::from_vocab(&vocab, false).unwrap()
}

/// A task file whose split `train` is a file called like its format.
pub(crate) fn task(kind: &str, labels: &str, metrics: &str, format: &str, rest: &str) -> String {
    format!(
        "name = \"t\"\nkind = \"{kind}\"\n{labels}\nmetrics = [{metrics}]\nformat = \"{format}\"\n{rest}\n\
         files = {{ train = \"train.{format}\" }}\n"
    )
}

pub(crate) fn spec(text: &str) -> TaskSpec {
    TaskSpec::from_toml(text, "task.toml").unwrap()
}

/// The rows of a text in the form of the split `train`, and their encoding.
pub(crate) fn encoded(
    spec: &TaskSpec,
    text: &str,
    max_length: usize,
) -> (Vec<Example>, EncodedSplit) {
    encoded_like(spec, "train", text, max_length)
}

pub(crate) fn encoded_like(
    spec: &TaskSpec,
    split: &str,
    text: &str,
    max_length: usize,
) -> (Vec<Example>, EncodedSplit) {
    let rows = read_lines(spec, split, text.as_bytes(), "rows").unwrap();
    let split = tokenizer().encode_for(spec, &rows, max_length).unwrap();
    for example in split.iter() {
        assert!(
            spec.kind.extra(example.extra, example.len()).is_some(),
            "{:?}",
            example
        );
    }
    (rows, split)
}

/// The problem of a text whose rows must have labels.
pub(crate) fn problem(spec: &TaskSpec, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(&spec.files["train"].path);
    std::fs::write(path, text).unwrap();
    let error = camtl_data::read_split(spec, dir.path(), "train").unwrap_err();
    let text = error.to_string();
    let dir = format!("{}/", dir.path().display());
    text.replace(&dir, "")
}

pub(crate) fn tokens(split: &EncodedSplit, index: usize) -> String {
    let tokenizer = tokenizer();
    let ids = split.get(index).input_ids.iter();
    ids.map(|id| tokenizer.token(*id).unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}
