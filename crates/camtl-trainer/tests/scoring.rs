//! How candidates are scored: dropout while scoring, and updates that score nothing.

mod support;

use camtl_data::sampler::SamplerConfig;
use camtl_trainer::config::ScoringDropout;
use camtl_trainer::{Event, RunConfig};
use support::*;

/// The released code scores with dropout, except in the first selection and in the one after an
/// evaluation (docs/method.md).
#[test]
fn released_scoring_has_dropout_but_for_two_exceptions() {
    let mut config = config();
    config.train.max_steps = Some(6);
    // Parameters that do not move: what differs is dropout alone.
    config.train.learning_rate = 0.0;
    config.train.log_every_steps = 1;
    config.eval.every_steps = Some(3);
    config.sampler = SamplerConfig::released();
    let uncertainty = |config: &RunConfig| -> Vec<Option<f64>> {
        let (_, events) = finish(&mut trainer(config, None));
        let tasks = events.iter().filter_map(|event| match event {
            Event::Step { tasks, .. } => Some(tasks["sentiment"].uncertainty),
            _ => None,
        });
        tasks.collect()
    };
    let off = uncertainty(&config);
    config.train.scoring_dropout = ScoringDropout::Released;
    let released = uncertainty(&config);
    let same: Vec<bool> = off.iter().zip(&released).map(|(a, b)| a == b).collect();
    assert_eq!(
        same,
        [true, false, false, true, false, false],
        "{off:?} {released:?}"
    );
}

#[test]
fn exploration_mixes_tasks_and_scores_nothing_in_its_share_of_the_updates() {
    let mut config = config();
    config.train.max_steps = Some(100);
    config.train.log_every_steps = 1;
    config.eval.at_end = false;
    let run = |config: &RunConfig| {
        let (summary, events) = finish(&mut trainer(config, None));
        let scored: Vec<bool> = events
            .iter()
            .filter_map(|event| match event {
                Event::Step {
                    candidates, tasks, ..
                } => {
                    assert_eq!(*candidates > 0, tasks["sentiment"].uncertainty.is_some());
                    Some(*candidates > 0)
                }
                _ => None,
            })
            .collect();
        (summary, scored)
    };
    config.train.exploration = 0.5;
    let (_, scored) = run(&config);
    let share = scored.iter().filter(|scored| **scored).count();
    assert!((35..=65).contains(&share), "{share}");
    // Nothing but exploration: every classification has its turn about equally often.
    config.train.exploration = 1.0;
    let (summary, scored) = run(&config);
    assert!(scored.iter().all(|scored| !scored));
    let selected = |task: &str| summary.data.per_task[task].selected as f64;
    let total = selected("sentiment") + selected("agreement");
    assert!((0.35..0.65).contains(&(selected("agreement") / total)));
    assert_eq!(summary.throughput.scoring_share, 0.0);
}
