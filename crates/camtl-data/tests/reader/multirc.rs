//! `MultiRC`'s nested objects: what is wrong in them, with line and place.

use camtl_data::TaskSpec;

use crate::read_file;

const GOOD: &str = r#"{"idx": 3, "passage": {"text": "P.", "questions": [{"question": "Q?", "idx": 5, "answers": [{"text": "A", "idx": 8, "label": 1}]}]}}"#;

fn spec(more: &str) -> TaskSpec {
    TaskSpec::from_toml(
        &format!(
            r#"
            name = "reading"
            kind = "classification"
            labels = ["0", "1"]
            metrics = ["f1"]
            format = "multirc"
            {more}
            [files]
            dev = "dev.multirc"
            test = {{ path = "test.multirc", labelled = false }}
            "#
        ),
        "reading.toml",
    )
    .unwrap()
}

#[test]
fn everything_wrong_is_told_with_its_place() {
    let cases = [
        ("{\"idx\": 3", "[3", "dev.multirc:2: not a JSON object"),
        (
            "\"passage\"",
            "\"pasage\"",
            "column `/passage`: the object has no such key; it has `idx` or `pasage` (did you mean `pasage`?)",
        ),
        (
            "\"P.\"",
            "4",
            "column `/passage/text`: expected a string, found a number",
        ),
        (
            "\"Q?\"",
            "null",
            "column `/passage/questions/0/question`: expected a string, found null",
        ),
        (
            "\"idx\": 5, ",
            "",
            "column `/passage/questions/0/idx`: the object has no such key",
        ),
        (
            "\"A\"",
            "{}",
            "column `/passage/questions/0/answers/0/text`: expected a string, found an object",
        ),
        (
            "\"label\": 1",
            "\"label\": 2",
            "column `/passage/questions/0/answers/0/label`: unknown label `2`; expected `0` or `1`",
        ),
        (
            ", \"label\": 1",
            "",
            "column `/passage/questions/0/answers/0/label`: the object has no such key",
        ),
        (
            "[{\"text\"",
            "{\"a\": 1}, \"b\": [{\"text\"",
            "column `/passage/questions/0/answers`: expected an array, found an object",
        ),
        (
            "\"questions\": [",
            "\"questions\": [7, ",
            "column `/passage/questions/0`: expected an object, found a number",
        ),
    ];
    for (from, to, words) in cases {
        let bad = GOOD.replacen(from, to, 1);
        assert_ne!(bad, GOOD, "{from}");
        let message = read_file(&spec(""), "dev", format!("{GOOD}\n{bad}\n").as_bytes())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("dev.multirc:2: ") && message.contains(words),
            "{message}"
        );
    }
}

#[test]
fn broken_passages_can_be_left_out() {
    let text = format!("{GOOD}\n{{\"idx\": 4}}\n\n{GOOD}");
    let examples = read_file(&spec("malformed_rows = \"skip\""), "dev", text.as_bytes()).unwrap();
    assert_eq!(
        examples.iter().map(|one| one.id).collect::<Vec<_>>(),
        [0, 2]
    );
}

#[test]
fn a_format_with_fields_of_its_own_takes_none() {
    let text = |task: &str, split: &str| {
        format!(
            "name = \"r\"\nkind = \"classification\"\nlabels = [\"0\", \"1\"]\nmetrics = [\"f1\"]\n{task}\n[files]\ndev = {split}\n"
        )
    };
    let refused = |text: &str| TaskSpec::from_toml(text, "r.toml").unwrap_err().to_string();
    let fields = "fields = { text_a = \"a\", label = \"b\" }";
    let own = refused(&text(&format!("format = \"multirc\"\n{fields}"), "\"d\""));
    assert!(own.contains("fields of its own; remove `fields`"), "{own}");
    let split = format!("{{ path = \"d\", format = \"multirc\", {fields} }}");
    let own = refused(&text(&format!("format = \"jsonl\"\n{fields}"), &split));
    assert!(
        own.contains("files.dev: the format `multirc` has fields of its own"),
        "{own}"
    );
    let none = refused(&text("format = \"jsonl\"", "\"d\""));
    assert!(none.contains("missing field `fields`"), "{none}");
}
