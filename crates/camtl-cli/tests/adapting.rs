//! `camtl adapt`: one more task for a trained model.

mod support;

use serde_json::{Value, json};
use support::Dir;
use support::fixture::{mood, order, overlap};

/// Says whether a text praises, from files of its own.
const TONE: &str = r#"
name = "tone"
kind = "classification"
labels = ["neg", "pos"]
metrics = ["accuracy"]
format = "tsv"
fields = { text_a = "text", label = "label" }

[files]
train = "tone/train.tsv"
dev = "tone/dev.tsv"
"#;

fn project() -> Dir {
    let dir = Dir::with_project();
    dir.train(&[
        "--set",
        "train.max_steps=200",
        "--set",
        "train.learning_rate=3e-3",
    ]);
    dir.write("tasks/tone.toml", TONE);
    for (split, count, seed) in [("train", 1000, 31), ("dev", 100, 32)] {
        let rows = mood(count, seed);
        let lines = rows
            .iter()
            .map(|(text, label)| format!("{text}\t{label}\n"));
        let file = "text\tlabel\n".to_owned() + &lines.collect::<String>();
        dir.write(&format!("data/tone/{split}.tsv"), file);
    }
    dir
}

fn adapt(dir: &Dir, run: &str, extra: &[&str]) -> support::Ran {
    let arguments = [
        "adapt",
        "runs/first",
        "--task",
        "tasks/tone.toml",
        "--run",
        run,
    ];
    dir.run(arguments.iter().chain(extra))
}

/// The old tasks' answers: every digit of every float, so that equal text means equal bits.
fn old_answers(dir: &Dir, run: &str) -> String {
    let (mood, order, overlap) = (mood(60, 21), order(60, 22), overlap(60, 23));
    let lines: String = (0..60)
        .map(|at| {
            let request = match at % 3 {
                0 => json!({"task": "mood", "text_a": mood[at].0}),
                1 => json!({"task": "order", "text_a": order[at].0, "text_b": order[at].1}),
                _ => json!({"task": "overlap", "text_a": overlap[at].0, "text_b": overlap[at].1}),
            };
            format!("{request}\n")
        })
        .collect();
    dir.run_with_input(["predict", run], lines.as_bytes())
        .success()
        .stdout
}

fn json_file(dir: &Dir, path: &str) -> Value {
    serde_json::from_str(&dir.read(path)).expect("JSON")
}

#[test]
fn a_new_task_is_learned_at_every_fraction_and_the_old_ones_keep_every_bit() {
    let dir = project();
    let before = old_answers(&dir, "runs/first");
    let weights = dir.bytes("runs/first/model.safetensors");
    let old_scores = json_file(&dir, "runs/first/summary.json");
    for (fraction, examples, init) in [
        ("0.001", 1, "random"),
        ("0.01", 10, "mean"),
        ("0.1", 100, "order"),
        ("1", 1000, "mood"),
    ] {
        let run = format!("runs/tone-{fraction}");
        let options = ["--fraction", fraction, "--init-from", init];
        let ran = adapt(&dir, &run, &options).success();
        let told = "the outputs of mood, order, overlap are unchanged, bit for bit";
        assert!(ran.stdout.contains(told), "{ran}");
        // One row of 32, a head of two rows and two biases.
        let counts = format!("tone on {examples} examples, ");
        assert!(ran.stdout.contains(&counts), "{ran}");
        assert!(ran.stdout.contains("98 parameters trained"), "{ran}");
        assert_eq!(old_answers(&dir, &run), before, "fraction {fraction}");
        let summary = json_file(&dir, &format!("{run}/summary.json"));
        for task in ["mood", "order", "overlap"] {
            assert_eq!(summary["tasks"][task], old_scores["tasks"][task]);
        }
        let accuracy = summary["tasks"]["tone"]["accuracy"].as_f64().unwrap();
        if fraction == "1" {
            // The trained model knows these words from `mood`.
            let known = old_scores["tasks"]["mood"]["accuracy"].as_f64().unwrap();
            assert!(known > 0.8 && accuracy > 0.8, "{known} {accuracy}");
        }
        // What the command measured is what eval measures, and serve and predict take the new task.
        let report = dir.run(["eval", &run, "--json"]).success().stdout;
        let report: Value = serde_json::from_str(&report).expect("JSON");
        assert_eq!(report["tasks"], summary["tasks"]);
        let answer = dir
            .run_with_input(["predict", &run, "--task", "tone"], b"warm river\n")
            .success();
        assert_eq!(answer.stdout.lines().count(), 2, "{answer}");
    }
    assert_eq!(dir.bytes("runs/first/model.safetensors"), weights);
    // An adapted run can be adapted again.
    dir.write("tasks/again.toml", TONE.replace("\"tone\"", "\"again\""));
    let arguments = ["adapt", "runs/tone-1", "--task", "tasks/again.toml"];
    dir.run(arguments.iter().chain(&["--set", "train.max_steps=3"]))
        .success();
    assert_eq!(old_answers(&dir, "runs/tone-1-again"), before);
}

#[test]
fn shared_parameters_can_be_trained_and_the_command_says_so() {
    let dir = project();
    let before = old_answers(&dir, "runs/first");
    for (run, freeze) in [
        ("runs/a", "none"),
        ("runs/b", "0-0"),
        ("runs/c", "bert.embeddings.*"),
    ] {
        let options = ["--freeze", freeze, "--set", "train.max_steps=5"];
        let ran = adapt(&dir, run, &options).success();
        let told = "the outputs of mood, order, overlap have changed";
        assert!(ran.stdout.contains(told), "{ran}");
        assert_ne!(old_answers(&dir, run), before, "{freeze}");
        let summary = json_file(&dir, &format!("{run}/summary.json"));
        assert_eq!(summary["tasks"].as_object().unwrap().len(), 1, "{summary}");
    }
}

#[test]
fn an_adaptation_that_was_stopped_ends_as_one_that_was_not() {
    let dir = project();
    let options = [
        "--set",
        "train.max_steps=40",
        "--set",
        "checkpoint.every_steps=10",
    ];
    adapt(&dir, "runs/whole", &options).success();
    // Killed after a checkpoint: the part's folder is there, the run's is not.
    let arguments = [
        "adapt",
        "runs/first",
        "--task",
        "tasks/tone.toml",
        "--run",
        "runs/cut",
    ];
    let mut child = dir.start(arguments.iter().chain(&options));
    while !dir.path("runs/cut/adaptation/checkpoints/step-10").exists() {
        assert!(
            child.try_wait().expect("the child").is_none()
                || dir.path("runs/cut/config.toml").exists()
        );
        if dir.path("runs/cut/config.toml").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    if !dir.path("runs/cut/config.toml").exists() {
        let resumed = [&options[..], &["--resume"]].concat();
        adapt(&dir, "runs/cut", &resumed).success();
    }
    assert_eq!(
        dir.bytes("runs/cut/model.safetensors"),
        dir.bytes("runs/whole/model.safetensors")
    );
}

#[test]
fn what_cannot_be_adapted_is_named() {
    let dir = project();
    let fails = |extra: &[&str], texts: &[&str]| {
        adapt(&dir, "runs/new", extra).fails_with(2, texts);
        assert!(!dir.path("runs/new").exists(), "{extra:?}");
    };
    fails(
        &["--init-from", "moood"],
        &[
            "no task `moood`; it has mood, order, overlap",
            "did you mean mood?",
        ],
    );
    fails(&["--fraction", "0"], &["--fraction is 0"]);
    fails(&["--fraction", "1.5"], &["--fraction is 1.5"]);
    fails(
        &["--freeze", "half"],
        &["--freeze half", "hint: --freeze takes shared, none"],
    );
    fails(
        &["--set", "train.max_stps=3"],
        &["max_stps", "did you mean `max_steps`?"],
    );
    let arguments = ["adapt", "runs/first", "--task", "tasks/mood.toml"];
    dir.run(arguments)
        .fails_with(2, &["has a task `mood` already", "hint:"]);
    dir.run(["adapt", "runs/first", "--task", "tasks/none.toml"])
        .fails_with(2, &["tasks/none.toml"]);
    adapt(&dir, "runs/first", &[]).fails_with(2, &["runs/first"]);
    // The files of the new task are elsewhere.
    std::fs::rename(dir.path("data/tone"), dir.path("tone")).expect("move");
    adapt(&dir, "runs/new", &[]).fails_with(1, &["data/tone/train.tsv"]);
    let options = ["--data-dir", ".", "--set", "train.max_steps=2"];
    adapt(&dir, "runs/moved", &options).success();
    dir.run(["eval", "runs/moved"]).success();
}
