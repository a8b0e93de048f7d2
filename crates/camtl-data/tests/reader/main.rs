//! Readers of every format: what is accepted, and the place and remedy of everything that is not.

mod all_problems;
mod any_input;
mod csv_quotes;
mod files;
mod json_objects;
mod labels;
mod multirc;
mod rows;
mod streams;

use std::fs;

use camtl_data::{DataError, Example, Label, RowProblem, TaskSpec, read_split};

pub(crate) fn spec(format: &str, more: &str) -> TaskSpec {
    TaskSpec::from_toml(
        &format!(
            r#"
            name = "pairs"
            kind = "classification"
            labels = ["entailment", "not_entailment"]
            metrics = ["accuracy"]
            format = "{format}"
            fields = {{ key = "id", text_a = "first", text_b = "second", label = "label" }}
            {more}
            [files]
            dev = "dev.{format}"
            test = {{ path = "test.{format}", labelled = false }}
            "#
        ),
        "pairs.toml",
    )
    .unwrap()
}

pub(crate) fn scores() -> TaskSpec {
    TaskSpec::from_toml(
        r#"
        name = "scores"
        kind = "regression"
        range = [0.0, 5.0]
        metrics = ["pearson"]
        format = "tsv"
        header = false
        columns = 2
        fields = { text_a = 0, label = 1 }
        files = { dev = "dev.tsv" }
        "#,
        "scores.toml",
    )
    .unwrap()
}

/// Reads `bytes` as the file of a split, labels required.
pub(crate) fn read_file(
    spec: &TaskSpec,
    split: &str,
    bytes: &[u8],
) -> Result<Vec<Example>, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(&spec.files[split].path);
    fs::write(path, bytes).unwrap();
    read_split(spec, dir.path(), split)
}

pub(crate) fn refused(spec: &TaskSpec, bytes: &[u8]) -> (u64, Option<String>, RowProblem, String) {
    let error = read_file(spec, "dev", bytes).unwrap_err();
    let message = error.to_string();
    match error {
        DataError::Row(row) => {
            assert!(message.contains(&format!("dev.{}:{}: ", extension(&row.origin), row.line)));
            (row.line, row.column, row.problem, message)
        }
        other => panic!("expected a problem in a row: {other}"),
    }
}

fn extension(path: &str) -> &str {
    path.rsplit('.').next().unwrap()
}

pub(crate) fn pair(id: u64, key: &str, a: &str, b: &str, label: u32) -> Example {
    Example {
        id,
        key: Some(key.to_owned()),
        text_a: a.to_owned(),
        text_b: Some(b.to_owned()),
        label: Some(Label::Class(label)),
        ..Example::default()
    }
}
