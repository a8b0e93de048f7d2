//! Saving and restoring samplers: from any step, through JSON text, the run continues as if undisturbed.

use std::collections::BTreeSet;

use camtl_data::random::Stream;
use camtl_data::sampler::{
    Annealed, Borrow, BoxError, CandidateShares, ExampleRef, MtUncertainty, PooledUncertainty,
    Proportional, RegressionUncertainty, Sampler, SamplerConfig, SamplerError, Selection,
    ShuffledMix, SquareRoot, TaskInfo, Temperature, UncertaintyForm, Uniform, build_sampler,
};
use proptest::prelude::*;

fn configs() -> Vec<SamplerConfig> {
    let mt = |form, regression, borrow| {
        SamplerConfig::from(MtUncertainty {
            candidates: match form {
                UncertaintyForm::Paper => CandidateShares::SquareRoot,
                _ => CandidateShares::Equal,
            },
            form,
            regression,
            epoch_fraction: 0.37,
            borrow,
            ..MtUncertainty::default()
        })
    };
    vec![
        SamplerConfig::released(),
        mt(UncertaintyForm::Paper, RegressionUncertainty::Own, None),
        mt(
            UncertaintyForm::Released,
            RegressionUncertainty::Borrowed,
            Some(vec![Borrow {
                from: "t0".into(),
                to: "t1".into(),
            }]),
        ),
        SamplerConfig::from(Uniform {}),
        SamplerConfig::from(Proportional {}),
        SamplerConfig::from(SquareRoot {}),
        SamplerConfig::from(Annealed {
            steps_per_epoch: Some(7),
        }),
        SamplerConfig::from(Temperature { temperature: 3.0 }),
        SamplerConfig::from(ShuffledMix {}),
        SamplerConfig::from(PooledUncertainty::default()),
        SamplerConfig::from(PooledUncertainty {
            pool_size: 5,
            max_age: 4,
            scored: 1.0,
            unscored: 0.1,
            form: UncertaintyForm::Normalised,
            regression: RegressionUncertainty::Own,
            candidates: CandidateShares::Equal,
            temperature: 0.7,
            floor: 0.4,
            floor_shares: CandidateShares::Proportional,
        }),
        SamplerConfig::from(MtUncertainty {
            form: UncertaintyForm::Normalised,
            temperature: 1.5,
            floor: 0.5,
            floor_shares: CandidateShares::SquareRoot,
            ..MtUncertainty::default()
        }),
    ]
}

fn tasks(sizes: &[usize]) -> Vec<TaskInfo> {
    sizes
        .iter()
        .enumerate()
        .map(|(position, size)| TaskInfo {
            name: format!("t{position}"),
            train_size: *size,
            num_outputs: if position == 1 { 1 } else { 2 + position % 3 },
            regression: position == 1,
        })
        .collect()
}

/// A model whose uncertainty depends on the example and the step; now and then it is sure of everything.
fn step(sampler: &mut dyn Sampler, number: u64) -> Selection {
    let mut scorer = |candidates: &[ExampleRef]| -> Result<Vec<f32>, BoxError> {
        Ok(candidates
            .iter()
            .map(|candidate| {
                if number % 9 == 5 {
                    return 0.0;
                }
                let name = format!("{} {}", candidate.task, candidate.index);
                (Stream::new(number, &name).uniform() * 0.69) as f32
            })
            .collect())
    };
    let selection = sampler.next_batch(&mut scorer).unwrap();
    // What the training pass says, where a sampler wants to know it.
    let uncertainty = scorer(&selection.examples).unwrap();
    sampler.observe(&selection.examples, &uncertainty);
    selection
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn restoring_continues_an_undisturbed_run(
        which in 0..configs().len(),
        sizes in prop::collection::vec(1usize..60, 2..5),
        batch_size in 1usize..12,
        before in 0u64..40,
        after in 1u64..30,
        seed: u64,
    ) {
        let config = &configs()[which];
        let tasks = tasks(&sizes);
        let build = || build_sampler(config, &tasks, batch_size, 4.0, seed).unwrap();
        let mut undisturbed = build();
        for number in 0..before {
            step(undisturbed.as_mut(), number);
        }
        let text = undisturbed.state().to_string();
        let mut restored = build();
        // A sampler that is already elsewhere restores as well as a fresh one.
        for number in 0..before % 3 {
            step(restored.as_mut(), number + 1000);
        }
        restored.restore(&serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(restored.state().to_string(), text);
        for number in before..before + after {
            prop_assert_eq!(step(restored.as_mut(), number), step(undisturbed.as_mut(), number), "step {}", number);
        }
        prop_assert_eq!(restored.state(), undisturbed.state());
        prop_assert_eq!(restored.usage(), undisturbed.usage());
    }

    #[test]
    fn selections_are_distinct_valid_and_counted(
        which in 0..configs().len(),
        sizes in prop::collection::vec(1usize..60, 2..5),
        batch_size in 1usize..12,
        steps in 1u64..30,
        seed: u64,
    ) {
        let config = &configs()[which];
        let tasks = tasks(&sizes);
        let mut sampler = build_sampler(config, &tasks, batch_size, 4.0, seed).unwrap();
        let (mut all, mut selected, mut scored) = (BTreeSet::new(), 0, 0);
        for number in 0..steps {
            let selection = step(sampler.as_mut(), number);
            prop_assert!((1..=batch_size).contains(&selection.examples.len()));
            let distinct: BTreeSet<ExampleRef> = selection.examples.iter().copied().collect();
            prop_assert_eq!(distinct.len(), selection.examples.len(), "no example twice in a batch");
            for example in &distinct {
                prop_assert!((example.index as usize) < sizes[example.task as usize]);
            }
            prop_assert_eq!(selection.mean_uncertainty.len(), sizes.len());
            prop_assert_eq!(selection.scores.is_some(), sampler.uses_scorer());
            if let Some(scores) = &selection.scores {
                let candidates: usize = selection.candidates;
                let expected = match sampler.name() {
                    // Not all that it trains on was scored.
                    "pooled-uncertainty" => selection.examples.len(),
                    _ => batch_size.min(candidates),
                };
                prop_assert_eq!(scores.len(), expected);
                prop_assert!(scores.iter().all(|score| score.is_finite()));
            }
            selected += selection.examples.len() as u64;
            scored += selection.candidates as u64;
            all.extend(distinct);
        }
        let usage = sampler.usage();
        prop_assert_eq!(usage.steps(), steps);
        prop_assert_eq!(usage.selected(), selected);
        prop_assert_eq!(usage.scored(), scored);
        prop_assert_eq!(usage.distinct(), all.len() as u64);
        let size: usize = sizes.iter().sum();
        prop_assert!((usage.distinct_fraction() - all.len() as f64 / size as f64).abs() < 1e-12);
        prop_assert!((usage.gradient_fraction(2.0) - selected as f64 / (2 * size) as f64).abs() < 1e-12);
        for example in &all {
            prop_assert!(usage.tasks()[example.task as usize].has_seen(example.index));
        }
    }
}

#[test]
fn foreign_and_damaged_states_are_refused_and_change_nothing() {
    for config in configs() {
        let infos = tasks(&[20, 30]);
        let mut sampler = build_sampler(&config, &infos, 4, 4.0, 12).unwrap();
        for number in 0..5 {
            step(sampler.as_mut(), number);
        }
        let state = sampler.state();
        let mut refuse = |state: &serde_json::Value, expected: &str| {
            let before = sampler.state();
            let error = sampler.restore(state).unwrap_err();
            assert!(matches!(error, SamplerError::State { .. }));
            assert!(
                error.to_string().contains(expected),
                "{config:?}: {error}, expected {expected}"
            );
            assert_eq!(
                sampler.state(),
                before,
                "{config:?}: unchanged after {error}"
            );
        };
        let other = |config: &SamplerConfig, infos: &[TaskInfo], batch, seed| {
            build_sampler(config, infos, batch, 4.0, seed)
                .unwrap()
                .state()
        };
        refuse(&serde_json::Value::Null, "empty");
        refuse(&serde_json::json!({"version": 1}), "missing field");
        refuse(&other(&config, &infos, 4, 13), "seed");
        refuse(
            &other(&config, &infos, 5, 12),
            "batch_size 5, this run has 4",
        );
        refuse(&other(&config, &tasks(&[20, 31]), 4, 12), "task 1 was");
        refuse(
            &other(&config, &tasks(&[20, 30, 7]), 4, 12),
            "3 tasks, this run has 2",
        );
        let different = if config == SamplerConfig::from(Uniform {}) {
            SamplerConfig::from(ShuffledMix {})
        } else {
            SamplerConfig::from(Uniform {})
        };
        refuse(&other(&different, &infos, 4, 12), "saved by the sampler");
        let mut damaged = state.clone();
        damaged["loaders"][0]["position"] = 1_000_000.into();
        refuse(&damaged, "position 1000000 of");
        let mut damaged = state.clone();
        damaged["loaders"][0]["shuffled_from"]["key"] = "0123".into();
        refuse(&damaged, "seed");
        let mut damaged = state.clone();
        damaged["loaders"]
            .as_array_mut()
            .unwrap()
            .push(state["loaders"][0].clone());
        refuse(&damaged, "loaders");
        let mut damaged = state.clone();
        damaged["version"] = 99.into();
        refuse(&damaged, "version 99");
        let mut damaged = state.clone();
        damaged["usage"]["tasks"][0]["seen"] = "00".into();
        refuse(&damaged, "hexadecimal digits");
        let mut damaged = state.clone();
        damaged["surprise"] = 1.into();
        refuse(&damaged, "unknown field `surprise`");
        sampler.restore(&state).unwrap();
    }
}

#[test]
fn the_state_of_a_large_task_is_small() {
    let infos = tasks(&[400_000, 1000]);
    let mut sampler = build_sampler(&SamplerConfig::released(), &infos, 32, 1.0, 12).unwrap();
    step(sampler.as_mut(), 0);
    // A bit per example for the usage, nothing per example for the order.
    assert!(sampler.state().to_string().len() < 110_000);
}
