//! Interrupted runs: the same bytes, whatever happens.

mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use camtl_data::Stream;
use camtl_data::sampler::{PooledUncertainty, RegressionUncertainty};
use camtl_trainer::checkpoint::CheckpointStore;
use camtl_trainer::config::{Export, ScoringDropout};
use camtl_trainer::event_log::read_events;
use camtl_trainer::{Event, Outcome, RunConfig, Summary, TrainError, Trainer};
use support::*;

/// A run with evaluations, checkpoints of the best, dropout in scoring: all state in use.
fn full_config() -> RunConfig {
    let mut config = config();
    config.train.max_steps = Some(17);
    config.train.scoring_dropout = ScoringDropout::Released;
    config.train.exploration = 0.3;
    config.train.log_every_steps = 4;
    config.eval.every_steps = Some(5);
    config.eval.limit = Some(10);
    config.checkpoint.keep_best = true;
    config
}

/// A summary without what depends on the clock.
fn timeless(mut summary: Summary) -> Summary {
    summary.throughput.examples_per_s = 0.0;
    summary.throughput.tokens_per_s = 0.0;
    summary.throughput.scoring_share = 0.0;
    summary
}

fn read_summary(run_dir: &std::path::Path) -> Summary {
    timeless(serde_json::from_slice(&fs::read(run_dir.join("summary.json")).unwrap()).unwrap())
}

#[test]
fn stopping_anywhere_and_resuming_changes_nothing() {
    let config = full_config();
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = folder.path().join("undisturbed");
    let (summary, _) = finish(&mut trainer(&config, Some(&undisturbed)));

    let again = folder.path().join("again");
    finish(&mut trainer(&config, Some(&again)));
    assert!(
        weights(&undisturbed) == weights(&again),
        "two runs with one seed differ"
    );

    let mut stream = Stream::new(99, "stops");
    for round in 0..4 {
        let disturbed = folder.path().join(format!("disturbed-{round}"));
        let mut run = trainer(&config, Some(&disturbed));
        let mut stops: Vec<u64> = (0..3).map(|_| stream.below(18)).collect();
        stops.sort_unstable();
        for stop in stops {
            let outcome = run_until(&mut run, stop);
            assert!(
                matches!(
                    outcome,
                    Outcome::Interrupted {
                        checkpoint: Some(_),
                        ..
                    }
                ),
                "{stop}: {outcome:?}"
            );
            drop(run);
            run = resume(&config, &disturbed).unwrap();
        }
        let (resumed, _) = finish(&mut run);
        assert!(
            weights(&undisturbed) == weights(&disturbed),
            "round {round}: the weights differ"
        );
        assert_eq!(
            written_events(&disturbed),
            written_events(&undisturbed),
            "round {round}"
        );
        assert_eq!(timeless(resumed), timeless(summary.clone()));
        assert_eq!(read_summary(&disturbed), read_summary(&undisturbed));
    }
}

/// Pools, running means and what the training pass told are state as well.
#[test]
fn pools_of_uncertain_examples_survive_stops_and_kills() {
    let mut config = full_config();
    config.train.exploration = 0.0;
    config.sampler = PooledUncertainty {
        pool_size: 6,
        max_age: 3,
        regression: RegressionUncertainty::Own,
        temperature: 0.5,
        floor: 0.25,
        ..PooledUncertainty::default()
    }
    .into();
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = folder.path().join("undisturbed");
    let (summary, _) = finish(&mut trainer(&config, Some(&undisturbed)));
    // A quarter of a batch is scored per update.
    assert!(
        read_events(&undisturbed.join("events.jsonl"))
            .unwrap()
            .iter()
            .all(|event| match event {
                Event::Step {
                    candidates,
                    updates,
                    ..
                } => *candidates == 2 * updates,
                _ => true,
            })
    );

    let killed = folder.path().join("killed");
    for at in [2, 7, 7, 13] {
        let mut run = match killed.exists() {
            true => resume(&config, &killed).unwrap(),
            false => trainer(&config, Some(&killed)),
        };
        run_until(&mut run, at);
        // Work after the checkpoint is lost with the process.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run.run(
                &mut |event| {
                    if matches!(event, Event::Progress { .. }) {
                        std::panic::resume_unwind(Box::new("killed"));
                    }
                },
                &AtomicBool::new(false),
            )
        }));
        assert!(result.is_err(), "{at}");
    }
    let (resumed, _) = finish(&mut resume(&config, &killed).unwrap());
    assert!(weights(&undisturbed) == weights(&killed));
    assert_eq!(written_events(&killed), written_events(&undisturbed));
    assert_eq!(timeless(resumed), timeless(summary));

    config.train.exploration = 0.5;
    let error = config.check().unwrap_err().to_string();
    assert!(
        error.contains("train.exploration") && error.contains("unscored"),
        "{error}"
    );
}

/// A process that ends without any farewell: the trainer is dropped in the middle of the loop, with
/// later events already in the file.
#[test]
fn a_run_that_ends_without_a_word_resumes_from_its_last_checkpoint() {
    let config = full_config();
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = folder.path().join("undisturbed");
    finish(&mut trainer(&config, Some(&undisturbed)));

    let killed = folder.path().join("killed");
    for at in [1, 2, 5, 8, 11, 16, 17] {
        let mut run = match killed.exists() {
            true => resume(&config, &killed).unwrap(),
            false => trainer(&config, Some(&killed)),
        };
        // A panic in the callback leaves everything as a kill would.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run.run(
                &mut |event| {
                    if matches!(event, Event::Progress { step, .. } if *step == at) {
                        std::panic::resume_unwind(Box::new("killed"));
                    }
                },
                &AtomicBool::new(false),
            )
        }));
        assert!(result.is_err(), "{at}");
    }
    finish(&mut resume(&config, &killed).unwrap());
    assert!(weights(&undisturbed) == weights(&killed));
    assert_eq!(written_events(&killed), written_events(&undisturbed));
}

#[test]
fn an_evaluation_can_be_interrupted() {
    let mut config = full_config();
    config.eval.batch_tokens = 32;
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = folder.path().join("undisturbed");
    finish(&mut trainer(&config, Some(&undisturbed)));

    let disturbed = folder.path().join("disturbed");
    let mut run = trainer(&config, Some(&disturbed));
    // In the scheduled evaluations after 5 and 10 updates and in the last one.
    for wanted in [1, 1, 2, 1] {
        let (stop, mut seen) = (AtomicBool::new(false), 0);
        let outcome = run.run(
            &mut |event| {
                if matches!(event, Event::Evaluating { .. }) {
                    seen += 1;
                    if seen == wanted {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            },
            &stop,
        );
        assert!(matches!(outcome.unwrap(), Outcome::Interrupted { .. }));
        drop(run);
        run = resume(&config, &disturbed).unwrap();
        if wanted == 2 {
            // Let the evaluation after 10 updates pass.
            assert!(matches!(
                run_until(&mut run, 12),
                Outcome::Interrupted { step: 12, .. }
            ));
            drop(run);
            run = resume(&config, &disturbed).unwrap();
        }
    }
    finish(&mut run);
    assert!(weights(&undisturbed) == weights(&disturbed));
    assert_eq!(written_events(&disturbed), written_events(&undisturbed));
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over_loudly() {
    let config = config();
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = folder.path().join("undisturbed");
    finish(&mut trainer(&config, Some(&undisturbed)));

    let dir = folder.path().join("run");
    let mut run = trainer(&config, Some(&dir));
    run_until(&mut run, 10);
    drop(run);
    let store = CheckpointStore::new(&dir);
    assert_eq!(store.steps().unwrap(), [9, 10], "the last two are kept");
    let victim = store.path(10).join("optimizer.safetensors");
    let mut bytes = fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&victim, bytes).unwrap();
    let mut run = resume(&config, &dir).unwrap();
    let (_, events) = finish(&mut run);
    let damaged = events.iter().find_map(|event| match event {
        Event::CheckpointDamaged { folder, problem } => Some((folder.clone(), problem.clone())),
        _ => None,
    });
    let (path, problem) = damaged.unwrap();
    assert_eq!(path, store.path(10));
    assert!(
        problem.contains("optimizer.safetensors has checksum"),
        "{problem}"
    );
    assert!(weights(&undisturbed) == weights(&dir));
    assert_eq!(written_events(&dir), written_events(&undisturbed));

    // All damaged: an error that names each.
    drop(run);
    for step in store.steps().unwrap() {
        fs::write(store.path(step).join("state.json"), "{}").unwrap();
    }
    let error = resume(&config, &dir).unwrap_err().to_string();
    assert!(
        error.contains("no checkpoint in") && error.contains("state.json has 2 bytes"),
        "{error}"
    );
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_starts_again() {
    let mut config = config();
    config.checkpoint.every_steps = 0;
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = folder.path().join("undisturbed");
    finish(&mut trainer(&config, Some(&undisturbed)));
    let dir = folder.path().join("run");
    drop(trainer(&config, Some(&dir)));
    finish(&mut resume(&config, &dir).unwrap());
    assert!(weights(&undisturbed) == weights(&dir));
    assert_eq!(written_events(&dir), written_events(&undisturbed));
}

#[test]
fn a_finished_run_can_be_resumed_to_the_same_end() {
    let config = config();
    let folder = tempfile::tempdir().unwrap();
    let (summary, _) = finish(&mut trainer(&config, Some(folder.path())));
    let (before, events) = (weights(folder.path()), written_events(folder.path()));
    // As if killed between the last checkpoint and the export.
    for file in ["model.safetensors", "camtl.json", "summary.json"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let (again, _) = finish(&mut resume(&config, folder.path()).unwrap());
    assert_eq!(timeless(again), timeless(summary));
    assert!(weights(folder.path()) == before);
    assert_eq!(written_events(folder.path()), events);
}

#[test]
fn changed_settings_are_refused_key_by_key() {
    let config = config();
    let folder = tempfile::tempdir().unwrap();
    let mut run = trainer(&config, Some(folder.path()));
    run_until(&mut run, 4);
    drop(run);

    let mut changed = config.clone();
    changed.train.learning_rate = 5e-5;
    changed.train.max_steps = Some(99);
    changed.model.freeze = "0-0".parse().unwrap();
    changed.early_stopping.patience = Some(3);
    changed.eval.every_steps = Some(3);
    let error = resume(&changed, folder.path()).unwrap_err().to_string();
    for line in [
        "train.learning_rate: the run has 0.001, now 0.00005",
        "train.max_steps: the run has 12, now 99",
        "model.freeze: the run has \"none\", now \"0-0\"",
        "early_stopping.patience: the run has not set, now 3",
        "eval.every_steps",
        "start a new run",
    ] {
        assert!(error.contains(line), "{line} in {error}");
    }
    assert_eq!(error.lines().count(), 7, "{error}");

    // Where things lie may change.
    let mut moved = config.clone();
    moved.data.dir = "elsewhere".into();
    moved.data.cache_dir = "elsewhere".into();
    moved.model.encoder = "elsewhere".into();
    resume(&moved, folder.path()).unwrap();

    // Other training data under the same settings.
    let mut tasks = raw_tasks();
    tasks[0].1.get_mut("train").unwrap()[0].text_a = "a bad book".into();
    let datasets = encode(tasks);
    let model = model(&config, &datasets);
    let error = Trainer::resume(config.clone(), datasets, folder.path(), || Ok(model))
        .unwrap_err()
        .to_string();
    assert!(error.contains("the training data has changed"), "{error}");

    // Other tasks.
    let mut datasets = datasets_without_last();
    let model = support::model(&config, &datasets);
    let error = Trainer::resume(config.clone(), datasets, folder.path(), || Ok(model))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(
            "data.tasks: the run has sentiment, agreement, warmth, now sentiment, agreement"
        ),
        "{error}"
    );
    datasets = support::datasets();
    datasets[0].spec.title = Some("other".into());
    let model = support::model(&config, &datasets);
    let error = Trainer::resume(config, datasets, folder.path(), || Ok(model))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the task file of `sentiment` has changed"),
        "{error}"
    );
}

fn datasets_without_last() -> Vec<camtl_data::TaskDataset> {
    let mut datasets = support::datasets();
    datasets.pop();
    datasets
}

#[test]
fn run_folders_are_protected() {
    let config = config();
    let folder = tempfile::tempdir().unwrap();
    let error = resume(&config, folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds no run to resume"), "{error}");
    let first = trainer(&config, Some(folder.path()));
    let error = resume(&config, folder.path()).unwrap_err();
    assert!(matches!(error, TrainError::Locked { .. }), "{error}");
    drop(first);
    let datasets = datasets();
    let model = model(&config, &datasets);
    let error = Trainer::new(config, datasets, model, Some(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("already holds a run (config.toml); continue it with --resume"),
        "{error}"
    );
}

#[test]
fn the_best_and_the_last_checkpoints_are_kept() {
    let mut config = config();
    config.train.max_steps = Some(20);
    // A learning rate that ruins the model: the first evaluation is the best.
    config.train.learning_rate = 0.3;
    config.train.warmup_ratio = 0.0;
    config.eval.every_steps = Some(2);
    config.checkpoint.every_steps = 3;
    config.checkpoint.keep_best = true;
    config.checkpoint.export = Export::Best;
    let folder = tempfile::tempdir().unwrap();
    let (_, events) = finish(&mut trainer(&config, Some(folder.path())));
    let mut best = (0, f64::MIN);
    for event in &events {
        if let Event::Evaluated {
            step,
            average,
            best: is_best,
            ..
        } = event
        {
            assert_eq!(*is_best, *average > best.1);
            if *is_best {
                best = (*step, *average);
            }
        }
    }
    let store = CheckpointStore::new(folder.path());
    let mut expected = vec![18, 20];
    expected.push(best.0);
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(store.steps().unwrap(), expected);
    let exported = fs::read(store.path(best.0).join("model.safetensors")).unwrap();
    assert!(weights(folder.path()) == exported);
    camtl_model::Model::load(folder.path(), tch::Device::Cpu).unwrap();
}

#[test]
fn checkpoints_can_be_deleted_at_the_end() {
    let mut config = config();
    config.checkpoint.keep_when_finished = false;
    let folder = tempfile::tempdir().unwrap();
    finish(&mut trainer(&config, Some(folder.path())));
    assert!(
        CheckpointStore::new(folder.path())
            .steps()
            .unwrap()
            .is_empty()
    );
    let error = resume(&config, folder.path()).unwrap_err();
    assert!(matches!(error, TrainError::Finished { .. }), "{error}");
}

#[test]
fn a_full_disk_leaves_the_earlier_checkpoint() {
    let config = config();
    let folder = tempfile::tempdir().unwrap();
    let mut run = trainer(&config, Some(folder.path()));
    run_until(&mut run, 4);
    let store = CheckpointStore::new(folder.path());
    assert_eq!(store.steps().unwrap(), [3, 4]);
    // A file where the checkpoints' folder was stands in for the disk's refusal.
    let (checkpoints, aside) = (
        folder.path().join("checkpoints"),
        folder.path().join("aside"),
    );
    fs::rename(&checkpoints, &aside).unwrap();
    fs::write(&checkpoints, "in the way").unwrap();
    let error = run
        .run(&mut |_| {}, &AtomicBool::new(false))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot save the checkpoint") && error.contains("step-6"),
        "{error}"
    );
    fs::remove_file(&checkpoints).unwrap();
    fs::rename(&aside, &checkpoints).unwrap();
    assert_eq!(store.newest_intact().unwrap().unwrap().0.step, 4);
    drop(run);
    finish(&mut resume(&config, folder.path()).unwrap());
}

#[test]
fn the_run_folder_describes_itself() {
    let config = full_config();
    let folder = tempfile::tempdir().unwrap();
    finish(&mut trainer(&config, Some(folder.path())));
    let stored = RunConfig::from_file(&folder.path().join("config.toml"), &[] as &[&str]).unwrap();
    let specs = stored.task_specs().unwrap();
    let expected: Vec<_> = datasets().into_iter().map(|dataset| dataset.spec).collect();
    assert_eq!(specs, expected);
    let mut expected = config;
    expected.data.tasks = stored.data.tasks.clone();
    assert_eq!(stored, expected);

    let events = read_events(&folder.path().join("events.jsonl")).unwrap();
    assert!(
        matches!(&events[0], Event::RunStarted { total_steps: 17, tasks, .. } if tasks.len() == 3)
    );
    assert!(matches!(
        events.last(),
        Some(Event::Finished {
            step: 17,
            average: Some(_),
            ..
        })
    ));
    let steps: Vec<(u64, u64)> = events
        .iter()
        .filter_map(|event| {
            if let Event::Step { step, updates, .. } = event {
                Some((*step, *updates))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(steps, [(4, 4), (8, 4), (12, 4), (16, 4), (17, 1)]);
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("summary.json")).unwrap()).unwrap();
    for pointer in [
        "/tasks/sentiment/accuracy",
        "/average",
        "/task_sigma",
        "/params/total",
        "/params/trained",
        "/params/total_ratio",
        "/params/trained_per_task_percent",
        "/params/marginal_per_task",
        "/data/distinct_fraction",
        "/data/gradient_fraction",
        "/data/per_task/warmth/selected",
        "/throughput/examples_per_s",
        "/throughput/tokens_per_s",
        "/throughput/scoring_share",
        "/steps",
        "/seed",
    ] {
        assert!(
            summary
                .pointer(pointer)
                .is_some_and(serde_json::Value::is_number),
            "{pointer}"
        );
    }
    assert!(summary["version"].is_string());
    let files: Vec<_> = fs::read_dir(folder.path().join("tb")).unwrap().collect();
    assert_eq!(files.len(), 1);
}
