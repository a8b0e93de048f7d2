//! JSON Lines.

use camtl_data::TaskSpec;

use crate::{pair, read_file, refused, spec};

#[test]
fn json_lines_are_told_what_is_wrong_with_them() {
    let spec = spec("jsonl", "");
    let line = |more: &str| format!("{{\"id\": 1, \"first\": \"a\", \"second\": \"b\"{more}}}\n");
    let good = line(", \"label\": \"entailment\"");
    let cases = [
        (
            line(""),
            Some("`label`"),
            "the object has no such key; it has `id`, `first` or `second`",
        ),
        (
            line(", \"lable\": 1"),
            Some("`label`"),
            "did you mean `lable`",
        ),
        (
            line(", \"label\": null"),
            Some("`label`"),
            "expected a string, a number, true or false, found null",
        ),
        (line(", \"label\": {}"), Some("`label`"), "found an object"),
        (
            good.replace("\"a\"", "3"),
            Some("`first`"),
            "expected a string, found a number",
        ),
        (
            good.replace("\"b\"", "[\"b\"]"),
            Some("`second`"),
            "expected a string, found an array",
        ),
        (
            "[1]\n".to_owned(),
            None,
            "not a JSON object: found an array",
        ),
        ("{\"id\": 1".to_owned(), None, "not a JSON object: EOF"),
        (
            good.replace("\"a\"", "'a'"),
            None,
            "not a JSON object: expected value at character 20",
        ),
        (
            format!("{} {}", good.trim_end(), good),
            None,
            "not a JSON object: trailing characters",
        ),
        (
            "{\"first\": \"\\ud800\"}\n".to_owned(),
            None,
            "not a JSON object",
        ),
        ("[".repeat(100_000), None, "recursion limit"),
    ];
    for (text, column, words) in cases {
        let (at, found, _, message) = refused(&spec, format!("{good}\n{text}").as_bytes());
        assert_eq!((at, found.as_deref()), (3, column), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn json_labels_may_be_numbers_or_truth_values_and_fields_may_be_nested() {
    let spec = TaskSpec::from_toml(
        r#"
        name = "yes-no"
        kind = "classification"
        labels = ["false", "true"]
        metrics = ["accuracy"]
        format = "jsonl"
        fields = { text_a = "/passage/text", text_b = "question", label = "label", key = "/ids/0" }
        files = { dev = "dev.jsonl" }
        "#,
        "yes-no.toml",
    )
    .unwrap();
    let text = r#"{"passage": {"text": "It rains."}, "question": "does it rain", "label": true, "ids": [17]}"#;
    let examples = read_file(&spec, "dev", text.as_bytes()).unwrap();
    assert_eq!(examples[0], pair(0, "17", "It rains.", "does it rain", 1));
}
