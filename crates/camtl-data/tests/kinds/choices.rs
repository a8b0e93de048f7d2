//! Multiple choice.

use camtl_data::{Details, Label};

use super::{encoded, problem, spec, tokens};

const COPA: &str = r#"
name = "plausible"
kind = "multiple-choice"
labels = ["0", "1"]
metrics = ["accuracy"]
format = "jsonl"
replace_text_b = { cause = "because", effect = "so" }
fields = { key = "idx", text_a = "premise", text_b = "question", choices = ["choice1", "choice2"], label = "label" }
files = { train = "train.jsonl" }
"#;

#[test]
fn every_option_is_a_pair_with_the_premise() {
    let spec = spec(COPA);
    let (rows, split) = encoded(
        &spec,
        concat!(
            r#"{"premise": "a b", "question": "cause", "choice1": "c", "choice2": "d e f", "label": 1, "idx": 4}"#,
            "\n",
            r#"{"premise": "g", "question": "effect", "choice1": "h", "choice2": "i", "idx": 5}"#,
            "\n",
        ),
        16,
    );
    assert_eq!(
        rows[0].details,
        Details::Options(vec!["c".into(), "d e f".into()])
    );
    assert_eq!(
        (rows[0].key.as_deref(), rows[0].label),
        (Some("4"), Some(Label::Class(1)))
    );
    assert_eq!(rows[1].label, None);
    assert_eq!(
        tokens(&split, 0),
        "[CLS] a b [SEP] because c [SEP] [CLS] a b [SEP] because d e f [SEP]"
    );
    assert_eq!(split.get(0).extra, [7, 9]);
    assert_eq!(
        split.get(0).token_type_ids,
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    );
    assert_eq!(split.get(0).sequences, 2);
    assert_eq!(
        tokens(&split, 1),
        "[CLS] g [SEP] so h [SEP] [CLS] g [SEP] so i [SEP]"
    );
    assert_eq!(
        (spec.kind.num_outputs(), spec.kind.num_alternatives()),
        (1, 2)
    );
}

#[test]
fn options_are_truncated_one_by_one() {
    let spec = spec(COPA);
    let (_, split) = encoded(
        &spec,
        r#"{"premise": "a b c d", "question": "cause", "choice1": "e", "choice2": "f g h i", "label": 0, "idx": 0}"#,
        8,
    );
    assert_eq!(
        tokens(&split, 0),
        "[CLS] a b c [SEP] because e [SEP] [CLS] a b c [SEP] because f [SEP]"
    );
    assert_eq!(split.num_truncated(), 1);
}

#[test]
fn options_come_from_columns_of_tables_too() {
    let spec = spec(
        r#"
        name = "quiz"
        kind = "multiple-choice"
        labels = ["A", "B", "C"]
        metrics = ["accuracy"]
        format = "csv"
        fields = { text_a = "question", choices = ["A", "B", "C"], label = "answer" }
        files = { train = "quiz.csv" }
        "#,
    );
    let (rows, split) = encoded(&spec, "question,A,B,C,answer\nwho,a,\"b, c\",d,C\n", 16);
    assert_eq!(rows[0].label, Some(Label::Class(2)));
    assert_eq!(
        tokens(&split, 0),
        "[CLS] who [SEP] a [SEP] [CLS] who [SEP] b , c [SEP] [CLS] who [SEP] d [SEP]"
    );
    assert_eq!(
        problem(&spec, "question,A,B,C,answer\nwho,a,b,c,D\n"),
        "quiz.csv:2: column `answer` (position 4): unknown label `D`; expected `A`, `B` or `C`; \
         mend the row or the `labels` of the task file"
    );
    let missing = problem(&spec, "question,A,B,answer\nwho,a,b,A\n");
    assert!(
        missing.contains("quiz.csv:1: the header has no column `C`"),
        "{missing}"
    );
}

#[test]
fn words_that_are_not_to_be_replaced_are_problems() {
    let text = r#"{"premise": "a", "question": "causes", "choice1": "b", "choice2": "c", "label": 0, "idx": 0}"#;
    let found = problem(&spec(COPA), text);
    assert!(
        found.starts_with(
            "train.jsonl:1: column `question`: `causes` is not among `replace_text_b`"
        ) && found.contains("did you mean `cause`?"),
        "{found}"
    );
}
