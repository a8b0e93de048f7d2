//! The first examples, as the model will see them, readable for people.
//!
//! Mentions and answers stand between « and »; a tag other than the first follows its word's first piece after a `/`;
//! every option of a multiple choice begins a line.

use std::fmt::Write as _;

use camtl_data::TaskSpec;
use camtl_data::check::{FirstExample, TaskCheck};
use camtl_data::kinds::Parts;

use super::printable;

/// Columns that the tokens of an example fill.
const WIDTH: usize = 100;

/// The first examples of `train`, or else of the first split that has some.
pub(super) fn of(spec: &TaskSpec, found: &TaskCheck) -> Option<String> {
    let train = found
        .splits
        .get_key_value("train")
        .filter(|(_, summary)| !summary.first.is_empty());
    let (split, summary) = train.or_else(|| {
        found
            .splits
            .iter()
            .find(|(_, summary)| !summary.first.is_empty())
    })?;
    let mut text = format!("First examples of {split}:\n");
    for example in &summary.first {
        let _ = write!(text, "\n  row {}", place(example));
        // Tags are shown with their words.
        let tags = (spec.kind.parts() == Parts::Words) && !example.tokens.is_empty();
        let _ = match tags {
            true => writeln!(text),
            false => writeln!(text, ": {}", label(example)),
        };
        if example.tokens.is_empty() {
            for part in &example.texts {
                text.push_str(&wrapped(part.split_whitespace()));
            }
            continue;
        }
        let tokens = marked(spec, example);
        let mut tokens = tokens.as_slice();
        for length in &example.sequence_lengths {
            let (sequence, rest) = tokens.split_at((*length).min(tokens.len()));
            text.push_str(&wrapped(sequence.iter().map(String::as_str)));
            tokens = rest;
        }
    }
    Some(text)
}

/// Row, key and window.
fn place(example: &FirstExample) -> String {
    let mut text = example.id.to_string();
    if let Some(key) = &example.key {
        let _ = write!(text, ", key {}", printable(key));
    }
    if let (Some(window), Some(windows)) = (example.window, example.windows)
        && windows > 1
    {
        let _ = write!(text, ", window {} of {windows}", window + 1);
    }
    text
}

fn label(example: &FirstExample) -> String {
    printable(example.label.as_deref().unwrap_or("no label"))
}

/// The tokens with what is marked in them.
fn marked(spec: &TaskSpec, example: &FirstExample) -> Vec<String> {
    let mut tokens = example.tokens.clone();
    let tagging = spec.kind.parts() == Parts::Words;
    let outside = spec.kind.labels().first();
    for mark in &example.marks {
        if tagging {
            if Some(&mark.name) != outside
                && let Some(token) = tokens.get_mut(mark.start)
            {
                let _ = write!(token, "/{}", mark.name);
            }
            continue;
        }
        if let Some(token) = tokens.get_mut(mark.start) {
            token.insert(0, '«');
        }
        if let Some(token) = mark
            .end
            .checked_sub(1)
            .and_then(|last| tokens.get_mut(last))
        {
            token.push('»');
        }
    }
    tokens
}

/// Words in indented lines of at most [`WIDTH`] characters; a longer word has a line of its own.
fn wrapped<'a>(words: impl Iterator<Item = &'a str>) -> String {
    const INDENT: &str = "    ";
    let mut text = String::new();
    let mut width = 0;
    for word in words {
        let word = printable(word);
        let chars = word.chars().count();
        if width > 0 && width + 1 + chars <= WIDTH {
            text.push(' ');
            width += 1 + chars;
        } else {
            if width > 0 {
                text.push('\n');
            }
            text.push_str(INDENT);
            width = INDENT.len() + chars;
        }
        text.push_str(&word);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_cannot_steer_a_terminal() {
        let words = vec!["abcdefghi"; 21];
        let text = wrapped(words.into_iter());
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [93, 93, 33]);
        assert_eq!(wrapped(["a\u{1b}[2J"].into_iter()), "    a\u{fffd}[2J\n");
    }
}
