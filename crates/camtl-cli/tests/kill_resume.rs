//! A run that is killed or interrupted ends, once resumed, with the bytes of an undisturbed one.

mod support;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::Dir;
use support::fixture::Dice;

/// Long enough that five kills fall into it, whatever the machine.
const LENGTH: [&str; 4] = [
    "--set",
    "train.max_steps=60",
    "--set",
    "eval.every_steps=20",
];

/// The events of a run without their wall-clock figures.
fn events(dir: &Dir, run: &str) -> Vec<Value> {
    dir.read(&format!("{run}/events.jsonl"))
        .lines()
        .map(|line| {
            let mut event: Value = serde_json::from_str(line).expect("an event");
            event.as_object_mut().expect("an object").remove("timing");
            event
        })
        .collect()
}

/// Weights, events and scores of two runs are the same.
#[track_caller]
fn assert_equal(dir: &Dir, run: &str, undisturbed: &str) {
    let weights = |run: &str| dir.bytes(&format!("{run}/model.safetensors"));
    assert!(
        weights(run) == weights(undisturbed),
        "model.safetensors of {run} differs from {undisturbed}'s"
    );
    let (found, expected) = (events(dir, run), events(dir, undisturbed));
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "event {at}");
    }
    assert_eq!(found.len(), expected.len(), "number of events");
    let scores = |run: &str| {
        let summary: Value =
            serde_json::from_str(&dir.read(&format!("{run}/summary.json"))).expect("JSON");
        (
            summary["tasks"].clone(),
            summary["average"].clone(),
            summary["data"].clone(),
        )
    };
    assert_eq!(scores(run), scores(undisturbed));
}

/// Starts a run, or continues it if it has begun, as a user's script would.
fn start(dir: &Dir, run: &str) -> Child {
    let mut arguments = vec!["train", "run.toml", "--run", run];
    arguments.extend(LENGTH);
    if dir.path(run).join("config.toml").exists() {
        arguments.push("--resume");
    }
    dir.start(arguments)
}

#[test]
fn five_kills_at_random_moments_do_not_change_a_byte() {
    let dir = Dir::with_project();
    let began = Instant::now();
    let mut arguments = vec!["train", "run.toml", "--run", "undisturbed"];
    arguments.extend(LENGTH);
    dir.run(arguments).success();
    let whole_run = began.elapsed();

    let seed = match std::env::var("CAMTL_KILL_SEED") {
        Ok(text) => text.parse().expect("CAMTL_KILL_SEED is a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock")
            .as_nanos() as u64,
    };
    eprintln!(
        "moments of the kills: CAMTL_KILL_SEED={seed}, an undisturbed run takes {whole_run:?}"
    );
    let mut dice = Dice::new(seed);
    let mut kills = 0;
    while kills < 5 {
        let mut child = start(&dir, "killed");
        let moment = Duration::from_micros(dice.below(whole_run.as_micros() as usize / 2) as u64);
        let deadline = Instant::now() + moment;
        let mut ended = None;
        while ended.is_none() && Instant::now() < deadline {
            ended = child.try_wait().expect("look at the child");
            std::thread::sleep(Duration::from_millis(1));
        }
        if ended.is_none() {
            child.kill().expect("SIGKILL");
            kills += 1;
            eprintln!(
                "kill {kills} after {moment:?}: {}",
                progress(&dir, "killed")
            );
        }
        let output = child.wait_with_output().expect("wait");
        if let Some(status) = ended {
            assert!(
                status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            // Over before its fifth kill: the remaining ones hit a run that begins anew.
            assert_equal(&dir, "killed", "undisturbed");
            std::fs::remove_dir_all(dir.path("killed")).expect("remove the finished run");
        }
    }
    let last = start(&dir, "killed").wait_with_output().expect("wait");
    assert!(
        last.status.success(),
        "{}",
        String::from_utf8_lossy(&last.stderr)
    );
    assert_equal(&dir, "killed", "undisturbed");
    assert_no_leftovers(&dir.path("killed"));
}

/// How far a run has got.
fn progress(dir: &Dir, run: &str) -> String {
    let checkpoints = dir.path(run).join("checkpoints");
    match std::fs::read_dir(checkpoints) {
        Err(_) => "before the first checkpoint".to_owned(),
        Ok(entries) => {
            let mut names: Vec<String> = entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            format!("checkpoints {names:?}")
        }
    }
}

/// No temporary file is left behind.
fn assert_no_leftovers(run: &Path) {
    for folder in [run.to_path_buf(), run.join("checkpoints")] {
        for entry in std::fs::read_dir(&folder).expect("list").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(
                !name.starts_with(".tmp") && !name.starts_with(".trash"),
                "{} is left in {}",
                name,
                folder.display()
            );
        }
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .expect("run kill");
    assert!(status.success(), "kill {name}");
}

/// Waits until the run has written a training step.
fn wait_for_a_step(dir: &Dir, run: &str, child: &mut Child) {
    let events = dir.path(run).join("events.jsonl");
    let deadline = Instant::now() + Duration::from_secs(300);
    while !std::fs::read_to_string(&events).is_ok_and(|text| text.contains("\"event\":\"step\"")) {
        assert!(
            child.try_wait().expect("look at the child").is_none(),
            "the run ended too early"
        );
        assert!(Instant::now() < deadline, "no step in five minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn ctrl_c_saves_says_how_to_go_on_and_exits_with_130() {
    let dir = Dir::with_project();
    let mut arguments = vec!["train", "run.toml", "--run", "undisturbed"];
    // No scheduled checkpoint: what is resumed is what Ctrl-C saved.
    let length = [
        "--set",
        "train.max_steps=200",
        "--set",
        "checkpoint.every_steps=0",
    ];
    arguments.extend(length);
    dir.run(arguments).success();

    let mut arguments = vec!["train", "run.toml", "--run", "stopped"];
    arguments.extend(length);
    let mut child = dir.start(arguments.clone());
    wait_for_a_step(&dir, "stopped", &mut child);
    signal(&child, "-INT");
    let output = child.wait_with_output().expect("wait");
    let ran = support::Ran::of(output, "interrupted train".to_owned());
    assert_eq!(ran.code, Some(130), "{ran}");
    assert_eq!(ran.stdout, "", "an interrupted run has no result\n{ran}");
    for text in [
        "stopped after step",
        "hint: continue with `camtl train --resume --run stopped`",
    ] {
        assert!(ran.stderr.contains(text), "{text} is missing\n{ran}");
    }
    assert!(!dir.path("stopped/summary.json").exists());
    assert_eq!(dir.names("stopped/checkpoints").len(), 1);

    // The configuration comes from the run folder.
    dir.run(["train", "--resume", "--run", "stopped"]).success();
    assert_equal(&dir, "stopped", "undisturbed");
}

#[test]
fn a_second_ctrl_c_stops_at_once_and_loses_no_checkpoint() {
    let dir = Dir::with_project();
    let mut child = dir.start([
        "train",
        "run.toml",
        "--run",
        "run",
        "--set",
        "train.max_steps=4000",
    ]);
    wait_for_a_step(&dir, "run", &mut child);
    signal(&child, "-INT");
    // It may be gone before the second signal comes.
    let _ = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .output();
    let output = child.wait_with_output().expect("wait");
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let resumed = dir.run([
        "train",
        "--resume",
        "--run",
        "run",
        "--set",
        "train.max_steps=4001",
    ]);
    resumed.fails_with(2, &["train.max_steps: the run has 4000, now 4001"]);
}

#[test]
fn a_run_that_exists_or_is_finished_is_not_overwritten() {
    let dir = Dir::with_project();
    let first = dir.train(&["--set", "train.max_steps=6"]);
    assert!(first.stdout.contains("average"), "{first}");
    let weights = dir.bytes("runs/first/model.safetensors");
    dir.run(["train", "run.toml", "--run", "runs/first"])
        .fails_with(2, &["already holds a run", "--resume"]);
    // Resuming a finished run changes nothing and gives its result again.
    let again = dir
        .run(["train", "--resume", "--run", "runs/first"])
        .success();
    assert_eq!(again.stdout, first.stdout);
    assert!(weights == dir.bytes("runs/first/model.safetensors"));
}
