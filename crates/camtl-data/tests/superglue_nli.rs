//! The shipped task files of SuperGLUE, SNLI and SciTail over files in the official layouts.

use std::path::{Path, PathBuf};

use camtl_data::answers::{Answer, query_answers, row_keys};
use camtl_data::reader::{read_lines, read_split_with_report};
use camtl_data::score::score_split;
use camtl_data::{
    EncodedSplit, Example, FileFormat, Label, LoadOptions, MetricKind, ReadReport, TaskSpec,
    TextTokenizer, load_task, read_split,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn shipped(name: &str) -> TaskSpec {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tasks");
    TaskSpec::from_file(configs.join(format!("{name}.toml"))).unwrap()
}

fn read(task: &str, split: &str) -> Vec<Example> {
    read_split(&shipped(task), &fixtures(), split).unwrap()
}

fn classes(examples: &[Example]) -> Vec<u32> {
    examples
        .iter()
        .map(|example| match example.label {
            Some(Label::Class(class)) => class,
            other => panic!("{other:?} is no class"),
        })
        .collect()
}

fn keys(examples: &[Example]) -> Vec<&str> {
    examples
        .iter()
        .map(|example| example.key.as_deref().unwrap_or("none"))
        .collect()
}

/// A task, its labels, metrics, and classes of the split `dev`.
type Expected = (
    &'static str,
    &'static [&'static str],
    &'static [MetricKind],
    &'static [u32],
);

#[test]
fn labels_metrics_and_rows_are_the_official_ones() {
    use MetricKind::{Accuracy, ExactMatch, F1a, MacroF1};
    let nli: &[&str] = &["contradiction", "entailment", "neutral"];
    let rte: &[&str] = &["entailment", "not_entailment"];
    let cb: &[&str] = &["entailment", "contradiction", "neutral"];
    let expected: [Expected; 6] = [
        ("snli", nli, &[Accuracy], &[1, 0]),
        ("scitail", &["neutral", "entails"], &[Accuracy], &[1, 0, 0]),
        ("boolq", &["false", "true"], &[Accuracy], &[0, 1, 1]),
        ("cb", cb, &[Accuracy, MacroF1], &[2, 0, 1]),
        ("rte-superglue", rte, &[Accuracy], &[0, 1, 1]),
        ("multirc", &["0", "1"], &[F1a, ExactMatch], &[1, 0, 1, 1, 0]),
    ];
    for (task, labels, metrics, dev) in expected {
        let spec = shipped(task);
        assert_eq!(spec.kind.labels(), labels, "{task}");
        assert_eq!(spec.metrics, metrics, "{task}");
        assert!(spec.is_pair(), "{task}");
        assert_eq!(classes(&read(task, "dev")), dev, "{task}");
        for (split, source) in &spec.files {
            let examples = read(task, split);
            assert!(
                examples
                    .iter()
                    .all(|example| example.label.is_some() == source.labelled),
                "{task} {split}"
            );
        }
    }
}

#[test]
fn every_file_that_the_server_takes_is_named() {
    let expected: [(&str, &[(&str, &str)]); 8] = [
        ("boolq", &[("test", "BoolQ.jsonl")]),
        ("cb", &[("test", "CB.jsonl")]),
        ("copa", &[("test", "COPA.jsonl")]),
        ("multirc", &[("test", "MultiRC.jsonl")]),
        ("record", &[("test", "ReCoRD.jsonl")]),
        (
            "rte-superglue",
            &[
                ("ax-b", "AX-b.jsonl"),
                ("ax-g", "AX-g.jsonl"),
                ("test", "RTE.jsonl"),
            ],
        ),
        ("wic", &[("test", "WiC.jsonl")]),
        ("wsc", &[("test", "WSC.jsonl")]),
    ];
    for (task, files) in expected {
        let submission = shipped(task).submission.unwrap();
        let named: Vec<(&str, &str)> = (submission.files.iter())
            .map(|(split, file)| (split.as_str(), file.as_str()))
            .collect();
        assert_eq!(named, files, "{task}");
    }
}

#[test]
fn texts_and_keys_are_found() {
    let boolq = read("boolq", "test");
    assert_eq!(boolq[2].text_a, "A café opened near the harbour.");
    assert_eq!(boolq[2].text_b.as_deref(), Some("It sells tea."));
    assert_eq!(keys(&boolq), ["0", "1", "2"]);
    let scitail = read("scitail", "train");
    assert_eq!(scitail[1].text_a, "Nora said \"wait\" and left.");
    let broad = read("rte-superglue", "ax-b");
    assert_eq!(
        (keys(&broad), classes(&broad)),
        (vec!["0", "1", "2"], vec![0, 1, 1])
    );
    let winogender = read("rte-superglue", "ax-g");
    assert_eq!(classes(&winogender), [1, 1, 0, 0]);
    assert_eq!(winogender[1].text_b, winogender[0].text_b);
}

#[test]
fn multirc_becomes_one_row_per_answer() {
    let train = read("multirc", "train");
    assert_eq!(
        keys(&train),
        [
            "0-0-0", "0-0-1", "0-0-2", "0-1-3", "0-1-4", "7-2-5", "7-2-6"
        ]
    );
    let ids: Vec<u64> = train.iter().map(|example| example.id).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(train[2].text_a, "Mira baked bread. Her brother Jon ate it.");
    assert_eq!(
        train[2].text_b.as_deref(),
        Some("Who ate the bread? Her brother")
    );
    assert_eq!(train[4].text_b.as_deref(), Some("What was baked? "));
    assert_eq!(train[5].text_b.as_deref(), Some("Where? In Zürich"));
    let test = read("multirc", "test");
    assert_eq!(keys(&test), keys(&train));
    assert!(test.iter().all(|example| example.label.is_none()));
}

/// The split of a shipped task over the fixtures, encoded.
fn loaded(task: &str, split: &str) -> (TaskSpec, EncodedSplit) {
    let tokenizer =
        TextTokenizer::from_vocab("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", true).unwrap();
    let spec = shipped(task);
    let options = LoadOptions {
        splits: vec![split.to_owned()],
        ..LoadOptions::new(fixtures(), 32)
    };
    let mut dataset = load_task(&spec, &tokenizer, &options).unwrap();
    (spec, dataset.splits.remove(split).unwrap())
}

fn scores(task: &str, split: &str, predicted: &[u32]) -> Vec<(String, f64)> {
    let (spec, examples) = loaded(task, split);
    let answers: Vec<Answer> = predicted.iter().map(|label| class(*label, 0.5)).collect();
    score_split(&spec.of_split(split), &examples, &answers)
        .unwrap()
        .into_iter()
        .collect()
}

fn class(label: u32, right: f32) -> Answer {
    Answer::Class {
        label,
        probabilities: vec![1.0 - right, right],
    }
}

#[test]
fn answers_are_scored_as_the_server_does() {
    let figures = |of: &[(&str, f64)]| -> Vec<(String, f64)> {
        of.iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    };
    // Labels 1 0 1 | 1 0. Right answers called right: 2 of 3, and one wrong one: F1a = 2 * 2 / (3 + 3). Of the two
    // questions the second is judged correctly as a whole.
    assert_eq!(
        scores("multirc", "dev", &[1, 1, 0, 1, 0]),
        figures(&[("em", 0.5), ("f1a", 2.0 / 3.0)])
    );
    // Labels 1 1 | 0 0, the two pairs of neighbours.
    assert_eq!(
        scores("rte-superglue", "ax-g", &[1, 0, 1, 1]),
        figures(&[("accuracy", 0.25), ("gender_parity", 0.5)])
    );
    // Labels 0 1 1: TP 1, TN 1, FN 1, FP 0 give 1 / sqrt(1 * 2 * 1 * 2).
    assert_eq!(
        scores("rte-superglue", "ax-b", &[0, 1, 0]),
        figures(&[("mcc", 0.5)])
    );
    assert_eq!(
        scores("rte-superglue", "dev", &[0, 1, 0]),
        figures(&[("accuracy", 2.0 / 3.0)])
    );
}

#[test]
fn rows_keep_the_names_of_their_file() {
    let (spec, examples) = loaded("multirc", "test");
    let keys = row_keys(&spec, &examples).unwrap();
    assert_eq!(keys[0].as_deref(), Some("0-0-0"));
    assert_eq!(keys[6].as_deref(), Some("7-2-6"));
    let fitting = vec![class(0, 0.5); 7];
    let all: Vec<usize> = (0..7).collect();
    let error = query_answers(&spec, &examples, &all, &fitting)
        .unwrap_err()
        .to_string();
    assert!(error.contains("it is no candidate of a query"), "{error}");
}

#[test]
fn rows_without_a_gold_label_are_left_out_and_counted() {
    let spec = shipped("snli");
    assert_eq!(spec.skip_labels, ["-"]);
    let expected = ReadReport {
        rows: 3,
        skipped_labels: 1,
        ..ReadReport::default()
    };
    let (jsonl, report) = read_split_with_report(&spec, &fixtures(), "dev").unwrap();
    assert_eq!((jsonl.len(), &report), (2, &expected));

    // The text files of the same download.
    let mut text = spec.clone();
    text.format = FileFormat::Tsv;
    text.files.get_mut("dev").unwrap().path = "SNLI/snli_1.0_dev.txt".into();
    let (tsv, report) = read_split_with_report(&text, &fixtures(), "dev").unwrap();
    assert_eq!((tsv, report), (jsonl, expected));

    // Through the token cache, too.
    let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n";
    let tokenizer = TextTokenizer::from_vocab(vocab, true).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        cache_dir: Some(cache.path().to_owned()),
        ..LoadOptions::new(fixtures(), 32)
    };
    for _ in 0..2 {
        let loaded = load_task(&spec, &tokenizer, &options).unwrap();
        assert_eq!(loaded.splits["dev"].num_skipped_labels(), 1);
        assert_eq!(loaded.summary()["dev"].skipped_labels, 1);
    }
    // Without the option, `-` is a label that nobody named, also where the cache holds the other reading.
    let mut strict = spec.clone();
    strict.skip_labels.clear();
    let message = load_task(&strict, &tokenizer, &options)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("snli_1.0_dev.jsonl:3: column `gold_label`: unknown label `-`"),
        "{message}"
    );
    // For prediction every row is answered.
    let row = "{\"gold_label\": \"-\", \"sentence1\": \"a\", \"sentence2\": \"b\"}\n";
    let asked = read_lines(&spec, "dev", row.as_bytes(), "standard input").unwrap();
    assert_eq!((asked.len(), asked[0].label), (1, None));
}

#[test]
fn a_file_with_nothing_but_left_out_rows_is_an_error() {
    let mut spec = shipped("snli");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("dev.jsonl"),
        "{\"gold_label\": \"-\", \"sentence1\": \"a\", \"sentence2\": \"b\"}\n",
    )
    .unwrap();
    spec.files.get_mut("dev").unwrap().path = "dev.jsonl".into();
    let message = read_split(&spec, dir.path(), "dev")
        .unwrap_err()
        .to_string();
    assert!(
        message.ends_with(
            "no rows but 1 left out for their label (`skip_labels`); expected at least one example"
        ),
        "{message}"
    );
}

#[test]
fn a_data_folder_may_hold_several_collections_or_be_one() {
    let spec = shipped("cb");
    let whole = read_split(&spec, &fixtures(), "train").unwrap();
    let inner = read_split(&spec, &fixtures().join("superglue"), "train").unwrap();
    assert_eq!(whole, inner);
    let glue = shipped("rte");
    assert_eq!(
        read_split(&glue, &fixtures(), "dev").unwrap(),
        read_split(&glue, &fixtures().join("glue"), "dev").unwrap()
    );
}

#[test]
fn specs_survive_toml_and_json() {
    for task in ["multirc", "snli", "scitail", "cb", "rte-superglue"] {
        let spec = shipped(task);
        let toml = toml::to_string(&spec).unwrap();
        assert_eq!(TaskSpec::from_toml(&toml, "again").unwrap(), spec, "{toml}");
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<TaskSpec>(&json).unwrap(), spec);
    }
}
