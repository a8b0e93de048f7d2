//! Task files tried on their data.

use std::path::Path;

use camtl_data::check::{CheckOptions, LabelCount, check_task};
use camtl_data::{TaskSpec, TextTokenizer};

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n";

fn spec(kind: &str) -> TaskSpec {
    let text = format!(
        r#"
        name = "letters"
        {kind}
        format = "tsv"
        skip_labels = ["-"]
        fields = {{ text_a = "one", text_b = "two", label = "label" }}

        [files]
        train = "train.tsv"
        dev = "dev.tsv"
        test = {{ path = "test.tsv", labelled = false }}
        "#
    );
    TaskSpec::from_toml(&text, "letters.toml").unwrap()
}

fn classification() -> TaskSpec {
    spec("kind = \"classification\"\nlabels = [\"x\", \"y\", \"z\"]\nmetrics = [\"accuracy\"]")
}

fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_vocab(VOCAB, true).unwrap()
}

fn write(dir: &Path, split: &str, rows: &[String]) {
    let text = format!("one\ttwo\tlabel\n{}\n", rows.join("\n"));
    std::fs::write(dir.join(format!("{split}.tsv")), text).unwrap();
}

#[test]
fn counts_balance_and_lengths_are_right() {
    let dir = tempfile::tempdir().unwrap();
    // Lengths 5 to 104: [CLS] a [SEP] b * n [SEP].
    let mut rows: Vec<String> = (1..=100)
        .map(|n| {
            format!(
                "a\t{}\t{}",
                vec!["b"; n].join(" "),
                if n % 4 == 0 { "y" } else { "x" }
            )
        })
        .collect();
    rows.push("a\tb\t-".to_owned());
    write(dir.path(), "train", &rows);
    std::fs::write(dir.path().join("test.tsv"), "one\ttwo\nc\t\n").unwrap();
    let options = CheckOptions {
        max_length: 84,
        examples: 1,
        ..CheckOptions::new(dir.path())
    };
    let found = check_task(&classification(), Some(&tokenizer()), &options).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
    let train = &found.splits["train"];
    assert_eq!(
        (train.rows, train.examples, train.skipped_labels),
        (101, 100, 1)
    );
    let count = |label: &str, count| LabelCount {
        label: label.to_owned(),
        count,
    };
    assert_eq!(
        train.labels,
        [count("x", 75), count("y", 25), count("z", 0)]
    );
    let lengths = train.lengths.unwrap();
    assert_eq!(
        (
            lengths.p50,
            lengths.p90,
            lengths.p99,
            lengths.max,
            lengths.truncated
        ),
        (54, 94, 103, 104, 20)
    );
    assert_eq!(train.first[0].tokens, ["[CLS]", "a", "[SEP]", "b", "[SEP]"]);
    assert_eq!(train.first[0].token_type_ids, [0, 0, 0, 1, 1]);
    assert_eq!(train.first[0].label.as_deref(), Some("x"));
    let test = &found.splits["test"];
    assert_eq!((test.unlabelled, test.empty_texts), (1, 1));
    assert!(test.labels.is_empty());
    assert_eq!(found.absent["dev"], dir.path().join("dev.tsv"));
    for words in [
        "label `z` does not occur",
        "1 row(s) left out for their label",
        "dev.tsv is not there",
    ] {
        assert!(
            found.notes.iter().any(|note| note.contains(words)),
            "{words}: {:?}",
            found.notes
        );
    }
}

#[test]
fn problems_of_all_splits_share_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let bad: Vec<String> = (0..5).map(|_| "a\tb\tw".to_owned()).collect();
    write(dir.path(), "train", &bad);
    write(dir.path(), "dev", &bad);
    let options = CheckOptions {
        max_problems: 7,
        ..CheckOptions::new(dir.path())
    };
    let found = check_task(&classification(), None, &options).unwrap();
    let places: Vec<_> = found
        .problems
        .iter()
        .map(|problem| (problem.split.as_deref().unwrap(), problem.line.unwrap()))
        .collect();
    let expected: Vec<_> = (2..7)
        .map(|line| ("dev", line))
        .chain([("train", 2), ("train", 3)])
        .collect();
    assert_eq!((places, found.more_problems), (expected, 3));
    assert!(!found.is_sound());
    let none = CheckOptions {
        max_problems: 0,
        ..options
    };
    assert!(
        !check_task(&classification(), None, &none)
            .unwrap()
            .is_sound()
    );
}

#[test]
fn scores_are_summed_up() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "dev",
        &[
            "a\tb\t1.5".to_owned(),
            "a\tb\t4".to_owned(),
            "a\tb\t6".to_owned(),
        ],
    );
    let spec = spec("kind = \"regression\"\nrange = [0.0, 5.0]\nmetrics = [\"pearson\"]");
    let found = check_task(&spec, None, &CheckOptions::new(dir.path())).unwrap();
    let scores = found.splits["dev"].scores.unwrap();
    assert_eq!((scores.min, scores.mean, scores.max), (1.5, 2.75, 4.0));
    assert!(
        found.problems[0]
            .message
            .contains("score 6 is outside [0, 5]")
    );
    assert_eq!(found.splits["dev"].lengths, None);
}

#[test]
fn no_file_at_all_is_a_problem_and_no_room_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let found = check_task(&classification(), None, &CheckOptions::new(dir.path())).unwrap();
    assert!(
        found.problems[0].message.contains("none of its files"),
        "{:?}",
        found.problems
    );
    write(dir.path(), "dev", &["a\tb\tx".to_owned()]);
    let options = CheckOptions {
        max_length: 3,
        ..CheckOptions::new(dir.path())
    };
    assert!(check_task(&classification(), Some(&tokenizer()), &options).is_err());
}
