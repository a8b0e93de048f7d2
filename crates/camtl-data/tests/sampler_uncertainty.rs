//! MT-Uncertainty from outside: its loaders, selections worked out by hand, borrowing, bad scores.

use std::collections::{BTreeMap, BTreeSet};

use camtl_data::sampler::score::{paper_scores, task_means, top_b};
use camtl_data::sampler::{
    Borrow, CandidateShares, ExampleRef, MtUncertainty, RegressionUncertainty, Sampler,
    SamplerConfig, SamplerError, TaskInfo, UncertaintyForm, build_sampler,
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
    SamplerConfig::from(MtUncertainty {
        candidates: Default::default(),
        form,
        regression,
        epoch_fraction: 1.0,
        borrow: None,
        ..MtUncertainty::default()
    })
}

fn build(config: &SamplerConfig, tasks: &[TaskInfo], batch_size: usize) -> Box<dyn Sampler> {
    build_sampler(config, tasks, batch_size, 3.0, 12).unwrap()
}

/// The candidates of each task in the first step, batches of 12.
fn candidates_of(shares: CandidateShares, sizes: &[usize]) -> Vec<usize> {
    let tasks: Vec<TaskInfo> = (sizes.iter().enumerate())
        .map(|(number, size)| task(&format!("t{number}"), *size, 2))
        .collect();
    let config = SamplerConfig::from(MtUncertainty {
        candidates: shares,
        form: UncertaintyForm::Paper,
        regression: RegressionUncertainty::Borrowed,
        epoch_fraction: 1.0,
        borrow: None,
        ..MtUncertainty::default()
    });
    let mut counts = vec![0; sizes.len()];
    let mut scorer = |candidates: &[ExampleRef]| {
        for candidate in candidates {
            counts[candidate.task as usize] += 1;
        }
        Ok(vec![0.5; candidates.len()])
    };
    let selection = build(&config, &tasks, 12).next_batch(&mut scorer).unwrap();
    assert_eq!(selection.examples.len(), 12);
    counts
}

#[test]
fn candidates_are_shared_out_by_size_if_asked() {
    let of = candidates_of;
    assert_eq!(of(CandidateShares::Equal, &[100, 400, 900]), [12, 12, 12]);
    assert_eq!(
        of(CandidateShares::SquareRoot, &[100, 400, 900]),
        [6, 12, 18]
    );
    assert_eq!(
        of(CandidateShares::Proportional, &[100, 400, 1300]),
        [2, 8, 26]
    );
    // However small a task is, it has one; however large its share, it has no more than its examples.
    assert_eq!(of(CandidateShares::Proportional, &[1, 5000]), [1, 24]);
    assert_eq!(of(CandidateShares::Equal, &[5, 5000]), [5, 12]);
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
    let borrow = |from: &str, to: &str| {
        SamplerConfig::from(MtUncertainty {
            candidates: Default::default(),
            form: UncertaintyForm::Released,
            regression: RegressionUncertainty::Borrowed,
            epoch_fraction: 1.0,
            borrow: Some(vec![Borrow {
                from: from.into(),
                to: to.into(),
            }]),
            ..MtUncertainty::default()
        })
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

    let off = SamplerConfig::from(MtUncertainty {
        candidates: Default::default(),
        form: UncertaintyForm::Released,
        regression: RegressionUncertainty::Borrowed,
        epoch_fraction: 1.0,
        borrow: Some(vec![]),
        ..MtUncertainty::default()
    });
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
    let chain = SamplerConfig::from(MtUncertainty {
        candidates: Default::default(),
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
        ..MtUncertainty::default()
    });
    assert!(message(&chain).contains("itself borrows"));
    let twice = SamplerConfig::from(MtUncertainty {
        candidates: Default::default(),
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
        ..MtUncertainty::default()
    });
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
