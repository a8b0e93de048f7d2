//! GLUE from Parquet files: from a stand-in for the hub, a mirror and a folder, damaged and with texts that do not fit.

#[path = "../../tests/support/server.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use camtl_data::{Example, Label, TaskSpec, read_split};

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use server::{Answer, Server, sha256, tree};
use tempfile::TempDir;
use xtask::datasets::catalogue::Collection;
use xtask::datasets::obtain::{self, Form, Options, Origin};
use xtask::datasets::parquet::{Converter, Parquet};
use xtask::error::render;
use xtask::fetch::Fetcher;
use xtask::hub::Hub;

/// A column of a Parquet file.
enum Column {
    Text(&'static str, Vec<String>),
    Class(&'static str, Vec<i64>),
    Score(&'static str, Vec<f32>),
}

fn texts(name: &'static str, texts: &[&str]) -> Column {
    Column::Text(name, texts.iter().map(|text| (*text).to_owned()).collect())
}

/// A file as the hub has it: optional columns, snappy, `idx` last, the names of the classes in its metadata.
fn parquet_file(columns: &[Column], classes: Option<&[&str]>) -> Vec<u8> {
    let mut schema = String::from("message schema {\n");
    let mut rows = 0;
    for column in columns {
        let (line, count) = match column {
            Column::Text(name, values) => {
                (format!("optional binary {name} (UTF8);\n"), values.len())
            }
            Column::Class(name, values) => (format!("optional int64 {name};\n"), values.len()),
            Column::Score(name, values) => (format!("optional float {name};\n"), values.len()),
        };
        schema += &line;
        rows = count;
    }
    schema += "optional int32 idx;\n}";
    let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
    let metadata = classes.map(|names| {
        let features = serde_json::json!({
            "info": {"features": {"label": {"names": names, "_type": "ClassLabel"}, "idx": {"dtype": "int32", "_type": "Value"}}}
        });
        vec![KeyValue::new("huggingface".to_owned(), features.to_string())]
    });
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(metadata)
        .build();
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    let there = vec![1i16; rows];
    for column in columns {
        let mut out = group.next_column().expect("columns").expect("a column");
        match column {
            Column::Text(_, values) => {
                let values: Vec<ByteArray> =
                    values.iter().map(|text| text.as_str().into()).collect();
                out.typed::<ByteArrayType>()
                    .write_batch(&values, Some(&there), None)
            }
            Column::Class(_, values) => {
                out.typed::<Int64Type>()
                    .write_batch(values, Some(&there), None)
            }
            Column::Score(_, values) => {
                out.typed::<FloatType>()
                    .write_batch(values, Some(&there), None)
            }
        }
        .expect("written");
        out.close().expect("closed");
    }
    let idx: Vec<i32> = (0..rows as i32).collect();
    let mut out = group.next_column().expect("columns").expect("a column");
    out.typed::<Int32Type>()
        .write_batch(&idx, Some(&there), None)
        .expect("written");
    out.close().expect("closed");
    group.close().expect("closed");
    writer.close().expect("closed");
    bytes
}

const A: [&str; 3] = [
    "The kettle is on.",
    "Nora said \"wait\" and left.",
    "A café opened. ",
];
const B: [&str; 3] = ["There is a kettle.", "Nora never left.", "It sells tea."];

/// The Parquet files of a data set: its folder, its columns of text, the names of its classes, its splits.
type Set = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const USUAL: &[&str] = &["train", "validation", "test"];
const SENTENCES: &[&str] = &["sentence1", "sentence2"];
const TWO: &[&str] = &["entailment", "not_entailment"];
const THREE: &[&str] = &["entailment", "neutral", "contradiction"];
const SETS: [Set; 10] = [
    (
        "cola",
        &["sentence"],
        &["unacceptable", "acceptable"],
        USUAL,
    ),
    ("sst2", &["sentence"], &["negative", "positive"], USUAL),
    ("mrpc", SENTENCES, &["not_equivalent", "equivalent"], USUAL),
    (
        "qqp",
        &["question1", "question2"],
        &["not_duplicate", "duplicate"],
        USUAL,
    ),
    ("stsb", SENTENCES, &[], USUAL),
    (
        "mnli",
        &["premise", "hypothesis"],
        THREE,
        &[
            "train",
            "validation_matched",
            "validation_mismatched",
            "test_matched",
            "test_mismatched",
        ],
    ),
    ("qnli", &["question", "sentence"], TWO, USUAL),
    ("rte", SENTENCES, TWO, USUAL),
    ("wnli", SENTENCES, &["not_entailment", "entailment"], USUAL),
    ("ax", &["premise", "hypothesis"], THREE, &["test"]),
];

/// Every file of the repository. Classes are 1, 0, 1, the scores 4.75, 0 and 5; test files have -1.
fn repository() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (config, columns, classes, splits) in SETS {
        for split in splits {
            let labelled = !split.starts_with("test");
            let mut content: Vec<Column> = columns
                .iter()
                .zip([A, B])
                .map(|(name, rows)| texts(name, &rows))
                .collect();
            content.push(match (classes.is_empty(), labelled) {
                (true, true) => Column::Score("label", vec![4.75, 0.0, 5.0]),
                (true, false) => Column::Score("label", vec![-1.0; 3]),
                (false, true) => Column::Class("label", vec![1, 0, 1]),
                (false, false) => Column::Class("label", vec![-1; 3]),
            });
            let classes = (!classes.is_empty()).then_some(classes);
            files.push((
                format!("{config}/{split}-00000-of-00001.parquet"),
                parquet_file(&content, classes),
            ));
        }
    }
    files
}

/// A hub that has nyu-mll/glue at the commit `c0ffee`.
fn hub(files: Vec<(String, Vec<u8>)>) -> Server {
    Server::start(move |asked, _| {
        if asked
            .path
            .starts_with("/api/datasets/nyu-mll/glue/revision/main")
        {
            let siblings: Vec<serde_json::Value> = files
                .iter()
                .map(|(name, content)| {
                    let size = content.len();
                    serde_json::json!({"rfilename": name, "size": size, "lfs": {"sha256": sha256(content), "size": size}})
                })
                .collect();
            let listing = serde_json::json!({"sha": "c0ffee", "siblings": siblings});
            return Answer::ok(listing.to_string());
        }
        let name = asked
            .path
            .strip_prefix("/datasets/nyu-mll/glue/resolve/c0ffee/");
        match files.iter().find(|(file, _)| Some(file.as_str()) == name) {
            Some((_, content)) => {
                let answer = Answer::ranged(content, asked, "e");
                // The first answer for MNLI's training rows breaks off.
                let first = asked.path.ends_with("mnli/train-00000-of-00001.parquet")
                    && asked.range_start().is_none();
                if first {
                    answer.cut_at(content.len() / 2)
                } else {
                    answer
                }
            }
            None => Answer::status(404),
        }
    })
}

/// `download glue --source hub --only ONLY --from FROM`, its messages if it fails.
fn download(dir: &Path, only: &[&str], from: Option<&str>, endpoint: &str) -> Result<(), String> {
    let options = Options {
        data: dir.join("data"),
        form: Form::Parquet(Parquet {
            hub: Hub {
                endpoint: endpoint.to_owned(),
                token: None,
            },
            revision: "main".to_owned(),
            converter: Converter::At(PathBuf::from(env!("CARGO_BIN_EXE_glue-tables"))),
        }),
        origin: Origin::parse(from).expect("a folder or an address"),
        unpinned: false,
        only: only.iter().map(|name| (*name).to_owned()).collect(),
    };
    let fetcher = Fetcher::from_environment()
        .expect("a client")
        .with_patience(2, Duration::from_millis(1));
    let glue = Collection::named("glue").expect("GLUE");
    obtain::collection(glue, &options, &fetcher).map_err(|error| render(&error))
}

fn read(dir: &Path, file: &str) -> String {
    let path = dir.join("data/glue").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_table_has_the_official_form() {
    let server = hub(repository());
    let dir = TempDir::new().expect("a folder");
    download(dir.path(), &[], None, &server.url).unwrap_or_else(|told| panic!("{told}"));
    let dir_path = dir.path();
    let expected = [
        (
            "CoLA/train.tsv",
            "n/a\t1\tn/a\tThe kettle is on.\nn/a\t0\tn/a\tNora said \"wait\" and left.\n",
        ),
        (
            "CoLA/test.tsv",
            "index\tsentence\n0\tThe kettle is on.\n1\tNora said",
        ),
        (
            "SST-2/dev.tsv",
            "sentence\tlabel\nThe kettle is on.\t1\nNora said \"wait\" and left.\t0\nA café opened. \t1\n",
        ),
        ("SST-2/test.tsv", "index\tsentence\n0\tThe kettle"),
        (
            "MRPC/train.tsv",
            "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\tn/a\tn/a\tThe kettle is on.\tThere is a kettle.\n0\t",
        ),
        (
            "MRPC/test.tsv",
            "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\tn/a\tn/a\tThe kettle",
        ),
        (
            "STS-B/dev.tsv",
            "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n\
             0\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tThe kettle is on.\tThere is a kettle.\t4.750\n1\t",
        ),
        (
            "STS-B/test.tsv",
            "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\n0\t",
        ),
        (
            "QQP/dev.tsv",
            "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\tn/a\tn/a\tThe kettle is on.\tThere is a kettle.\t1\n",
        ),
        (
            "QQP/test.tsv",
            "id\tquestion1\tquestion2\n0\tThe kettle is on.\tThere is a kettle.\n",
        ),
        (
            "MNLI/train.tsv",
            "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t\
             sentence1\tsentence2\tlabel1\tgold_label\n0\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tThe kettle is on.\tThere is a kettle.\tn/a\tneutral\n",
        ),
        (
            "MNLI/dev_mismatched.tsv",
            "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t\
             sentence1\tsentence2\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n",
        ),
        (
            "QNLI/train.tsv",
            "index\tquestion\tsentence\tlabel\n0\tThe kettle is on.\tThere is a kettle.\tnot_entailment\n",
        ),
        (
            "RTE/dev.tsv",
            "index\tsentence1\tsentence2\tlabel\n0\tThe kettle is on.\tThere is a kettle.\tnot_entailment\n1\t",
        ),
        (
            "WNLI/train.tsv",
            "index\tsentence1\tsentence2\tlabel\n0\tThe kettle is on.\tThere is a kettle.\t1\n1\t",
        ),
        (
            "WNLI/test.tsv",
            "index\tsentence1\tsentence2\n0\tThe kettle is on.\tThere is a kettle.\n1\t",
        ),
        (
            "diagnostic/diagnostic.tsv",
            "index\tsentence1\tsentence2\n0\tThe kettle is on.\tThere is a kettle.\n",
        ),
    ];
    for (file, beginning) in expected {
        let text = read(dir_path, file);
        assert!(text.starts_with(beginning), "{file}\n{text}");
        let header = usize::from(file != "CoLA/train.tsv");
        assert_eq!(text.lines().count(), 3 + header, "{file}");
    }
    let record = read(dir_path, "download.json");
    assert!(
        record.contains("/datasets/nyu-mll/glue/resolve/c0ffee/cola/train-00000-of-00001.parquet")
            && record.contains("\"verified\": true")
            && !record.contains("\"verified\": false"),
        "{record}"
    );
    // The list was asked for once, the cut file was continued, and nothing but locks stays behind.
    let asked = server.asked();
    assert_eq!(
        asked.iter().filter(|a| a.path.starts_with("/api/")).count(),
        1
    );
    assert!(
        asked
            .iter()
            .any(|a| a.path.contains("mnli/train-") && a.range_start().is_some())
    );
    let left: Vec<String> = tree(&dir_path.join("data/.download"));
    assert!(
        left.iter()
            .all(|name| name == "glue.lock" || name == "glue/"),
        "{left:?}"
    );
    // Again: nobody is asked.
    download(dir_path, &[], None, &server.url).expect("there already");
    assert_eq!(server.asked().len(), asked.len());
}

/// Writes files as the hub's repository has them.
fn write_files(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
}

fn rte(label: Vec<i64>, first: &str, classes: &[&str]) -> Vec<u8> {
    parquet_file(
        &[
            texts("sentence1", &[first, A[1]]),
            texts("sentence2", &[B[0], B[1]]),
            Column::Class("label", label),
        ],
        Some(classes),
    )
}

#[test]
fn folders_and_mirrors_are_taken_and_files_that_do_not_fit_are_refused() {
    let good = rte(vec![0, 1], A[0], TWO);
    let test = rte(vec![-1, -1], A[0], TWO);
    let name = |split: &str| format!("rte/{split}-00000-of-00001.parquet");
    let (train, dev, tests) = (name("train"), name("validation"), name("test"));
    let source = TempDir::new().expect("a folder");
    let write = |content: &[u8]| {
        write_files(
            source.path(),
            &[
                (train.as_str(), good.clone()),
                (dev.as_str(), content.to_vec()),
                (tests.as_str(), test.clone()),
            ],
        );
    };
    let from = source.path().display().to_string();
    let take = |dir: &TempDir| download(dir.path(), &["RTE"], Some(&from), "http://127.0.0.1:9");

    write(&good);
    let dir = TempDir::new().expect("a folder");
    take(&dir).unwrap_or_else(|told| panic!("{told}"));
    assert!(read(dir.path(), "RTE/dev.tsv").ends_with("\tNora never left.\tnot_entailment\n"));
    assert!(
        source.path().join(&train).is_file(),
        "the user's files stay"
    );

    let mirrored = good.clone();
    let server = Server::start(move |asked, _| match asked.path.contains("/rte/") {
        true => Answer::ranged(&mirrored, asked, "e"),
        false => Answer::status(404),
    });
    let dir = TempDir::new().expect("a folder");
    let mirror = format!("{}/copy", server.url);
    download(dir.path(), &["RTE"], Some(&mirror), "http://127.0.0.1:9")
        .unwrap_or_else(|told| panic!("{told}"));
    assert!(read(dir.path(), "download.json").contains("/copy/rte/train-00000"));

    let mut flipped = good.clone();
    for byte in &mut flipped[8..60] {
        *byte ^= 0xff;
    }
    let cases = [
        (
            good[..good.len() - 9].to_vec(),
            "it is no whole Parquet file",
        ),
        (flipped, "validation-00000-of-00001.parquet"),
        (
            b"<html>not found</html>".to_vec(),
            "it is no whole Parquet file",
        ),
        (
            rte(vec![0, 1], "a\ttab", TWO),
            "row 0 (from 0): `sentence1`",
        ),
        (
            rte(vec![0, 1], "a\nline", TWO),
            "holds '\\n', for which the official table has no place",
        ),
        (rte(vec![0, -1], A[0], TWO), "row 1 (from 0): `label`"),
        (rte(vec![0, 2], A[0], TWO), "is 2, and 0 to 1 were expected"),
        (
            rte(vec![0, 1], A[0], &["not_entailment", "entailment"]),
            "its classes are not_entailment, entailment, and entailment, not_entailment were expected",
        ),
        (
            parquet_file(
                &[
                    texts("sentence1", &A),
                    Column::Class("label", vec![0, 1, 0]),
                ],
                None,
            ),
            "it has no column `sentence2`; its columns are sentence1, label, idx",
        ),
        (
            parquet_file(
                &[
                    texts("sentence1", &A),
                    texts("sentence2", &B),
                    Column::Score("label", vec![0.5; 3]),
                ],
                None,
            ),
            "which is of another kind than expected",
        ),
    ];
    for (content, words) in cases {
        write(&content);
        let dir = TempDir::new().expect("a folder");
        let told = take(&dir).expect_err(words);
        assert!(
            told.contains(words) && told.contains("rte/validation-00000-of-00001.parquet"),
            "{words}\n{told}"
        );
        assert!(!dir.path().join("data/glue").exists(), "{words}");
        assert_eq!(
            tree(&dir.path().join("data/.download")),
            ["glue.lock", "glue/"],
            "{words}"
        );
    }
    fs::remove_file(source.path().join(&tests)).expect("removed");
    let dir = TempDir::new().expect("a folder");
    let told = take(&dir).expect_err("a file is missing");
    assert!(
        told.contains("has no rte/test-00000-of-00001.parquet, which RTE needs"),
        "{told}"
    );
}

#[test]
fn a_damaged_file_from_the_hub_leaves_nothing_behind() {
    let mut files = repository();
    for (name, content) in &mut files {
        if name.starts_with("wnli/test") {
            content.truncate(100);
        }
    }
    let server = hub(files);
    let dir = TempDir::new().expect("a folder");
    let told = download(dir.path(), &["WNLI"], None, &server.url).expect_err("damaged");
    assert!(
        told.contains("cannot obtain WNLI") && told.contains("wnli/test-00000-of-00001.parquet"),
        "{told}"
    );
    assert!(!dir.path().join("data/glue").exists());
    assert_eq!(
        tree(&dir.path().join("data/.download")),
        ["glue.lock", "glue/"]
    );
}

/// The rows of a task that comes with camtl, over the tables just made.
fn rows(dir: &Path, task: &str, split: &str) -> Vec<Example> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tasks");
    let spec = TaskSpec::from_file(configs.join(format!("{task}.toml"))).expect("a task file");
    read_split(&spec, &dir.join("data"), split)
        .unwrap_or_else(|error| panic!("{task} {split}: {error}"))
}

#[test]
fn the_tables_are_read_by_the_task_files() {
    let server = hub(repository());
    let dir = TempDir::new().expect("a folder");
    download(dir.path(), &[], None, &server.url).unwrap_or_else(|told| panic!("{told}"));
    let class = |class| Some(Label::Class(class));
    // Classes 1, 0, 1 of the hub in the order of the task files.
    let expected = [
        ("cola", [1, 0, 1]),
        ("sst-2", [1, 0, 1]),
        ("mrpc", [1, 0, 1]),
        ("qqp", [1, 0, 1]),
        ("mnli", [2, 1, 2]),
        ("qnli", [1, 0, 1]),
        ("rte", [1, 0, 1]),
        ("wnli", [1, 0, 1]),
    ];
    for (task, classes) in expected {
        for split in ["train", "dev", "test"] {
            let found = rows(dir.path(), task, split);
            let texts: Vec<&str> = found.iter().map(|row| row.text_a.as_str()).collect();
            assert_eq!(texts, A, "{task} {split}");
            let labels: Vec<Option<Label>> = found.iter().map(|row| row.label).collect();
            match split {
                "test" => assert_eq!(labels, [None; 3], "{task}"),
                _ => assert_eq!(labels, classes.map(class), "{task} {split}"),
            }
            if !matches!(task, "cola" | "sst-2") {
                assert_eq!(found[2].text_b.as_deref(), Some(B[2]), "{task} {split}");
            }
        }
        assert_eq!(
            rows(dir.path(), task, "test")[2].key.as_deref(),
            Some("2"),
            "{task}"
        );
    }
    let scores: Vec<Option<Label>> = rows(dir.path(), "sts-b", "dev")
        .iter()
        .map(|row| row.label)
        .collect();
    assert_eq!(
        scores,
        [4.75, 0.0, 5.0].map(|score| Some(Label::Score(score)))
    );
    assert_eq!(rows(dir.path(), "sts-b", "test").len(), 3);
    for split in ["dev_mismatched", "test_mismatched", "test_ax"] {
        assert_eq!(rows(dir.path(), "mnli", split).len(), 3, "{split}");
    }
}
