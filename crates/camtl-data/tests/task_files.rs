//! Task files: those that come with the project, round trips, and everything that must be refused with a useful word.

use std::fs;
use std::path::{Path, PathBuf};

use camtl_data::kinds::Regression;
use camtl_data::{
    Column, FileFormat, Label, MalformedRows, MetricKind, TaskError, TaskKind, TaskSpec, read_split,
};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tasks")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/glue")
}

fn shipped(name: &str) -> TaskSpec {
    TaskSpec::from_file(configs().join(format!("{name}.toml"))).unwrap()
}

const GLUE: [&str; 9] = [
    "cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli",
];

const TASK: &str = r#"
name = "weather"
kind = "classification"
labels = ["dry", "wet"]
metrics = ["accuracy"]
format = "tsv"
fields = { text_a = "report", label = "sky" }

[files]
train = "train.tsv"
test = { path = "test.tsv", labelled = false }
"#;

fn refusal(text: &str) -> String {
    TaskSpec::from_toml(text, "weather.toml")
        .unwrap_err()
        .to_string()
}

#[test]
fn every_shipped_file_is_sound_and_named_after_its_task() {
    let mut names: Vec<String> = fs::read_dir(configs())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let spec = TaskSpec::from_file(&path).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str(), Some(spec.name.as_str()));
            spec.name
        })
        .collect();
    names.sort();
    for task in GLUE {
        assert!(names.iter().any(|name| name == task), "{task} is missing");
    }
}

#[test]
fn labels_are_in_the_order_of_hugging_face() {
    // GLUE processors of transformers 2.11: a checkpoint's output i means label i.
    let expected: [(&str, &[&str]); 8] = [
        ("cola", &["0", "1"]),
        ("sst-2", &["0", "1"]),
        ("mrpc", &["0", "1"]),
        ("qqp", &["0", "1"]),
        ("mnli", &["contradiction", "entailment", "neutral"]),
        ("qnli", &["entailment", "not_entailment"]),
        ("rte", &["entailment", "not_entailment"]),
        ("wnli", &["0", "1"]),
    ];
    for (task, labels) in expected {
        assert_eq!(shipped(task).kind.labels(), labels, "{task}");
    }
    assert_eq!(
        shipped("sts-b").kind,
        TaskKind::Regression(Regression { min: 0.0, max: 5.0 })
    );
}

#[test]
fn metrics_and_submissions_are_those_of_glue() {
    use MetricKind::{Accuracy, F1, Matthews, Pearson, Spearman};
    type Expected = (
        &'static str,
        &'static [MetricKind],
        &'static [(&'static str, &'static str)],
    );
    let expected: [Expected; 9] = [
        ("cola", &[Matthews], &[("test", "CoLA.tsv")]),
        ("sst-2", &[Accuracy], &[("test", "SST-2.tsv")]),
        ("mrpc", &[F1, Accuracy], &[("test", "MRPC.tsv")]),
        ("sts-b", &[Pearson, Spearman], &[("test", "STS-B.tsv")]),
        ("qqp", &[F1, Accuracy], &[("test", "QQP.tsv")]),
        (
            "mnli",
            &[Accuracy],
            &[
                ("test", "MNLI-m.tsv"),
                ("test_ax", "AX.tsv"),
                ("test_mismatched", "MNLI-mm.tsv"),
            ],
        ),
        ("qnli", &[Accuracy], &[("test", "QNLI.tsv")]),
        ("rte", &[Accuracy], &[("test", "RTE.tsv")]),
        ("wnli", &[Accuracy], &[("test", "WNLI.tsv")]),
    ];
    for (task, metrics, files) in expected {
        let spec = shipped(task);
        assert_eq!(spec.metrics, metrics, "{task}");
        let submission = spec.submission.as_ref().unwrap();
        let named: Vec<(&str, &str)> = submission
            .files
            .iter()
            .map(|(split, file)| (split.as_str(), file.as_str()))
            .collect();
        assert_eq!(named, files, "{task}");
        for label in spec.kind.labels() {
            assert_eq!(submission.spelling(label), label);
        }
    }
}

#[test]
fn official_layouts_are_read_by_the_shipped_files() {
    let read = |task: &str, split: &str| read_split(&shipped(task), &fixtures(), split).unwrap();
    let class = |class| Some(Label::Class(class));

    let cola = read("cola", "train");
    assert_eq!(cola.len(), 2);
    assert_eq!(cola[0].text_a, "The baker counted nine loaves.");
    assert_eq!(cola[0].key.as_deref(), Some("xx01"));
    assert_eq!((cola[0].label, cola[1].label), (class(1), class(0)));
    assert_eq!(
        cola[1].text_a, "The baker \"counted nine the loaves.",
        "quotes are text"
    );
    assert_eq!(read("cola", "dev").len(), 1);
    let test = &read("cola", "test")[0];
    assert_eq!(
        (test.text_a.as_str(), test.label),
        ("Nine loaves were counted.", None)
    );

    let sst = read("sst-2", "train");
    assert_eq!(
        (sst[0].text_a.as_str(), sst[0].label),
        ("a warm and generous little film ", class(1))
    );
    assert_eq!(read("sst-2", "test")[0].text_a, "worth every minute");

    for split in ["train", "dev"] {
        let mrpc = read("mrpc", split); // begins with a byte order mark
        assert_eq!((mrpc[0].label, mrpc[1].label), (class(1), class(0)));
        assert_eq!(mrpc[1].text_a, "Nora said \"wait\" and left.");
        assert_eq!(mrpc[1].text_b.as_deref(), Some("Nora never left."));
    }
    assert_eq!(read("mrpc", "test")[0].label, None);

    let sts = read("sts-b", "dev");
    let scores: Vec<_> = sts.iter().map(|example| example.label.unwrap()).collect();
    assert_eq!(
        scores,
        [Label::Score(4.75), Label::Score(0.0), Label::Score(5.0)]
    );
    assert_eq!(
        sts[2].text_b.as_deref(),
        Some("The harbour has a new café.")
    );
    assert_eq!(read("sts-b", "test")[0].label, None);

    for (split, labels) in [
        ("train", [1, 0, 2]),
        ("dev", [1, 0, 2]),
        ("dev_mismatched", [2, 0, 1]),
    ] {
        let mnli = read("mnli", split);
        let found: Vec<_> = mnli.iter().map(|example| example.label).collect();
        assert_eq!(found, labels.map(class), "{split}");
        assert_eq!(mnli[1].text_a, "Nora said \"wait\" and left.");
    }
    for split in ["test", "test_mismatched", "test_ax"] {
        let mnli = read("mnli", split);
        assert_eq!((mnli.len(), mnli[0].label), (3, None), "{split}");
        assert_eq!(mnli[2].key.as_deref(), Some("2"));
    }
    let ax = read("mnli", "ax"); // CRLF
    assert_eq!(
        ax.iter().map(|example| example.label).collect::<Vec<_>>(),
        [1, 0, 2].map(class)
    );
    assert_eq!(
        shipped("mnli").of_split("ax").metrics,
        [MetricKind::Matthews]
    );

    for task in ["qnli", "rte"] {
        for split in ["train", "dev"] {
            let found: Vec<_> = read(task, split)
                .iter()
                .map(|example| example.label)
                .collect();
            assert_eq!(found, [0, 1, 0].map(class), "{task} {split}");
        }
        assert_eq!(read(task, "test")[1].label, None);
    }
    let wnli: Vec<_> = read("wnli", "dev")
        .iter()
        .map(|example| example.label)
        .collect();
    assert_eq!(wnli, [1, 0, 1].map(class));
}

#[test]
fn broken_rows_of_qqp_stop_or_are_left_out_as_the_file_says() {
    let mut spec = shipped("qqp");
    assert_eq!(spec.malformed_rows, MalformedRows::Skip);
    spec.malformed_rows = MalformedRows::Error;
    let message = read_split(&spec, &fixtures(), "train")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("QQP/train.tsv:3: 5 tab-separated column(s), expected 6"),
        "{message}"
    );
    assert!(message.contains("malformed_rows = \"skip\""), "{message}");

    spec.malformed_rows = MalformedRows::Skip;
    let (examples, report) =
        camtl_data::reader::read_split_with_report(&spec, &fixtures(), "train").unwrap();
    assert_eq!(
        (report.rows, report.skipped_rows, report.empty_texts),
        (3, 1, 1)
    );
    let ids: Vec<u64> = examples.iter().map(|example| example.id).collect();
    assert_eq!(ids, [0, 2], "ids are row numbers of the file");
}

#[test]
fn a_spec_survives_toml_and_json() {
    for task in GLUE {
        let spec = shipped(task);
        let toml = toml::to_string(&spec).unwrap();
        assert_eq!(TaskSpec::from_toml(&toml, "again").unwrap(), spec, "{toml}");
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(
            serde_json::from_str::<TaskSpec>(&json).unwrap(),
            spec,
            "{json}"
        );
    }
}

#[test]
fn splits_override_the_task_as_they_say() {
    let text = TASK.replace(
        "test = {",
        "dev = { path = \"dev.csv\", format = \"csv\", header = false, columns = 3, malformed_rows = \"skip\", \
         fields = { text_a = 2, label = 0 } }\ntest = {",
    );
    let spec = TaskSpec::from_toml(&text, "weather.toml").unwrap();
    let train = spec.layout("train").unwrap();
    assert_eq!(
        (train.format, train.header, train.columns),
        (FileFormat::Tsv, true, None)
    );
    let dev = spec.layout("dev").unwrap();
    assert_eq!(
        (dev.format, dev.header, dev.columns),
        (FileFormat::Csv, false, Some(3))
    );
    assert_eq!(dev.fields.text_a, Column::Index(2));
    assert_eq!(dev.malformed_rows, MalformedRows::Skip);
    let test = spec.layout("test").unwrap();
    assert_eq!(test.fields.label, None);
    assert_eq!(test.fields.text_a, Column::Name("report".to_owned()));
    assert_eq!(spec.layout("nowhere"), None);
    assert_eq!(spec.label_name(1), Some("wet"));
    assert_eq!((spec.label_name(2), spec.label_index("damp")), (None, None));
}

#[test]
fn misspelt_words_are_named_with_line_and_the_nearest_known() {
    let cases = [
        (
            "labels =",
            "lables =",
            "weather.toml:4:1: unknown field `lables`",
            "did you mean `labels`",
        ),
        (
            "text_a =",
            "text_A =",
            "weather.toml:7:12: unknown field `text_A`",
            "did you mean `text_a`",
        ),
        (
            "labelled =",
            "labeled =",
            "weather.toml:11:29: unknown field `labeled`",
            "did you mean `labelled`",
        ),
        (
            "\"tsv\"",
            "\"tvs\"",
            "weather.toml:6:10: unknown variant `tvs`",
            "did you mean `tsv`",
        ),
        (
            "[\"accuracy\"]",
            "[\"acuracy\"]",
            "weather.toml:5:12: unknown variant `acuracy`",
            "did you mean `accuracy`",
        ),
        (
            "\"classification\"",
            "\"clasification\"",
            "weather.toml:3:8: unknown variant",
            "did you mean `classification`",
        ),
        (
            "[files]",
            "[fils]",
            "weather.toml:9:2: unknown field `fils`",
            "did you mean `files`",
        ),
    ];
    for (from, to, place, hint) in cases {
        let message = refusal(&TASK.replacen(from, to, 1));
        assert!(message.starts_with(place), "{message}");
        assert!(message.contains(hint), "{message}");
    }
}

#[test]
fn values_of_the_wrong_kind_are_named_with_their_line() {
    let cases = [
        (
            "train = \"train.tsv\"",
            "train = 3",
            "weather.toml:10:9",
            "a path, or a table",
        ),
        (
            "text_a = \"report\"",
            "text_a = -1",
            "weather.toml:7:21",
            "position counted from 0",
        ),
        (
            "text_a = \"report\"",
            "text_a = true",
            "weather.toml:7:21",
            "a column's name",
        ),
        (
            "labels = [\"dry\", \"wet\"]",
            "labels = \"dry\"",
            "weather.toml:4:10",
            "sequence",
        ),
        ("name = \"weather\"", "name = ", "weather.toml:2:", ""),
    ];
    for (from, to, place, word) in cases {
        let message = refusal(&TASK.replacen(from, to, 1));
        assert!(
            message.starts_with(place) && message.contains(word),
            "{message}"
        );
    }
    let missing = refusal(&TASK.replace("metrics = [\"accuracy\"]\n", ""));
    assert!(
        missing.starts_with("weather.toml: missing field `metrics`"),
        "{missing}"
    );
}

#[test]
fn contradictions_are_refused() {
    let cases = [
        (
            "name = \"weather\"",
            "name = \"../weather\"",
            "name `../weather`: expected ASCII letters",
        ),
        ("name = \"weather\"", "name = \"\"", "name ``"),
        ("[\"dry\", \"wet\"]", "[\"dry\"]", "at least two"),
        (
            "[\"dry\", \"wet\"]",
            "[\"dry\", \"dry\"]",
            "names `dry` twice",
        ),
        ("[\"dry\", \"wet\"]", "[\"dry\", \"\"]", "empty name"),
        (
            "labels = [\"dry\", \"wet\"]\n",
            "",
            "classification needs `labels`",
        ),
        (
            "labels = [\"dry\", \"wet\"]",
            "labels = [\"dry\", \"wet\"]\nrange = [0, 1]",
            "`range` is for regression",
        ),
        ("[\"accuracy\"]", "[]", "`metrics` is empty"),
        (
            "[\"accuracy\"]",
            "[\"pearson\"]",
            "`pearson` does not fit classification; use `accuracy`",
        ),
        ("[\"accuracy\"]", "[\"accuracy\", \"accuracy\"]", "twice"),
        (
            "[\"dry\", \"wet\"]\nmetrics = [\"accuracy\"]",
            "[\"a\", \"b\", \"c\"]\nmetrics = [\"f1\"]",
            "use `macro-f1`",
        ),
        (
            ", label = \"sky\"",
            "",
            "files.train: no `label` among its fields",
        ),
        (
            "format = \"tsv\"",
            "format = \"tsv\"\nheader = false",
            "has no header (`header = false`); give a position",
        ),
        (
            "train = \"train.tsv\"",
            "train = \"\"",
            "files.train: the path is empty",
        ),
        (
            "train = \"train.tsv\"",
            "\"a b\" = \"train.tsv\"",
            "split `a b`",
        ),
    ];
    for (from, to, words) in cases {
        let message = refusal(&TASK.replacen(from, to, 1));
        assert!(message.starts_with("weather.toml: task `"), "{message}");
        assert!(message.contains(words), "{message}");
    }
    let jsonl = TASK
        .replace("\"tsv\"", "\"jsonl\"")
        .replace("label = \"sky\"", "label = 1");
    assert!(refusal(&jsonl).contains("field `label` is position 1, but JSON objects have keys"));

    let beyond = TASK
        .replace(
            "format = \"tsv\"",
            "format = \"tsv\"\nheader = false\ncolumns = 2",
        )
        .replace("\"report\"", "2")
        .replace("\"sky\"", "0");
    assert!(refusal(&beyond).contains("position 2 (from 0), but `columns` says there are 2"));
}

#[test]
fn labels_to_leave_out_and_folders_must_make_sense() {
    let with = |line: &str| refusal(&TASK.replace("format =", &format!("{line}\nformat =")));
    let both = with("skip_labels = [\"-\", \"wet\"]");
    assert!(
        both.contains("`skip_labels` names `wet`, which is one of `labels`"),
        "{both}"
    );
    assert!(with("skip_labels = [\"-\", \"-\"]").contains("names `-` twice"));
    for folder in ["", "../glue", "/data", "."] {
        let message = with(&format!("folder = \"{folder}\""));
        assert!(
            message.contains("expected a folder below the data folder"),
            "{message}"
        );
    }
}

#[test]
fn several_findings_are_told_at_once() {
    let message = refusal(
        &TASK
            .replace("[\"dry\", \"wet\"]", "[\"dry\", \"dry\"]")
            .replace("[\"accuracy\"]", "[\"pearson\"]")
            .replace("\"train.tsv\"", "\"\""),
    );
    for words in [
        "names `dry` twice",
        "`pearson` does not fit",
        "files.train: the path is empty",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn regression_needs_a_sound_range() {
    let regression = TASK
        .replace("\"classification\"", "\"regression\"")
        .replace("[\"accuracy\"]", "[\"pearson\"]")
        .replace("labels = [\"dry\", \"wet\"]", "range = [0.0, 5.0]");
    let spec = TaskSpec::from_toml(&regression, "weather.toml").unwrap();
    assert!(spec.kind.is_regression());
    assert_eq!(spec.kind.num_outputs(), 1);
    assert!(spec.kind.labels().is_empty());
    for range in ["[5.0, 0.0]", "[1, 1]", "[nan, 1.0]", "[0.0, inf]"] {
        let message = refusal(&regression.replace("[0.0, 5.0]", range));
        assert!(message.contains("expected two finite numbers"), "{message}");
    }
    let message = refusal(&regression.replace("range = [0.0, 5.0]\n", ""));
    assert!(message.contains("regression needs `range"), "{message}");
}

#[test]
fn submissions_must_fit_the_task() {
    let with = |rest: &str| format!("{TASK}\n[submission]\n{rest}\n");
    let sound = with("files = { test = \"W.tsv\" }\nlabels = { wet = \"rainy\" }");
    let spec = TaskSpec::from_toml(&sound, "weather.toml").unwrap();
    let submission = spec.submission.unwrap();
    assert_eq!(
        (submission.spelling("wet"), submission.spelling("dry")),
        ("rainy", "dry")
    );
    let cases = [
        ("files = { tset = \"W.tsv\" }", "did you mean `test`"),
        ("files = { test = \"../W.tsv\" }", "without folders"),
        ("files = { test = \"W.csv\" }", "`W.csv` must end in `.tsv`"),
        ("files = { test = \"W\" }", "or `.jsonl`"),
        (
            "files = { test = \"W.jsonl\" }",
            "but `fields` has no `key`; name the column",
        ),
        (
            "files = { test = \"W.tsv\" }\nlabels = { damp = \"x\" }",
            "expected `dry` or `wet`",
        ),
    ];
    for (rest, words) in cases {
        let message = refusal(&with(rest));
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_split_may_have_metrics_of_its_own() {
    let with = |metrics: &str| {
        TASK.replace(
            "train = \"train.tsv\"",
            &format!(
                "train = \"train.tsv\"\nprobe = {{ path = \"probe.tsv\", metrics = [{metrics}] }}"
            ),
        )
    };
    let spec = TaskSpec::from_toml(&with("\"matthews\", \"f1\""), "weather.toml").unwrap();
    assert_eq!(
        spec.of_split("probe").metrics,
        [MetricKind::Matthews, MetricKind::F1]
    );
    assert_eq!(spec.of_split("train").metrics, [MetricKind::Accuracy]);
    let written = toml::to_string(&spec).unwrap();
    assert_eq!(TaskSpec::from_toml(&written, "again").unwrap(), spec);
    for (metrics, words) in [
        ("", "files.probe: `metrics` is empty"),
        ("\"pearson\"", "files.probe: metric `pearson` does not fit"),
        ("\"em\"", "files.probe: metric `em` does not fit"),
    ] {
        let message = refusal(&with(metrics));
        assert!(message.contains(words), "{message}");
    }
    let unknown = refusal(&with("\"acuracy\""));
    assert!(unknown.contains("did you mean `accuracy`"), "{unknown}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = TaskSpec::from_file("no/such/task.toml").unwrap_err();
    assert!(matches!(error, TaskError::Io { .. }));
    assert!(error.to_string().contains("no/such/task.toml"));
}
