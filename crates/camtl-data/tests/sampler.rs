//! Samplers from outside: loaders, selections worked out by hand, task probabilities, data usage, bad scores.

use std::collections::{BTreeMap, BTreeSet};

use camtl_data::sampler::score::{paper_scores, task_means, top_b};
use camtl_data::sampler::{
    Borrow, DataUsage, ExampleRef, RegressionUncertainty, Sampler, SamplerConfig, SamplerError,
    TaskInfo, UncertaintyForm, build_sampler, steps_per_epoch,
};
use proptest::prelude::*;

fn task(name: &str, train_size: usize, num_outputs: usize) -> TaskInfo {
    TaskInfo {
        name: name.into(),
        train_size,
        num_outputs,
        regression: num_outputs == 1,
    }
}

fn mt_uncertainty(form: UncertaintyForm, regression: RegressionUncertainty) -> SamplerConfig {
    SamplerConfig::MtUncertainty {
        form,
        regression,
        epoch_fraction: 1.0,
        borrow: None,
    }
}

fn build(config: &SamplerConfig, tasks: &[TaskInfo], batch_size: usize) -> Box<dyn Sampler> {
    build_sampler(config, tasks, batch_size, 3.0, 12).unwrap()
}

/// For samplers that do not score.
fn unused(_: &[ExampleRef]) -> Result<Vec<f32>, camtl_data::sampler::BoxError> {
    Err("this sampler must not ask its scorer".into())
}

#[test]
fn every_step_draws_from_every_task_and_loaders_restart_alone() {
    let tasks = [task("a", 10, 2), task("b", 4, 3), task("c", 3, 2)];
    let mut sampler = build(&SamplerConfig::released(), &tasks, 4);
    let mut drawn: BTreeMap<u32, Vec<Vec<u32>>> = BTreeMap::new();
    for _ in 0..30 {
        let mut scorer = |candidates: &[ExampleRef]| {
            for task in 0..3 {
                let batch = candidates
                    .iter()
                    .filter(|c| c.task == task)
                    .map(|c| c.index)
                    .collect();
                drawn.entry(task).or_default().push(batch);
            }
            Ok(vec![0.5; candidates.len()])
        };
        let selection = sampler.next_batch(&mut scorer).unwrap();
        assert_eq!(selection.examples.len(), 4);
    }
    // 10 examples in batches of 4: 4, 4 and a short last one of 2; a task smaller than b is one batch per pass.
    for (task, sizes) in [(0, vec![4, 4, 2]), (1, vec![4]), (2, vec![3])] {
        let batches = &drawn[&task];
        let passes: Vec<Vec<u32>> = batches
            .chunks(sizes.len())
            .map(|pass| pass.concat())
            .collect();
        for (position, batch) in batches.iter().enumerate() {
            assert_eq!(batch.len(), sizes[position % sizes.len()], "task {task}");
        }
        for pass in &passes {
            let mut sorted = pass.clone();
            sorted.sort_unstable();
            assert_eq!(
                sorted,
                (0..pass.len() as u32).collect::<Vec<_>>(),
                "task {task}: each example once per pass"
            );
        }
        assert!(
            passes.iter().collect::<BTreeSet<_>>().len() > 3,
            "task {task}: passes are reshuffled"
        );
    }
}

#[test]
fn a_task_is_drawn_in_the_same_order_whatever_the_other_tasks_are() {
    let order = |tasks: &[TaskInfo], wanted: &str| {
        let position = tasks.iter().position(|task| task.name == wanted).unwrap() as u32;
        let mut sampler = build(&SamplerConfig::released(), tasks, 4);
        let mut seen = Vec::new();
        for _ in 0..12 {
            let mut scorer = |candidates: &[ExampleRef]| {
                seen.extend(
                    candidates
                        .iter()
                        .filter(|c| c.task == position)
                        .map(|c| c.index),
                );
                Ok(vec![0.1; candidates.len()])
            };
            sampler.next_batch(&mut scorer).unwrap();
        }
        seen
    };
    let alone = order(&[task("a", 17, 2)], "a");
    assert_eq!(
        alone,
        order(
            &[task("new", 5, 3), task("a", 17, 2), task("other", 80, 2)],
            "a"
        )
    );
}

/// Scores by task: the j-th candidate of task t has `table[t][j]`.
fn by_position(table: &[Vec<f32>], candidates: &[ExampleRef]) -> Vec<f32> {
    let mut next = vec![0; table.len()];
    candidates
        .iter()
        .map(|candidate| {
            let task = candidate.task as usize;
            next[task] += 1;
            table[task][next[task] - 1]
        })
        .collect()
}

/// Selects from the table and gives `(task, position among its candidates, score)` of the selected.
fn select(
    config: &SamplerConfig,
    tasks: &[TaskInfo],
    batch_size: usize,
    table: &[Vec<f32>],
) -> Vec<(usize, usize, f32)> {
    let mut sampler = build(config, tasks, batch_size);
    let mut drawn: Vec<ExampleRef> = Vec::new();
    let mut scorer = |candidates: &[ExampleRef]| {
        drawn = candidates.to_vec();
        Ok(by_position(table, candidates))
    };
    let selection = sampler.next_batch(&mut scorer).unwrap();
    let scores = selection.scores.unwrap();
    selection
        .examples
        .iter()
        .zip(scores)
        .map(|(example, score)| {
            let own: Vec<&ExampleRef> = drawn.iter().filter(|c| c.task == example.task).collect();
            let position = own
                .iter()
                .position(|candidate| *candidate == example)
                .unwrap();
            (example.task as usize, position, score)
        })
        .collect()
}

fn assert_selected(selected: &[(usize, usize, f32)], expected: &[(usize, usize, f64)]) {
    assert_eq!(selected.len(), expected.len(), "{selected:?}");
    for (own, by_hand) in selected.iter().zip(expected) {
        assert_eq!((own.0, own.1), (by_hand.0, by_hand.1), "{selected:?}");
        assert!(
            (f64::from(own.2) - by_hand.2).abs() < 1e-6,
            "{selected:?}, expected {expected:?}"
        );
    }
}

const LN2: f64 = std::f64::consts::LN_2;

#[test]
fn released_scores_by_hand() {
    // e = H / (ln 2 + 1e-5); means 0.4 and 0.2 over that, so task b counts half.
    let tasks = [task("a", 2, 2), task("b", 2, 2)];
    let table = [vec![0.6f32, 0.2], vec![0.1, 0.3]];
    let selected = select(&SamplerConfig::released(), &tasks, 2, &table);
    let e = |entropy: f64| entropy / (LN2 + 1e-5);
    assert_selected(&selected, &[(0, 0, e(0.6)), (0, 1, e(0.2))]);
}

#[test]
fn paper_scores_by_hand_and_the_two_forms_differ() {
    // Ĥ is the largest mean entropy, 0.4; U = H / (0.4 ln 2).
    let tasks = [task("a", 2, 2), task("b", 2, 2)];
    let table = [vec![0.6f32, 0.2], vec![0.1, 0.3]];
    let selected = select(&SamplerConfig::paper(), &tasks, 2, &table);
    assert_selected(
        &selected,
        &[(0, 0, 0.6 / (0.4 * LN2)), (1, 1, 0.3 / (0.4 * LN2))],
    );
}

#[test]
fn sts_b_borrows_from_mrpc_by_default() {
    for name in ["sts-b", "stsb", "STS-B"] {
        let tasks = [task(name, 3, 1), task("mrpc", 2, 2)];
        let table = [vec![0.9f32, 0.9, 0.9], vec![0.1, 0.5]];
        let e = |entropy: f64| entropy / (LN2 + 1e-5);
        // Ties go to the lower position. The third candidate has no counterpart and keeps score 0.
        let selected = select(&SamplerConfig::released(), &tasks, 3, &table);
        assert_selected(&selected, &[(0, 1, e(0.5)), (1, 1, e(0.5)), (0, 0, e(0.1))]);
    }
}

#[test]
fn borrowing_is_configurable_and_can_be_switched_off() {
    let borrow = |from: &str, to: &str| SamplerConfig::MtUncertainty {
        form: UncertaintyForm::Released,
        regression: RegressionUncertainty::Borrowed,
        epoch_fraction: 1.0,
        borrow: Some(vec![Borrow {
            from: from.into(),
            to: to.into(),
        }]),
    };
    let tasks = [
        task("similarity", 2, 1),
        task("paraphrase", 2, 2),
        task("other", 2, 2),
    ];
    let table = [vec![0.0f32, 0.0], vec![0.2, 0.6], vec![0.1, 0.1]];
    let selected = select(&borrow("paraphrase", "similarity"), &tasks, 2, &table);
    assert_eq!(
        selected.iter().map(|s| (s.0, s.1)).collect::<Vec<_>>(),
        [(0, 1), (1, 1)]
    );

    let off = SamplerConfig::MtUncertainty {
        form: UncertaintyForm::Released,
        regression: RegressionUncertainty::Borrowed,
        epoch_fraction: 1.0,
        borrow: Some(vec![]),
    };
    let glue = [task("sts-b", 2, 1), task("mrpc", 2, 2)];
    let selected = select(&off, &glue, 2, &[vec![0.0, 0.0], vec![0.2, 0.6]]);
    assert!(selected.iter().all(|s| s.0 == 1), "{selected:?}");

    let message = |config: &SamplerConfig| {
        build_sampler(config, &tasks, 2, 1.0, 0)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(
        message(&borrow("mrpc", "similarity"))
            .contains("`mrpc`, which is not in this run (tasks: similarity, paraphrase, other)")
    );
    assert!(message(&borrow("similarity", "paraphrase")).contains("has no scores of its own"));
    assert!(message(&borrow("other", "other")).contains("cannot borrow from itself"));
    let chain = SamplerConfig::MtUncertainty {
        form: UncertaintyForm::Released,
        regression: RegressionUncertainty::Borrowed,
        epoch_fraction: 1.0,
        borrow: Some(vec![
            Borrow {
                from: "paraphrase".into(),
                to: "other".into(),
            },
            Borrow {
                from: "other".into(),
                to: "similarity".into(),
            },
        ]),
    };
    assert!(message(&chain).contains("itself borrows"));
    let twice = SamplerConfig::MtUncertainty {
        form: UncertaintyForm::Released,
        regression: RegressionUncertainty::Borrowed,
        epoch_fraction: 1.0,
        borrow: Some(vec![
            Borrow {
                from: "paraphrase".into(),
                to: "similarity".into(),
            },
            Borrow {
                from: "other".into(),
                to: "similarity".into(),
            },
        ]),
    };
    assert!(message(&twice).contains("borrows twice"));
}

#[test]
fn an_own_regression_uncertainty_competes_with_entropies() {
    let tasks = [task("sts-b", 2, 1), task("mrpc", 2, 2)];
    let table = [vec![0.9f32, 0.1], vec![0.3, 0.35]];
    let e = |entropy: f64| entropy / (LN2 + 1e-5);
    let (mean_own, mean_mrpc) = (0.5, (e(0.3) + e(0.35)) / 2.0);
    let config = mt_uncertainty(UncertaintyForm::Released, RegressionUncertainty::Own);
    let selected = select(&config, &tasks, 2, &table);
    assert_selected(
        &selected,
        &[(0, 0, 0.9), (1, 1, e(0.35) * mean_mrpc / mean_own)],
    );
    // paper: H of the regression is u, its maximum 1; Ĥ = 0.5.
    let config = mt_uncertainty(UncertaintyForm::Paper, RegressionUncertainty::Own);
    let selected = select(&config, &tasks, 2, &table);
    assert_selected(&selected, &[(0, 0, 0.9 / 0.5), (1, 1, 0.35 / (0.5 * LN2))]);
}

#[test]
fn without_any_uncertainty_the_batch_is_drawn_uniformly() {
    // The reference divides 0 by 0 here.
    for (tasks, forms) in [
        (
            vec![task("sts-b", 40, 1), task("sick", 40, 1)],
            "regressions only",
        ),
        (
            vec![task("a", 40, 2), task("b", 40, 3)],
            "a model that is sure of everything",
        ),
    ] {
        for form in [UncertaintyForm::Released, UncertaintyForm::Paper] {
            let config = mt_uncertainty(form, RegressionUncertainty::Borrowed);
            let mut sampler = build(&config, &tasks, 8);
            for _ in 0..100 {
                let selection = sampler
                    .next_batch(&mut |c: &[ExampleRef]| Ok(vec![0.0; c.len()]))
                    .unwrap();
                assert_eq!(selection.examples.len(), 8);
                assert_eq!(selection.scores.unwrap(), [0.0; 8]);
            }
            let shares: Vec<u64> = sampler
                .usage()
                .tasks()
                .iter()
                .map(|task| task.selected())
                .collect();
            assert!(
                shares.iter().all(|share| (300..500).contains(share)),
                "{forms}: {shares:?}"
            );
        }
    }
}

#[test]
fn selections_report_task_means() {
    let tasks = [task("a", 4, 2), task("sts-b", 4, 1), task("c", 4, 3)];
    let mut sampler = build(&SamplerConfig::paper(), &tasks, 4);
    let scores = |c: &[ExampleRef]| {
        Ok(c.iter()
            .map(|e| [0.2f32, 0.7, 0.5][e.task as usize])
            .collect())
    };
    let selection = sampler.next_batch(&mut { scores }).unwrap();
    let means = selection.mean_uncertainty;
    assert!((f64::from(means[0].unwrap()) - 0.2 / LN2).abs() < 1e-6);
    assert_eq!(means[1], None, "it has no uncertainty of its own");
    assert!((f64::from(means[2].unwrap()) - 0.5 / 3f64.ln()).abs() < 1e-6);
}

#[test]
fn bad_scores_name_the_task_and_the_example() {
    let tasks = [task("cola", 5, 2), task("sts-b", 5, 1)];
    let with = |change: fn(&mut Vec<f32>)| {
        let config = mt_uncertainty(UncertaintyForm::Released, RegressionUncertainty::Own);
        let mut sampler = build(&config, &tasks, 5);
        let mut drawn = Vec::new();
        let error = sampler
            .next_batch(&mut |candidates: &[ExampleRef]| {
                drawn = candidates.to_vec();
                let mut scores = vec![0.5; candidates.len()];
                change(&mut scores);
                Ok(scores)
            })
            .unwrap_err();
        (drawn, error)
    };
    let (drawn, error) = with(|scores| scores[3] = f32::NAN);
    let start = format!(
        "the score of example {} of task `cola` is NaN; expected an entropy in nats",
        drawn[3].index
    );
    assert!(error.to_string().starts_with(&start), "{error}");
    let (drawn, error) = with(|scores| scores[7] = f32::INFINITY);
    let start = format!(
        "the score of example {} of task `sts-b` is inf; expected an uncertainty from 0 to 1",
        drawn[7].index
    );
    assert!(error.to_string().starts_with(&start), "{error}");
    // Bits instead of nats, a negative entropy, a variance instead of an uncertainty.
    assert!(matches!(
        with(|scores| scores[0] = 1.0).1,
        SamplerError::Score { .. }
    ));
    assert!(matches!(
        with(|scores| scores[0] = -0.1).1,
        SamplerError::Score { .. }
    ));
    assert!(matches!(
        with(|scores| scores[9] = 1.5).1,
        SamplerError::Score { .. }
    ));
    let (drawn, error) = with(|scores| scores.truncate(6));
    assert_eq!(
        error.to_string(),
        format!(
            "the scorer returned 6 scores for 10 candidates; the first candidate affected is example {} of task `sts-b`",
            drawn[6].index
        )
    );
    assert!(matches!(
        with(|scores| scores.push(0.1)).1,
        SamplerError::ScoreCount { got: 11, .. }
    ));

    let mut sampler = build(&SamplerConfig::released(), &tasks, 5);
    let error = sampler
        .next_batch(&mut |_: &[ExampleRef]| Err("out of memory".into()))
        .unwrap_err();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "out of memory"
    );
}

#[test]
fn impossible_setups_are_refused() {
    let good = [task("a", 10, 2), task("b", 10, 2)];
    let message = |config: &SamplerConfig, tasks: &[TaskInfo], batch: usize, epochs: f64| {
        build_sampler(config, tasks, batch, epochs, 0)
            .err()
            .expect("refused")
            .to_string()
    };
    let released = SamplerConfig::released();
    assert!(message(&released, &[], 4, 1.0).contains("no tasks"));
    assert!(
        message(&released, &[task("a", 0, 2)], 4, 1.0).contains("`a` has no training examples")
    );
    assert!(
        message(&released, &[task("a", 1, 2), task("a", 2, 2)], 4, 1.0)
            .contains("`a` is listed twice")
    );
    assert!(message(&released, &good, 0, 1.0).contains("batch_size = 0"));
    assert!(message(&released, &good, 4, 0.0).contains("total_epochs = 0"));
    assert!(message(&released, &good, 4, f64::NAN).contains("total_epochs = NaN"));
    assert!(
        message(&released, &[task("a", 4_294_967_296, 2)], 4, 1.0)
            .contains("`a` there are more than")
    );
    let one_class = TaskInfo {
        regression: false,
        ..task("a", 9, 1)
    };
    assert!(message(&released, &[one_class], 4, 1.0).contains("must be declared a regression"));
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(
            message(&SamplerConfig::Temperature { temperature }, &good, 4, 1.0)
                .contains("temperature = ")
        );
    }
    let none = SamplerConfig::Annealed {
        steps_per_epoch: Some(0),
    };
    assert!(message(&none, &good, 4, 1.0).contains("steps_per_epoch = 0"));
}

#[test]
fn steps_per_epoch_follow_the_released_rule() {
    // GLUE with WNLI: 12,272 batches of MNLI times nine tasks.
    let sizes = [
        8551, 392_702, 3668, 104_743, 363_846, 2490, 67_349, 5749, 635,
    ];
    let glue: Vec<TaskInfo> = sizes
        .iter()
        .enumerate()
        .map(|(i, n)| task(&format!("t{i}"), *n, 2))
        .collect();
    let fraction = |epoch_fraction| SamplerConfig::MtUncertainty {
        form: UncertaintyForm::Released,
        regression: RegressionUncertainty::Borrowed,
        epoch_fraction,
        borrow: None,
    };
    assert_eq!(steps_per_epoch(&fraction(1.0), &glue, 32).unwrap(), 110_448);
    assert_eq!(
        steps_per_epoch(&fraction(0.269), &glue, 32).unwrap(),
        (110_448.0f64 * 0.269) as u64
    );
    assert_eq!(steps_per_epoch(&fraction(1e-9), &glue, 32).unwrap(), 1);
    assert_eq!(
        steps_per_epoch(&SamplerConfig::ShuffledMix, &glue, 32).unwrap(),
        949_733u64.div_ceil(32)
    );
    assert_eq!(
        steps_per_epoch(&SamplerConfig::Uniform, &glue, 32).unwrap(),
        949_733u64.div_ceil(32)
    );
    let pals = SamplerConfig::Annealed {
        steps_per_epoch: Some(2400),
    };
    assert_eq!(steps_per_epoch(&pals, &glue, 32).unwrap(), 2400);
}

/// Share of steps per task over the given steps.
fn shares(
    config: &SamplerConfig,
    tasks: &[TaskInfo],
    steps: std::ops::Range<u64>,
    epochs: f64,
) -> Vec<f64> {
    let mut sampler = build_sampler(config, tasks, 4, epochs, 5).unwrap();
    let mut counts = vec![0u64; tasks.len()];
    for step in 0..steps.end {
        let selection = sampler.next_batch(&mut unused).unwrap();
        let task = selection.examples[0].task;
        assert!(
            selection
                .examples
                .iter()
                .all(|example| example.task == task),
            "one task per batch"
        );
        assert_eq!((selection.candidates, selection.scores), (0, None));
        if steps.contains(&step) {
            counts[task as usize] += 1;
        }
    }
    let total = (steps.end - steps.start) as f64;
    counts.iter().map(|count| *count as f64 / total).collect()
}

fn assert_shares(config: &SamplerConfig, tasks: &[TaskInfo], weights: &[f64]) {
    let steps = 20_000;
    let total: f64 = weights.iter().sum();
    for (share, weight) in shares(config, tasks, 0..steps, 1.0).iter().zip(weights) {
        let p = weight / total;
        // Four standard deviations.
        assert!(
            (share - p).abs() < 4.0 * (p * (1.0 - p) / steps as f64).sqrt(),
            "{config:?}: {share}, expected {p}"
        );
    }
}

#[test]
fn tasks_are_drawn_with_the_stated_probabilities() {
    let tasks = [
        task("large", 6400, 3),
        task("middle", 400, 2),
        task("small", 25, 2),
    ];
    assert_shares(&SamplerConfig::Uniform, &tasks, &[1.0, 1.0, 1.0]);
    assert_shares(&SamplerConfig::Proportional, &tasks, &[6400.0, 400.0, 25.0]);
    assert_shares(&SamplerConfig::SquareRoot, &tasks, &[80.0, 20.0, 5.0]);
    assert_shares(
        &SamplerConfig::Temperature { temperature: 1.0 },
        &tasks,
        &[6400.0, 400.0, 25.0],
    );
    assert_shares(
        &SamplerConfig::Temperature { temperature: 2.0 },
        &tasks,
        &[80.0, 20.0, 5.0],
    );
    assert_shares(
        &SamplerConfig::Annealed {
            steps_per_epoch: None,
        },
        &tasks,
        &[6400.0, 400.0, 25.0],
    );
}

#[test]
fn annealing_moves_from_proportional_towards_uniform() {
    let tasks = [task("large", 6400, 3), task("small", 25, 2)];
    let config = SamplerConfig::Annealed {
        steps_per_epoch: Some(4000),
    };
    let epochs = 5.0;
    for epoch in 0..5u64 {
        let alpha = 1.0 - 0.8 * epoch as f64 / 4.0;
        let (large, small) = (6400f64.powf(alpha), 25f64.powf(alpha));
        let p = small / (large + small);
        let share = shares(&config, &tasks, epoch * 4000..(epoch + 1) * 4000, epochs)[1];
        assert!(
            (share - p).abs() < 4.0 * (p * (1.0 - p) / 4000.0).sqrt(),
            "epoch {epoch}: {share}, expected {p}"
        );
    }
}

#[test]
fn the_mix_has_each_example_once_per_epoch_and_mixes_tasks() {
    let tasks = [task("a", 37, 2), task("b", 5, 2), task("c", 11, 1)];
    let mut sampler = build(&SamplerConfig::ShuffledMix, &tasks, 8);
    assert_eq!(sampler.steps_per_epoch(), 7);
    let mut mixed = 0;
    for epoch in 0..3 {
        let mut seen = Vec::new();
        for step in 0..7 {
            let batch = sampler.next_batch(&mut unused).unwrap().examples;
            assert_eq!(batch.len(), if step == 6 { 5 } else { 8 });
            mixed += usize::from(batch.iter().any(|example| example.task != batch[0].task));
            seen.extend(batch);
        }
        seen.sort_unstable();
        let all: Vec<ExampleRef> = tasks
            .iter()
            .enumerate()
            .flat_map(|(t, info)| {
                (0..info.train_size as u32).map(move |index| ExampleRef {
                    task: t as u32,
                    index,
                })
            })
            .collect();
        assert_eq!(seen, all, "epoch {epoch}");
        assert_eq!(sampler.usage().distinct_fraction(), 1.0);
        assert_eq!(
            sampler.usage().gradient_fraction(f64::from(epoch) + 1.0),
            1.0
        );
    }
    assert!(mixed > 15);
}

#[test]
fn usage_counts_both_fractions() {
    let tasks = [task("a", 10, 2), task("b", 6, 2)];
    let mut usage = DataUsage::new(&tasks);
    assert_eq!(
        (usage.distinct_fraction(), usage.gradient_fraction(1.0)),
        (0.0, 0.0)
    );
    let at = |task, index| ExampleRef { task, index };
    usage.record(&[at(0, 0), at(0, 9), at(1, 5)], 16);
    usage.record(&[at(0, 9), at(1, 5), at(1, 0)], 16);
    assert_eq!(
        (
            usage.steps(),
            usage.scored(),
            usage.selected(),
            usage.distinct()
        ),
        (2, 32, 6, 4)
    );
    assert_eq!(usage.distinct_fraction(), 4.0 / 16.0);
    assert_eq!(usage.gradient_fraction(2.0), 6.0 / 32.0);
    assert_eq!(usage.gradient_fraction(0.0), 0.0);
    let b = &usage.tasks()[1];
    assert_eq!(
        (b.name(), b.size(), b.selected(), b.distinct()),
        ("b", 6, 3, 2)
    );
    assert_eq!(
        (b.distinct_fraction(), b.gradient_fraction(0.5)),
        (2.0 / 6.0, 1.0)
    );
    assert!(b.has_seen(5) && b.has_seen(0) && !b.has_seen(3) && !b.has_seen(6));

    let json = serde_json::to_value(&usage).unwrap();
    assert_eq!(
        serde_json::from_value::<DataUsage>(json.clone()).unwrap(),
        usage
    );
    for (key, value) in [("seen", "00"), ("seen", "zzzz"), ("seen", "ffff")] {
        let mut broken = json.clone();
        broken["tasks"][0][key] = value.into();
        assert!(
            serde_json::from_value::<DataUsage>(broken).is_err(),
            "{key} {value}"
        );
    }
}

#[test]
fn configurations_read_and_write() {
    let read =
        |text: &str| toml::from_str::<SamplerConfig>(text).map_err(|error| error.to_string());
    assert_eq!(
        read("kind = \"mt-uncertainty\"").unwrap(),
        SamplerConfig::released()
    );
    assert_eq!(SamplerConfig::default(), SamplerConfig::released());
    assert_eq!(
        read("kind = \"mt-uncertainty\"\nform = \"paper\"").unwrap(),
        SamplerConfig::paper()
    );
    let full = "kind = \"mt-uncertainty\"\nform = \"released\"\nregression = \"borrowed\"\nepoch_fraction = 0.269\n\
                borrow = [{ from = \"mrpc\", to = \"sts-b\" }]";
    for text in [
        full,
        "kind = \"uniform\"",
        "kind = \"proportional\"",
        "kind = \"square-root\"",
        "kind = \"annealed\"",
        "kind = \"annealed\"\nsteps_per_epoch = 2400",
        "kind = \"temperature\"\ntemperature = 5.0",
        "kind = \"shuffled-mix\"",
    ] {
        let config = read(text).unwrap();
        assert!(text.contains(&format!("\"{}\"", config.name())));
        assert_eq!(
            read(&toml::to_string(&config).unwrap()).unwrap(),
            config,
            "{text}"
        );
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<SamplerConfig>(&json).unwrap(),
            config,
            "{text}"
        );
    }
    for (text, expected) in [
        (
            "kind = \"uniform\"\ntemperature = 2.0",
            "the sampler `uniform` has no option `temperature`; its options are: none",
        ),
        (
            "kind = \"annealed\"\nform = \"paper\"",
            "the sampler `annealed` has no option `form`; its options are: steps_per_epoch",
        ),
        (
            "kind = \"temperature\"",
            "temperature = (missing); expected a number above 0",
        ),
        (
            "kind = \"mt-uncertainty\"\nepoch_fraction = 0.0",
            "epoch_fraction = 0; expected a number above 0",
        ),
        (
            "kind = \"mt-uncertainty\"\nregression = \"own\"\nborrow = [{ from = \"a\", to = \"b\" }]",
            "nothing is borrowed with regression",
        ),
        (
            "kind = \"mt-uncertainty\"\nepoch_fration = 1.0",
            "unknown field `epoch_fration`",
        ),
        ("kind = \"round-robin\"", "unknown variant `round-robin`"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn the_paper_form_ranks_by_entropy_over_its_maximum(
        tasks in prop::collection::vec((2usize..6, prop::collection::vec(0.001f64..0.69, 1..9)), 1..5),
        b in 1usize..20,
    ) {
        let maxima: Vec<f64> = tasks.iter().map(|(classes, _)| (*classes as f64).ln()).collect();
        let mut of = Vec::new();
        let mut entropies = Vec::new();
        for (position, (_, values)) in tasks.iter().enumerate() {
            of.extend(vec![position as u32; values.len()]);
            entropies.extend(values);
        }
        let means = task_means(&of, &entropies, tasks.len());
        let scores = paper_scores(&of, &entropies, &means, &maxima);
        let plain: Vec<f64> = of.iter().zip(&entropies).map(|(t, h)| h / maxima[*t as usize]).collect();
        let chosen = top_b(&scores, b);
        let lowest = chosen.iter().map(|i| plain[*i]).fold(f64::INFINITY, f64::min);
        for (position, value) in plain.iter().enumerate() {
            if !chosen.contains(&position) {
                prop_assert!(*value <= lowest * (1.0 + 1e-12));
            }
        }
    }

    #[test]
    fn top_b_is_a_stable_sort_with_nan_last(
        scores in prop::collection::vec(prop_oneof![4 => (0u8..6).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)], 0..40),
        b in 0usize..45,
    ) {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        let key = |i: usize| if scores[i].is_nan() { f64::NEG_INFINITY } else { scores[i] };
        order.sort_by(|x, y| key(*y).total_cmp(&key(*x)));
        order.truncate(b);
        prop_assert_eq!(top_b(&scores, b), order);
    }
}
