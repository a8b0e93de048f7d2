//! Task files of these kinds.

use camtl_data::TaskSpec;

use super::task;

fn refusal(text: &str) -> String {
    TaskSpec::from_toml(text, "task.toml")
        .unwrap_err()
        .to_string()
}

#[test]
fn task_files_survive_being_written_and_read() {
    let two = "labels = [\"a\", \"b\"]";
    let files = [
        task(
            "multiple-choice",
            two,
            "\"accuracy\"",
            "jsonl",
            "replace_text_b = { x = \"y\" }\nfields = { text_a = \"q\", text_b = \"r\", choices = [\"1\", \"2\"], label = \"l\" }",
        ),
        task(
            "span-pair",
            two,
            "\"accuracy\", \"macro-f1\"",
            "csv",
            "fields = { text_a = \"q\", label = \"l\", mentions = [{ start = \"s\", end = \"e\" }, { word = \"w\", span = \"x\" }] }",
        ),
        task(
            "tagging",
            "labels = [\"O\", \"B-x\", \"I-x\"]",
            "\"entity-f1\"",
            "conll",
            "",
        ),
        task(
            "span",
            "no_answer = true",
            "\"qa-f1\", \"em\"",
            "squad",
            "doc_stride = 64",
        ),
        task(
            "classification",
            "labels = [\"0\", \"1\"]",
            "\"em\", \"qa-f1\"",
            "record",
            "",
        ),
    ];
    for text in files {
        let spec = TaskSpec::from_toml(&text, "task.toml").unwrap();
        let written = toml::to_string(&spec).unwrap();
        assert_eq!(
            TaskSpec::from_toml(&written, "again").unwrap(),
            spec,
            "{written}"
        );
    }
}

#[test]
fn contradictions_are_refused() {
    let two = "labels = [\"a\", \"b\"]";
    let fields = "fields = { text_a = \"q\", label = \"l\" }";
    let cases = [
        (
            task("multiple-choice", two, "\"accuracy\"", "jsonl", fields),
            "`choices` names 0 column(s) for 2 options",
        ),
        (
            task("multiple-choice", "", "\"accuracy\"", "jsonl", fields),
            "multiple choice needs `labels`",
        ),
        (
            task("multiple-choice", two, "\"f1\"", "jsonl", fields),
            "metric `f1` does not fit multiple-choice; use `accuracy`",
        ),
        (
            task("span-pair", two, "\"accuracy\"", "jsonl", fields),
            "`mentions` names 0 mention(s)",
        ),
        (
            task(
                "span-pair",
                two,
                "\"accuracy\"",
                "jsonl",
                "fields = { text_a = \"q\", label = \"l\", mentions = [{ start = \"s\" }, { start = \"s\", end = \"e\" }] }",
            ),
            "either `start` and `end`",
        ),
        (
            task(
                "span-pair",
                two,
                "\"accuracy\"",
                "jsonl",
                "fields = { text_a = \"q\", label = \"l\", mentions = [{ text = \"b\", start = \"s\", end = \"e\" }, { start = \"s\", end = \"e\" }] }",
            ),
            "there is no `text_b`",
        ),
        (
            task(
                "classification",
                two,
                "\"accuracy\"",
                "jsonl",
                "fields = { text_a = \"q\", label = \"l\", choices = [\"x\"] }",
            ),
            "`choices` is for multiple choices",
        ),
        (
            task("tagging", two, "\"entity-f1\"", "conll", ""),
            "begin with `O`",
        ),
        (
            task(
                "tagging",
                "labels = [\"O\", \"PER\"]",
                "\"entity-f1\"",
                "conll",
                "",
            ),
            "BIO scheme",
        ),
        (
            task("tagging", two, "\"accuracy\"", "tsv", fields),
            "the format `tsv` does not fit tagging; use `conll`",
        ),
        (
            task(
                "tagging",
                two,
                "\"accuracy\"",
                "conll",
                "fields = { text_a = 0, label = \"tag\" }",
            ),
            "give a position from 0, or `last`",
        ),
        (
            task("span", "", "\"em\"", "jsonl", fields),
            "does not fit span; use `squad` or `mrqa`",
        ),
        (
            task("span", two, "\"em\"", "squad", ""),
            "`labels` is not for spans",
        ),
        (
            task("span", "", "\"em\"", "squad", fields),
            "has fields of its own",
        ),
        (
            task("span", "", "\"em\"", "squad", "doc_stride = 0"),
            "`doc_stride` is 0",
        ),
        (
            task(
                "classification",
                two,
                "\"accuracy\"",
                "jsonl",
                &format!("doc_stride = 9\n{fields}"),
            ),
            "`doc_stride` is for spans",
        ),
        (
            task(
                "classification",
                "labels = [\"a\", \"b\"]\nno_answer = true",
                "\"accuracy\"",
                "jsonl",
                fields,
            ),
            "`no_answer` is for spans",
        ),
        (
            task("classification", two, "\"em\"", "record", ""),
            "labels candidates `0` and `1`",
        ),
        (
            task("classification", two, "\"em\"", "jsonl", fields),
            "metric `em` does not fit classification",
        ),
        (
            task(
                "classification",
                two,
                "\"accuracy\"",
                "jsonl",
                &format!("replace_text_b = {{ a = \"b\" }}\n{fields}"),
            ),
            "there is no `text_b`",
        ),
    ];
    for (text, expected) in cases {
        let found = refusal(&text);
        assert!(found.contains(expected), "{expected}\n{found}\n{text}");
    }
}
