//! `camtl submit` and `camtl eval` with the shipped task files of SuperGLUE, over small files of our own.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::Dir;

const TASKS: [&str; 8] = [
    "boolq",
    "cb",
    "copa",
    "multirc",
    "record",
    "rte-superglue",
    "wic",
    "wsc",
];
/// Of each split so many rows; test rows are called 7, 10, 13, ...
const ROWS: usize = 4;
const WORDS: [&str; 8] = [
    "river", "stone", "house", "road", "cloud", "bread", "night", "field",
];

fn word(at: usize) -> &'static str {
    WORDS[at % WORDS.len()]
}

fn lines(rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter().map(|row| format!("{row}\n")).collect()
}

/// Writes `train`, `val` and `test`; `row` gives a row without its label and `label` the label.
fn write_splits(
    dir: &Dir,
    folder: &str,
    row: impl Fn(usize) -> Value,
    label: impl Fn(usize) -> Value,
) {
    for (split, labelled) in [("train", true), ("val", true), ("test", false)] {
        let rows = (0..ROWS).map(|at| {
            let mut row = row(at);
            row["idx"] = json!(7 + 3 * at);
            if labelled {
                row["label"] = label(at);
            }
            row
        });
        dir.write(
            &format!("data/superglue/{folder}/{split}.jsonl"),
            lines(rows),
        );
    }
}

/// One passage with two questions and one with one question.
fn multirc(labelled: bool) -> String {
    let answer = |idx: usize| {
        let mut answer = json!({"text": word(idx), "idx": idx});
        if labelled {
            answer["label"] = json!(idx % 2);
        }
        answer
    };
    let question = |idx: usize, answers: &[usize]| {
        let answers: Vec<Value> = answers.iter().map(|idx| answer(*idx)).collect();
        json!({"question": word(idx), "idx": idx, "answers": answers})
    };
    lines([
        json!({"idx": 4, "passage": {"text": "warm river", "questions": [question(9, &[20, 21]), question(10, &[22])]}}),
        json!({"idx": 6, "passage": {"text": "cold stone", "questions": [question(11, &[23, 25])]}}),
    ])
}

fn record(labelled: bool) -> String {
    let query = |idx: usize, right: &str| {
        let mut query = json!({"query": format!("{} @placeholder", word(idx)), "idx": idx});
        if labelled {
            query["answers"] = json!([{"text": right, "start": 0, "end": 0}]);
        }
        query
    };
    lines([
        json!({
            "idx": 2,
            "passage": {"text": "river stone house", "entities": [{"start": 0, "end": 4}, {"start": 12, "end": 16}]},
            "qas": [query(31, "river"), query(32, "house")],
        }),
        json!({
            "idx": 3,
            "passage": {"text": "cloud bread", "entities": [{"start": 6, "end": 10}, {"start": 0, "end": 4}]},
            "qas": [query(35, "cloud")],
        }),
    ])
}

fn project() -> Dir {
    let dir = Dir::new();
    dir.write_encoder();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tasks");
    for task in TASKS {
        let name = format!("{task}.toml");
        let text = std::fs::read(configs.join(&name)).expect("a shipped task file");
        dir.write(&format!("tasks/{name}"), text);
    }
    write_splits(
        &dir,
        "BoolQ",
        |at| json!({"passage": word(at), "question": word(at + 1)}),
        |at| json!(at % 2 == 0),
    );
    let pair = |at: usize| json!({"premise": word(at), "hypothesis": word(at + 2)});
    let commitments = ["entailment", "contradiction", "neutral"];
    write_splits(&dir, "CB", pair, |at| json!(commitments[at % 3]));
    let two = ["entailment", "not_entailment"];
    write_splits(&dir, "RTE", pair, |at| json!(two[at % 2]));
    write_splits(
        &dir,
        "COPA",
        |at| {
            let question = if at % 2 == 0 { "cause" } else { "effect" };
            json!({"premise": word(at), "question": question, "choice1": word(at + 1), "choice2": word(at + 2)})
        },
        |at| json!(at % 2),
    );
    write_splits(
        &dir,
        "WiC",
        |at| {
            let text = format!("{} warm", word(at));
            let end = word(at).len();
            json!({"sentence1": text, "sentence2": text, "start1": 0, "end1": end, "start2": 0, "end2": end})
        },
        |at| json!(at % 2 == 0),
    );
    write_splits(
        &dir,
        "WSC",
        |at| {
            let target = json!({"span1_text": word(at), "span1_index": 0, "span2_text": "cold", "span2_index": 1});
            json!({"text": format!("{} cold", word(at)), "target": target})
        },
        |at| json!(at % 2 == 0),
    );
    for (split, labelled) in [("train", true), ("val", true), ("test", false)] {
        dir.write(
            &format!("data/superglue/MultiRC/{split}.jsonl"),
            multirc(labelled),
        );
        dir.write(
            &format!("data/superglue/ReCoRD/{split}.jsonl"),
            record(labelled),
        );
    }
    let names: Vec<String> = TASKS
        .iter()
        .map(|task| format!("\"tasks/{task}.toml\""))
        .collect();
    dir.write(
        "run.toml",
        format!(
            "[data]\ndir = \"data\"\ntasks = [{}]\nmax_length = 16\n[model]\nencoder = \"encoder\"\n\
             [sampler]\nkind = \"uniform\"\n[train]\nseed = 3\ndevice = \"cpu\"\nthreads = 2\nbatch_size = 8\n\
             max_steps = 6\nlearning_rate = 3e-3\n",
            names.join(", ")
        ),
    );
    dir.train(&[]);
    dir
}

fn write_diagnostics(dir: &Dir) {
    let broad = (0..ROWS).map(|at| {
        // The identifiers of AX-b are strings.
        let idx = (40 + at).to_string();
        let label = if at % 2 == 0 {
            "entailment"
        } else {
            "not_entailment"
        };
        json!({"sentence1": word(at), "sentence2": word(at + 3), "idx": idx, "label": label})
    });
    dir.write("data/superglue/AX-b/AX-b.jsonl", lines(broad));
    let winogender = (0..ROWS).map(|at| {
        let label = if at < 2 {
            "entailment"
        } else {
            "not_entailment"
        };
        json!({"premise": word(at), "hypothesis": word(at / 2), "idx": 50 + at, "label": label})
    });
    dir.write("data/superglue/AX-g/AX-g.jsonl", lines(winogender));
}

fn read(dir: &Dir, file: &str) -> Vec<Value> {
    let text = dir.read(file);
    assert!(text.ends_with('\n'), "{file}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: {error}")))
        .collect()
}

/// Every line is `{"idx": ..., "label": ...}` with these numbers, in this order, and one of these labels.
fn check_rows(dir: &Dir, file: &str, idx: &[u64], labels: &[Value]) -> Vec<Value> {
    let rows = read(dir, &format!("out/{file}"));
    for row in &rows {
        let object = row.as_object().expect("an object");
        assert_eq!(object.len(), 2, "{file}: {row}");
        assert!(labels.contains(&row["label"]), "{file}: {row}");
    }
    let found: Vec<&Value> = rows.iter().map(|row| &row["idx"]).collect();
    let expected: Vec<Value> = idx.iter().map(|idx| json!(idx)).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{file}");
    rows.iter().map(|row| row["label"].clone()).collect()
}

#[test]
fn submissions_have_the_form_that_superglue_takes() {
    let dir = project();
    // Without the diagnostics: their files are left out, and it is said so.
    let ran = dir.run(["submit", "runs/first", "--out", "out"]).success();
    assert!(
        ran.stderr
            .contains("AX-b.jsonl is not there; its file is left out"),
        "{ran}"
    );
    assert_eq!(dir.names("out").len(), 8, "{:?}", dir.names("out"));

    write_diagnostics(&dir);
    let ran = dir.run(["submit", "runs/first", "--out", "out"]).success();
    assert_eq!(
        dir.names("out"),
        [
            "AX-b.jsonl",
            "AX-g.jsonl",
            "BoolQ.jsonl",
            "CB.jsonl",
            "COPA.jsonl",
            "MultiRC.jsonl",
            "RTE.jsonl",
            "ReCoRD.jsonl",
            "WSC.jsonl",
            "WiC.jsonl"
        ]
    );
    assert!(
        ran.stdout
            .lines()
            .any(|line| line.starts_with("out/MultiRC.jsonl") && line.ends_with('2')),
        "{ran}"
    );
    let test: Vec<u64> = (0..ROWS as u64).map(|at| 7 + 3 * at).collect();
    // Truth values are strings, options are numbers.
    let truth = [json!("false"), json!("true")];
    let two = [json!("entailment"), json!("not_entailment")];
    for file in ["BoolQ.jsonl", "WiC.jsonl", "WSC.jsonl"] {
        check_rows(&dir, file, &test, &truth);
    }
    check_rows(
        &dir,
        "CB.jsonl",
        &test,
        &[
            json!("entailment"),
            json!("contradiction"),
            json!("neutral"),
        ],
    );
    check_rows(&dir, "COPA.jsonl", &test, &[json!(0), json!(1)]);
    let rte = check_rows(&dir, "RTE.jsonl", &test, &two);
    check_rows(&dir, "AX-b.jsonl", &[40, 41, 42, 43], &two);
    let winogender = check_rows(&dir, "AX-g.jsonl", &[50, 51, 52, 53], &two);
    // A line for a query, answered by an entity of its passage.
    let entities = check_rows(
        &dir,
        "ReCoRD.jsonl",
        &[31, 32, 35],
        &[
            json!("river"),
            json!("house"),
            json!("cloud"),
            json!("bread"),
        ],
    );
    for (answer, passage) in entities
        .iter()
        .zip(["river house", "river house", "cloud bread"])
    {
        assert!(
            passage.contains(answer.as_str().expect("a string")),
            "{answer}"
        );
    }
    // A line for a passage, nested as the data is.
    let mut passages = read(&dir, "out/MultiRC.jsonl");
    for passage in &mut passages {
        for question in passage["passage"]["questions"]
            .as_array_mut()
            .expect("questions")
        {
            for answer in question["answers"].as_array_mut().expect("answers") {
                assert!([json!(0), json!(1)].contains(&answer["label"]), "{answer}");
                answer["label"] = json!("either");
            }
        }
    }
    let answers = |idx: &[u64]| -> Vec<Value> {
        idx.iter()
            .map(|idx| json!({"idx": idx, "label": "either"}))
            .collect()
    };
    assert_eq!(
        passages,
        [
            json!({"idx": 4, "passage": {"questions": [
                {"idx": 9, "answers": answers(&[20, 21])},
                {"idx": 10, "answers": answers(&[22])},
            ]}}),
            json!({"idx": 6, "passage": {"questions": [{"idx": 11, "answers": answers(&[23, 25])}]}}),
        ]
    );
    assert!(
        dir.read("out/BoolQ.jsonl")
            .starts_with("{\"idx\":7,\"label\":\""),
        "idx comes first"
    );

    // The labels are predict's.
    let input: String = (0..ROWS)
        .map(|at| format!("{}\t{}\n", word(at), word(at + 2)))
        .collect();
    let predicted = dir
        .run_with_input(
            [
                "predict",
                "runs/first",
                "--task",
                "rte-superglue",
                "--no-header",
            ],
            input.as_bytes(),
        )
        .success();
    let predicted: Vec<Value> = predicted
        .stdout
        .lines()
        .map(|line| json!(line.split('\t').next().expect("a label")))
        .collect();
    assert_eq!(rte, predicted);

    // The diagnostics are scored by their own measures, which the submitted labels bear out.
    let evaluated = |split: &str| -> Value {
        let arguments = [
            "eval",
            "runs/first",
            "--task",
            "rte-superglue",
            "--json",
            "--split",
        ];
        let ran = dir.run(arguments.iter().chain(&[split])).success();
        serde_json::from_str(&ran.stdout).expect("JSON")
    };
    let right = winogender[..2]
        .iter()
        .filter(|label| **label == two[0])
        .count()
        + winogender[2..]
            .iter()
            .filter(|label| **label == two[1])
            .count();
    let alike =
        usize::from(winogender[0] == winogender[1]) + usize::from(winogender[2] == winogender[3]);
    let report = evaluated("ax-g");
    assert_eq!(
        report["tasks"]["rte-superglue"],
        json!({"accuracy": right as f64 / 4.0, "gender_parity": alike as f64 / 2.0})
    );
    assert_eq!(report["average"], json!(right as f64 / 4.0));
    let broad = &evaluated("ax-b")["tasks"]["rte-superglue"];
    assert_eq!(
        broad.as_object().map(serde_json::Map::len),
        Some(1),
        "{broad}"
    );
    assert!(broad["mcc"].is_number(), "{broad}");
}

#[test]
fn identifiers_that_the_server_cannot_know_are_told() {
    let dir = project();
    let file = "data/superglue/MultiRC/test.jsonl";
    dir.write(
        file,
        multirc(false).replace("\"idx\":10", "\"idx\":\"ten\""),
    );
    dir.run(["submit", "runs/first", "--out", "out", "--task", "multirc"])
        .fails_with(
            1,
            &[
                "MultiRC/test.jsonl: the identifiers `4-ten-22` are not whole numbers",
                "hint:",
            ],
        );
    assert!(!dir.path("out").exists());
}
