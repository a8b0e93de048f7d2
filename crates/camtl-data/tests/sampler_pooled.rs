//! Pooled uncertainty from outside: what it costs, what it prefers, what it leaves out.

use std::collections::{BTreeMap, BTreeSet};

use camtl_data::random::Stream;
use camtl_data::sampler::{
    CandidateShares, ExampleRef, PooledUncertainty, RegressionUncertainty, Sampler, Selection,
    TaskInfo, UncertaintyForm, build_sampler,
};

fn task(name: &str, train_size: usize, num_outputs: usize) -> TaskInfo {
    TaskInfo {
        name: name.into(),
        train_size,
        num_outputs,
        regression: num_outputs == 1,
    }
}

fn build(options: &PooledUncertainty, tasks: &[TaskInfo], batch_size: usize) -> Box<dyn Sampler> {
    build_sampler(&options.clone().into(), tasks, batch_size, 3.0, 12).unwrap()
}

/// One update: what was scored, and the batch, whose uncertainties the sampler hears.
fn update(
    sampler: &mut dyn Sampler,
    entropy: impl Fn(&ExampleRef) -> f32,
) -> (Vec<ExampleRef>, Selection) {
    let mut scored = Vec::new();
    let mut scorer = |candidates: &[ExampleRef]| {
        scored.extend_from_slice(candidates);
        Ok(candidates.iter().map(&entropy).collect())
    };
    let selection = sampler.next_batch(&mut scorer).unwrap();
    let heard: Vec<f32> = selection.examples.iter().map(&entropy).collect();
    sampler.observe(&selection.examples, &heard);
    assert_eq!(selection.candidates, scored.len());
    (scored, selection)
}

/// An entropy that only the example decides.
fn fixed(example: &ExampleRef) -> f32 {
    let name = format!("{} {}", example.task, example.index);
    (Stream::new(7, &name).uniform() * 0.69) as f32
}

#[test]
fn an_update_scores_a_part_of_one_batch_whatever_the_number_of_tasks() {
    for count in [1, 9, 26] {
        let tasks: Vec<TaskInfo> = (0..count)
            .map(|number| task(&format!("t{number}"), 300 + 50 * number, 2))
            .collect();
        let options = PooledUncertainty {
            pool_size: 16,
            max_age: 5,
            ..PooledUncertainty::default()
        };
        let mut sampler = build(&options, &tasks, 32);
        for _ in 0..200 {
            let (scored, selection) = update(sampler.as_mut(), fixed);
            assert_eq!(scored.len(), 8, "{count} tasks");
            assert_eq!(selection.examples.len(), 32);
            let distinct: BTreeSet<_> = selection.examples.iter().collect();
            assert_eq!(distinct.len(), 32);
        }
    }
}

#[test]
fn uncertain_examples_are_trained_more_and_none_is_left_out() {
    let tasks = [task("large", 1200, 3), task("small", 200, 2)];
    let mut sampler = build(&PooledUncertainty::default(), &tasks, 16);
    let mut trained: BTreeMap<ExampleRef, usize> = BTreeMap::new();
    for _ in 0..700 {
        let (_, selection) = update(sampler.as_mut(), fixed);
        for example in selection.examples {
            *trained.entry(example).or_default() += 1;
        }
    }
    assert!(sampler.usage().distinct_fraction() > 0.97);
    let mean = |low: f32, high: f32| {
        let of = |example: &&ExampleRef| (low..high).contains(&fixed(example));
        let all: Vec<ExampleRef> = (0..1200)
            .map(|index| ExampleRef { task: 0, index })
            .collect();
        let all: Vec<&ExampleRef> = all.iter().filter(of).collect();
        let sum: usize = all
            .iter()
            .map(|example| trained.get(example).unwrap_or(&0))
            .sum();
        sum as f64 / all.len() as f64
    };
    let (easy, hard) = (mean(0.0, 0.2), mean(0.5, 0.7));
    assert!(hard > 1.7 * easy, "{hard} against {easy}");
}

#[test]
fn old_entries_are_scored_again_a_few_at_a_time() {
    let tasks = [task("a", 4000, 2), task("b", 4000, 2)];
    let options = PooledUncertainty {
        max_age: 20,
        pool_size: 64,
        unscored: 0.9,
        ..PooledUncertainty::default()
    };
    let mut sampler = build(&options, &tasks, 32);
    let mut when: BTreeMap<ExampleRef, u64> = BTreeMap::new();
    let mut again = 0;
    for step in 0..180 {
        let (scored, selection) = update(sampler.as_mut(), fixed);
        let mut old = 0;
        for example in scored {
            if let Some(before) = when.insert(example, step) {
                assert!(step - before > 20);
                old += 1;
            }
        }
        assert!(old <= 4, "half of the eight that are scored");
        again += old;
        for example in selection.examples {
            when.insert(example, step + 1);
        }
    }
    assert!(again > 60, "{again}");
}

#[test]
fn a_regression_without_uncertainty_has_its_share_and_is_never_scored() {
    let tasks = [task("score", 500, 1), task("a", 500, 2), task("b", 500, 4)];
    let options = PooledUncertainty {
        candidates: CandidateShares::Equal,
        ..PooledUncertainty::default()
    };
    let entropy = |example: &ExampleRef| match example.task {
        0 => 0.0,
        _ => fixed(example),
    };
    let mut sampler = build(&options, &tasks, 12);
    for _ in 0..100 {
        let (scored, selection) = update(sampler.as_mut(), entropy);
        assert!(scored.iter().all(|example| example.task != 0));
        assert!(selection.mean_uncertainty[0].is_none());
    }
    let of_score = sampler.usage().tasks()[0].selected();
    assert!(
        (350..=450).contains(&of_score),
        "{of_score} of 1200, a third expected"
    );
    // With an uncertainty of its own it is scored like the others.
    let options = PooledUncertainty {
        regression: RegressionUncertainty::Own,
        ..options
    };
    let mut sampler = build(&options, &tasks, 12);
    let all: Vec<ExampleRef> = (0..50)
        .flat_map(|_| update(sampler.as_mut(), fixed).0)
        .collect();
    assert!(all.iter().any(|example| example.task == 0));
}

#[test]
fn a_floor_keeps_a_sure_task_in_every_batch() {
    let tasks = [task("sure", 100, 2), task("unsure", 1900, 2)];
    let entropy = |example: &ExampleRef| if example.task == 0 { 0.01 } else { 0.6 };
    let share = |floor: f64, form| {
        let options = PooledUncertainty {
            unscored: 0.0,
            scored: 1.0,
            floor,
            floor_shares: CandidateShares::Equal,
            candidates: CandidateShares::Proportional,
            form,
            ..PooledUncertainty::default()
        };
        let mut sampler = build(&options, &tasks, 16);
        for _ in 0..40 {
            update(sampler.as_mut(), entropy);
        }
        let before = sampler.usage().tasks()[0].selected();
        for _ in 0..60 {
            update(sampler.as_mut(), entropy);
        }
        (sampler.usage().tasks()[0].selected() - before) as f64 / (60.0 * 16.0)
    };
    let (without, with) = (
        share(0.0, UncertaintyForm::Released),
        share(0.5, UncertaintyForm::Released),
    );
    assert!(without < 0.1, "{without}");
    assert!((0.24..0.3).contains(&with), "{with}");
}

#[test]
fn tasks_of_few_examples_give_what_they_have() {
    for sizes in [vec![1], vec![1, 1], vec![3, 2, 1], vec![2, 40]] {
        let tasks: Vec<TaskInfo> = (sizes.iter().enumerate())
            .map(|(number, size)| task(&format!("t{number}"), *size, 2))
            .collect();
        let mut sampler = build(&PooledUncertainty::default(), &tasks, 8);
        for _ in 0..30 {
            let (_, selection) = update(sampler.as_mut(), fixed);
            assert!(!selection.examples.is_empty(), "{sizes:?}");
            let distinct: BTreeSet<_> = selection.examples.iter().collect();
            assert_eq!(distinct.len(), selection.examples.len(), "{sizes:?}");
        }
        // The least uncertain of a pool wait until something replaces them.
        assert!(sampler.usage().distinct_fraction() > 0.9, "{sizes:?}");
    }
}
