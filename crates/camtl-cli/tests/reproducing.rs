//! `camtl reproduce`: the grids, from runs to table, stopped and started again.

mod support;

use serde_json::Value;
use support::Dir;

const SHORT: [&str; 4] = [
    "--set",
    "train.max_steps=6",
    "--set",
    "checkpoint.every_steps=2",
];

fn results(dir: &Dir, run: &str) -> Value {
    serde_json::from_str(&dir.read(&format!("{run}/results.json"))).unwrap()
}

#[test]
fn the_baselines_are_trained_once_and_compared() {
    let dir = Dir::with_project();
    let command = |seeds: &str| {
        let mut command = vec![
            "reproduce",
            "baselines",
            "run.toml",
            "--seeds",
            seeds,
            "--run",
            "grid",
        ];
        command.extend(SHORT);
        dir.run(command)
    };
    let first = command("3").success();
    for expected in [
        "1 one model per task",
        "4 CA-MTL",
        "PALs, annealed sampling",
        "80.9",
        "mood accuracy",
        "6 updates for every row, one seed (3)",
        "run.toml with train.max_steps=6, checkpoint.every_steps=2, encoder",
    ] {
        assert!(first.stdout.contains(expected), "{expected}\n{first}");
    }
    assert_eq!(dir.read("grid/table.txt"), first.stdout);

    // The figures are those of the runs, which are ordinary ones.
    let table = results(&dir, "grid");
    let summary: Value =
        serde_json::from_str(&dir.read("grid/ca-mtl/seed-3/summary.json")).unwrap();
    let row = &table["rows"][3];
    assert_eq!(row["row"]["seeds"][0]["tasks"], summary["tasks"]);
    assert_eq!(row["figures"]["average"], summary["average"]);
    assert_eq!(summary["seed"], 3);
    assert_eq!(summary["steps"], 6);
    dir.run(["eval", "grid/ca-mtl/seed-3"]).success();
    // Tasks by themselves share the updates, and their scores make one row.
    let alone = &table["rows"][0]["row"]["seeds"][0];
    assert_eq!(alone["models"], 3);
    assert_eq!(alone["steps"], 6);
    let mood: Value =
        serde_json::from_str(&dir.read("grid/single-task/seed-3/mood/summary.json")).unwrap();
    assert_eq!(alone["tasks"]["mood"], mood["tasks"]["mood"]);

    // Started again it trains only what is missing: the other seed.
    let trained = dir.bytes("grid/ca-mtl/seed-3/events.jsonl");
    let second = command("3,4").success();
    assert!(
        second.stderr.contains("CA-MTL, seed 3: there already"),
        "{second}"
    );
    assert_eq!(dir.bytes("grid/ca-mtl/seed-3/events.jsonl"), trained);
    assert!(second.stdout.contains('±'), "{second}");
    let table = results(&dir, "grid");
    let weights = |seed: u64| dir.bytes(&format!("grid/ca-mtl/seed-{seed}/model.safetensors"));
    assert_ne!(weights(3), weights(4));
    let seeds = table["rows"][3]["row"]["seeds"].as_array().unwrap();
    assert_eq!(
        (&seeds[0]["seed"], &seeds[1]["seed"]),
        (&3.into(), &4.into())
    );

    // Runs of another configuration are not mixed in.
    dir.run([
        "reproduce",
        "baselines",
        "run.toml",
        "--seeds",
        "3",
        "--run",
        "grid",
        "--set",
        "train.max_steps=7",
    ])
    .fails_with(2, &["max_steps", "--run DIR"]);
}

/// A run that was cut off goes on from its checkpoint, to the bytes of one that was not.
#[test]
fn a_grid_goes_on_where_it_was() {
    let dir = Dir::with_project();
    let grid = |run: &str| {
        let mut command = vec!["reproduce", "freezing", "run.toml", "--run", run];
        command.extend(SHORT);
        dir.run(command).success()
    };
    let whole = grid("whole");
    assert!(whole.stdout.contains("half (1 of 2 layers)"), "{whole}");
    assert!(
        whole.stdout.contains("half, full-block attention"),
        "{whole}"
    );
    // As if it had been killed before its first checkpoint: a configuration, no result.
    let (from, to) = (dir.path("whole/none/seed-3"), dir.path("cut/none/seed-3"));
    std::fs::create_dir_all(to.join("tasks")).unwrap();
    let tasks = dir.names("whole/none/seed-3/tasks");
    let tasks = tasks.iter().map(|name| format!("tasks/{name}"));
    for name in ["config.toml".to_owned(), "events.jsonl".to_owned()]
        .into_iter()
        .chain(tasks)
    {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
    let cut = grid("cut");
    assert_eq!(whole.stdout, cut.stdout);
    assert_eq!(
        dir.bytes("whole/none/seed-3/model.safetensors"),
        dir.bytes("cut/none/seed-3/model.safetensors"),
    );
}

#[test]
fn every_grid_runs_and_says_what_it_needs() {
    let dir = Dir::with_project();
    for (grid, rows) in [("ablation", 5), ("sampling", 6)] {
        let mut command = vec!["reproduce", grid, "run.toml", "--run", grid, "--quiet"];
        command.extend(SHORT);
        let ran = dir.run(command).success();
        assert!(ran.stderr.is_empty(), "{ran}");
        let table = results(&dir, grid);
        assert_eq!(table["rows"].as_array().unwrap().len(), rows);
        for row in table["rows"].as_array().unwrap() {
            assert_eq!(row["row"]["seeds"][0]["steps"], 6, "{row}");
            assert!(row["figures"]["average"].is_number(), "{row}");
        }
    }
    // The ablation starts without modules and ends with the whole method.
    let table = results(&dir, "ablation");
    let trained = |row: usize| {
        let seed = &table["rows"][row]["row"]["seeds"][0];
        seed["trained_per_task_percent"].as_f64().unwrap()
    };
    assert!((0..3).all(|row| trained(row) < trained(row + 1)));
    assert_eq!(trained(3), trained(4));

    dir.run([
        "reproduce",
        "ablation",
        "run.toml",
        "--set",
        "model.conditional_attention=false",
    ])
    .fails_with(2, &["takes parts away", "configs/glue-base.toml"]);
    dir.run(["reproduce", "scaling", "run.toml"])
        .fails_with(2, &["one of the groups", "configs/all-tasks-minilm.toml"]);
    dir.run(["reproduce", "everything", "run.toml"])
        .fails_with(2, &["everything", "ablation"]);
}
