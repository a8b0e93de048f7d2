//! The quickstart at a fraction of its size: what it leaves, and that it replaces only its own.

mod support;

use serde_json::Value;
use support::Dir;

const TINY: [&str; 4] = ["quickstart", "--scale", "0.01", "--quiet"];

fn summary(dir: &Dir, run: &str) -> Value {
    serde_json::from_str(&dir.read(&format!("{run}/summary.json"))).expect("JSON")
}

/// The summary without wall-clock figures.
fn lasting(mut summary: Value) -> Value {
    let root = summary.as_object_mut().unwrap();
    root.remove("throughput");
    let comparison = root["comparison"].as_object_mut().unwrap();
    comparison["warm_start"]
        .as_object_mut()
        .unwrap()
        .remove("seconds");
    for method in comparison["methods"].as_object_mut().unwrap().values_mut() {
        method.as_object_mut().unwrap().remove("seconds");
    }
    summary
}

#[test]
fn it_leaves_runs_a_table_and_a_summary_and_is_reproducible() {
    let dir = Dir::new();
    let ran = dir.run(TINY).success();
    assert_eq!(ran.stderr, "");
    for text in [
        "held-out scores",
        "CA-MTL  multi-task  single-task",
        "acceptability mcc",
        "inference accuracy",
        "paraphrase f1",
        "sentiment accuracy",
        "similarity spearman",
        "average over tasks",
        "gradient examples",
        "trained per task",
    ] {
        let squeezed = ran
            .stdout
            .split("  ")
            .filter(|part| !part.is_empty())
            .map(str::trim)
            .collect::<Vec<_>>()
            .join("  ");
        assert!(squeezed.contains(text), "{text} is missing\n{ran}");
    }
    assert_eq!(
        dir.names("runs/quickstart"),
        [
            "ca-mtl",
            "data",
            "encoder",
            "multi-task",
            "quickstart.json",
            "single-task",
            "summary.json",
            "tasks"
        ]
    );
    assert_eq!(
        dir.names("runs"),
        ["quickstart"],
        "nothing of the work is left"
    );
    let first = summary(&dir, "runs/quickstart");
    for key in [
        "tasks",
        "average",
        "task_sigma",
        "params",
        "data",
        "throughput",
        "steps",
        "seed",
        "version",
    ] {
        assert!(!first[key].is_null(), "{key} is missing");
    }
    let methods = &first["comparison"]["methods"];
    assert_eq!(methods["ca-mtl"]["tasks"], first["tasks"]);
    let budget = |method: &str| methods[method]["steps"].as_u64().unwrap();
    assert_eq!(budget("ca-mtl"), budget("multi-task"));
    assert_eq!(budget("ca-mtl"), budget("single-task"));
    let trained = |method: &str| methods[method]["trained_parameters"].as_u64().unwrap();
    assert!(
        trained("multi-task") < trained("ca-mtl") && trained("ca-mtl") < trained("single-task")
    );

    // The hint works, and so do the other commands on the runs.
    let hint = ran
        .stdout
        .lines()
        .find(|line| line.starts_with("next: "))
        .expect("a next: line");
    assert!(
        hint.contains("camtl predict runs/quickstart/ca-mtl --task sentiment"),
        "{hint}"
    );
    let sentence = hint.split('\'').nth(1).expect("a quoted sentence");
    let arguments = ["predict", "runs/quickstart/ca-mtl", "--task", "sentiment"];
    let answer = dir.run_with_input(arguments, sentence.as_bytes()).success();
    assert_eq!(answer.stdout.lines().count(), 2);
    let eval = dir
        .run([
            "eval",
            "runs/quickstart/ca-mtl",
            "--split",
            "test",
            "--json",
        ])
        .success();
    let eval: Value = serde_json::from_str(&eval.stdout).unwrap();
    assert_eq!(eval["tasks"], first["tasks"]);
    dir.run([
        "report",
        "runs/quickstart/ca-mtl",
        "runs/quickstart/multi-task",
    ])
    .success();

    // Again: the same figures in place of the earlier ones.
    dir.write("runs/quickstart/ca-mtl/mark", "of the first");
    dir.run(TINY).success();
    assert_eq!(lasting(summary(&dir, "runs/quickstart")), lasting(first));
    assert!(!dir.path("runs/quickstart/ca-mtl/mark").exists());
}

#[test]
fn it_never_replaces_what_is_not_its_own() {
    let dir = Dir::new();
    dir.write("mine/summary.json", "{}");
    let mut arguments = TINY.to_vec();
    arguments.extend(["--run", "mine"]);
    dir.run(arguments).fails_with(
        2,
        &[
            "mine exists and is no result of an earlier quickstart",
            "hint:",
        ],
    );
    assert_eq!(dir.names("mine"), ["summary.json"]);
    dir.run(["quickstart", "--threads", "0"])
        .fails_with(2, &["--threads is 0"]);
    assert_eq!(dir.names("."), ["mine"]);
}
