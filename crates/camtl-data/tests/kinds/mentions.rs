//! Pairs of mentions.

use camtl_data::{Label, TaskSpec};

use super::{encoded, problem, spec, task, tokens};

/// Two labels for the mentions that `fields` says where to find.
fn pair(fields: &str) -> TaskSpec {
    spec(&task(
        "span-pair",
        "labels = [\"false\", \"true\"]",
        "\"accuracy\"",
        "jsonl",
        &format!("fields = {{ label = \"label\", {fields} }}"),
    ))
}

/// As WiC has it: characters in two texts.
fn senses() -> TaskSpec {
    pair(
        r#"text_a = "one", text_b = "two", mentions = [{ text = "a", start = "s1", end = "e1" }, { text = "b", start = "s2", end = "e2" }]"#,
    )
}

/// As WSC has it: words of one text.
fn pronouns() -> TaskSpec {
    pair(
        r#"text_a = "text", mentions = [{ word = "/target/i1", span = "/target/t1" }, { word = "/target/i2", span = "/target/t2" }]"#,
    )
}

#[test]
fn characters_become_tokens() {
    let text =
        r#"{"one": "é ab c", "two": "d ef", "s1": 2, "e1": 4, "s2": 0, "e2": 1, "label": true}"#;
    let (rows, split) = encoded(&senses(), text, 32);
    assert_eq!(rows[0].label, Some(Label::Class(1)));
    assert_eq!(tokens(&split, 0), "[CLS] é a ##b c [SEP] d e ##f [SEP]");
    assert_eq!(split.get(0).extra, [2, 4, 6, 7]);
}

#[test]
fn words_become_tokens_without_punctuation() {
    let text = r#"{"text": "the ab, who  cd. e", "target": {"i1": 0, "t1": "the ab", "i2": 3, "t2": "cd"}, "label": false}"#;
    let (_, split) = encoded(&pronouns(), text, 32);
    assert_eq!(tokens(&split, 0), "[CLS] the a ##b , who c ##d . e [SEP]");
    assert_eq!(split.get(0).extra, [1, 4, 6, 8]);
    // A mention that the words do not hold is all of them.
    let (_, split) = encoded(
        &pronouns(),
        &text.replace("\"t2\": \"cd\"", "\"t2\": \"x\""),
        32,
    );
    assert_eq!(split.get(0).extra, [1, 4, 6, 9]);
}

#[test]
fn a_mention_that_is_cut_off_is_the_last_token_left() {
    let text = r#"{"one": "a b c d e", "two": "f g h i j", "s1": 8, "e1": 9, "s2": 0, "e2": 1, "label": true}"#;
    let (_, split) = encoded(&senses(), text, 9);
    assert_eq!(tokens(&split, 0), "[CLS] a b c [SEP] f g h [SEP]");
    assert_eq!(split.get(0).extra, [3, 4, 5, 6]);
    assert_eq!(split.num_truncated(), 1);
}

#[test]
fn places_that_the_text_does_not_have_are_problems() {
    let row = |s1: &str, e1: &str| {
        format!(
            r#"{{"one": "é b", "two": "d", "s1": {s1}, "e1": {e1}, "s2": 0, "e2": 1, "label": true}}"#
        )
    };
    for (start, end) in [("2", "4"), ("2", "2"), ("3", "2"), ("9", "10")] {
        let found = problem(&senses(), &row(start, end));
        assert_eq!(
            found,
            format!(
                "train.jsonl:1: column `s1`: the mention's characters are {start} to {end} (from 0), but the text has 3; \
                 mend the row"
            )
        );
    }
    let found = problem(&senses(), &row("-1", "1"));
    assert!(
        found.contains("column `s1`: `-1` is not a position"),
        "{found}"
    );
    let text =
        r#"{"text": "a b", "target": {"i1": 0, "t1": "a", "i2": 1, "t2": "b c"}, "label": true}"#;
    let found = problem(&pronouns(), text);
    assert!(
        found.contains(
            "column `/target/i2`: the mention's words are 1 to 2 (from 0), but the text has 2"
        ),
        "{found}"
    );
}
