//! Tagging.

use camtl_data::kinds::{IGNORED, UNKNOWN};
use camtl_data::{Details, Label};

use super::{encoded, encoded_like, problem, spec, tokens};

const TAGS: &str = r#"
name = "places"
kind = "tagging"
labels = ["O", "B-city", "I-city"]
metrics = ["entity-f1", "accuracy"]
format = "conll"

[files]
train = "train.conll"
test = { path = "test.conll", labelled = false }
"#;

/// Tabs and spaces, more columns than two, a document line, blank lines of white space and no last line end.
const FILE: &str = "-DOCSTART- -X- O\n\nin\tO\nnew\tB-city\nyork\tI-city\n \t\na NN B-city\nb NN O";

#[test]
fn sentences_end_at_blank_lines_and_words_keep_their_tags() {
    let (rows, split) = encoded(&spec(TAGS), FILE, 32);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].text_a, "in new york");
    assert_eq!(
        rows[0].details,
        Details::Words {
            words: vec!["in".into(), "new".into(), "york".into()],
            tags: Some(vec![0, 1, 2]),
        }
    );
    assert_eq!(rows[1].text_a, "a b");
    assert_eq!(rows[1].label, Some(Label::Structured));
    assert_eq!(
        tokens(&split, 0),
        "[CLS] i ##n n ##e ##w y ##o ##r ##k [SEP]"
    );
    let i = IGNORED;
    assert_eq!(split.get(0).extra, [i, 0, i, 1, i, i, 2, i, i, i, i]);
    assert_eq!(split.get(1).extra, [i, 1, 0, i]);
}

#[test]
fn truncation_cuts_words_from_the_end() {
    let (_, split) = encoded(&spec(TAGS), FILE, 6);
    assert_eq!(tokens(&split, 0), "[CLS] i ##n n ##e [SEP]");
    assert_eq!(
        split.get(0).extra,
        [IGNORED, 0, IGNORED, 1, IGNORED, IGNORED]
    );
    assert_eq!(split.num_truncated(), 1);
}

#[test]
fn without_labels_first_pieces_are_marked() {
    let (rows, split) = encoded_like(&spec(TAGS), "test", "new\nyork\n\n\n\na\n", 32);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].label, None);
    assert_eq!(
        split.get(0).extra,
        [
            IGNORED, UNKNOWN, IGNORED, IGNORED, UNKNOWN, IGNORED, IGNORED, IGNORED, IGNORED
        ]
    );
}

#[test]
fn a_word_without_pieces_is_an_unknown_token() {
    // A zero width space alone is dropped by the normaliser.
    let (_, split) = encoded(&spec(TAGS), "a\tO\n\u{200b}\tB-city\nb\tO\n", 16);
    assert_eq!(tokens(&split, 0), "[CLS] a [UNK] b [SEP]");
    assert_eq!(split.get(0).extra, [IGNORED, 0, 1, 0, IGNORED]);
}

#[test]
fn columns_can_be_chosen() {
    let text = TAGS.replace(
        "format = \"conll\"",
        "format = \"conll\"\nfields = { text_a = 1, label = 2 }",
    );
    let (rows, _) = encoded(&spec(&text), "1 a B-city x\n2 b O x\n", 16);
    assert_eq!(rows[0].text_a, "a b");
    let found = problem(&spec(&text), "1 a B-city\n2 b\n");
    assert!(
        found.starts_with("train.conll:2: position 2 (from 0)"),
        "{found}"
    );
}

#[test]
fn problems_are_told_with_their_line() {
    let spec = spec(TAGS);
    let found = problem(&spec, "a O\nb B-cty\n");
    assert!(
        found.starts_with("train.conll:2: column of tags (`last`): unknown label `B-cty`")
            && found.contains("did you mean `B-city`?"),
        "{found}"
    );
    let found = problem(&spec, "a O\nb\n");
    assert!(
        found.starts_with("train.conll:2:") && found.contains("empty label"),
        "{found}"
    );
    let found = problem(&spec, "\n\n-DOCSTART- O\n\n");
    assert!(found.contains("no rows"), "{found}");
}
