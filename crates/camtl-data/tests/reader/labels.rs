//! Labels and scores.

use camtl_data::{Label, RowProblem};

use crate::{read_file, refused, scores, spec};

#[test]
fn unknown_labels_come_with_the_nearest_known() {
    let spec = spec("tsv", "");
    let text = |label: &str| format!("id\tfirst\tsecond\tlabel\n1\ta\tb\t{label}\n");
    let (line, column, _, message) = refused(&spec, text("not-entailment").as_bytes());
    assert_eq!((line, column.as_deref()), (2, Some("`label` (position 3)")));
    assert!(
        message
            .contains("unknown label `not-entailment`; expected `entailment` or `not_entailment`")
    );
    assert!(
        message.contains("(did you mean `not_entailment`?)"),
        "{message}"
    );
    let (_, _, _, message) = refused(&spec, text("maybe").as_bytes());
    assert!(!message.contains("did you mean"), "{message}");
    let (_, _, _, message) = refused(&spec, text(" entailment").as_bytes());
    assert!(
        message.contains("unknown label ` entailment`"),
        "spaces are not forgiven: {message}"
    );
    let (_, _, problem, message) = refused(&spec, text("").as_bytes());
    assert_eq!(problem, RowProblem::EmptyLabel);
    assert!(message.contains("labelled = false"), "{message}");
}

#[test]
fn scores_must_be_finite_numbers_within_the_range() {
    let spec = scores();
    let read = |score: &str| read_file(&spec, "dev", format!("a\t{score}\n").as_bytes());
    for (text, score) in [
        ("0", 0.0),
        ("5.000", 5.0),
        (" 2.5 ", 2.5),
        ("1e0", 1.0),
        ("-0", 0.0),
    ] {
        assert_eq!(
            read(text).unwrap()[0].label,
            Some(Label::Score(score)),
            "{text}"
        );
    }
    for text in [
        "NaN", "nan", "inf", "-inf", "infinity", "1e99", "2,5", "two", "0x1", "1 2",
    ] {
        let message = read(text).unwrap_err().to_string();
        assert!(
            message.contains(&format!("`{text}` is not a finite number")),
            "{message}"
        );
        assert!(message.contains(":1: column at position 1"), "{message}");
    }
    for text in ["-0.001", "5.001", "1e9"] {
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains("is outside [0, 5]"), "{message}");
    }
}

#[test]
fn unlabelled_splits_need_no_label_column() {
    let spec = spec("tsv", "");
    let examples = read_file(&spec, "test", b"id\tfirst\tsecond\n0\ta\tb\n").unwrap();
    assert_eq!(examples[0].label, None);
    // A label column that happens to be there is not looked at.
    let examples = read_file(&spec, "test", b"id\tfirst\tsecond\tlabel\n0\ta\tb\t?\n").unwrap();
    assert_eq!(examples[0].label, None);
}
