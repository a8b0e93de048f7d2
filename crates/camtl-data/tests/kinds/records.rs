//! Queries with a gap (`ReCoRD`).

use camtl_data::{Details, Label, TaskSpec};

use super::{encoded, problem, spec, tokens};

pub(crate) fn record() -> TaskSpec {
    spec(
        r#"
        name = "gaps"
        kind = "classification"
        labels = ["0", "1"]
        metrics = ["qa-f1", "em"]
        format = "record"
        files = { train = "train.jsonl" }
        "#,
    )
}

/// Two entities, one of them mentioned twice; two queries.
pub(crate) const LINE: &str = concat!(
    r#"{"idx": 3, "passage": {"text": "é ab c ab\n@highlight\nd e", "entities": "#,
    r#"[{"start": 2, "end": 3}, {"start": 7, "end": 8}, {"start": 21, "end": 23}]}, "qas": ["#,
    r#"{"idx": 8, "query": "who @placeholder .", "answers": [{"start": 2, "end": 3, "text": "ab"}]}, "#,
    r#"{"idx": 9, "query": "@placeholder a", "answers": [{"start": 21, "end": 23, "text": "d e"}]}]}"#,
);

#[test]
fn every_entity_in_the_gap_is_an_example() {
    let (rows, split) = encoded(&record(), LINE, 32);
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.key.as_deref().unwrap(),
                row.text_b.as_deref().unwrap(),
                row.label,
                row.group,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("3-8-0", "who ab .", Some(Label::Class(1)), Some(0)),
            ("3-8-1", "who d e .", Some(Label::Class(0)), Some(0)),
            ("3-9-0", "ab a", Some(Label::Class(0)), Some(1)),
            ("3-9-1", "d e a", Some(Label::Class(1)), Some(1)),
        ]
    );
    let Details::Candidate(candidate) = &rows[1].details else {
        panic!()
    };
    assert_eq!(
        (candidate.entity.as_str(), &candidate.answers[..]),
        ("d e", &["ab".to_owned()][..])
    );
    assert_eq!(
        tokens(&split, 0),
        "[CLS] é a ##b c a ##b - d e [SEP] who a ##b . [SEP]"
    );
    assert_eq!(split.groups(), Some(&[0, 0, 1, 1][..]));
}

#[test]
fn problems_are_told_with_their_place() {
    let found = problem(&record(), &LINE.replace("\"end\": 23}]}", "\"end\": 99}]}"));
    assert!(
        found.starts_with(
            "train.jsonl:1: column `/passage/entities/2`: the entity's characters are 21 to 99"
        ),
        "{found}"
    );
    let (before, after) = LINE.split_once("[{\"start\": 2").unwrap();
    let (_, after) = after.split_once("]}, \"qas\"").unwrap();
    let found = problem(&record(), &format!("{before}[]}}, \"qas\"{after}"));
    assert!(
        found.starts_with("train.jsonl:1: column `/passage/entities`: the passage marks no entity"),
        "{found}"
    );
    let found = problem(&record(), &LINE.replace("@placeholder a", "b a"));
    assert_eq!(
        found,
        "train.jsonl:1: column `/qas/1/query`: the query has no `@placeholder` to put an entity into"
    );
    let found = problem(
        &record(),
        &LINE.replace(
            r#""answers": [{"start": 21, "end": 23, "text": "d e"}]"#,
            r#""answers": []"#,
        ),
    );
    assert!(
        found.starts_with("train.jsonl:1: column `/qas/1/answers`: no accepted answer"),
        "{found}"
    );
}
