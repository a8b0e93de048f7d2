//! What a training run does, seen from outside: it learns, whatever the sampler and the batching.

mod support;

use camtl_data::answers::Answer;
use camtl_data::batch::{BatchItem, LossReduction};
use camtl_data::sampler::{
    Annealed, MtUncertainty, PooledUncertainty, Proportional, RegressionUncertainty, SamplerConfig,
    ShuffledMix, SquareRoot, Temperature, UncertaintyForm, Uniform,
};
use camtl_data::{EncodedSplit, Label};
use camtl_model::{MethodConfig, Preset, Variant};
use camtl_trainer::config::ScoringDropout;
use camtl_trainer::{Event, RunConfig, TrainError, Trainer, evaluate, predict, predict_mixed};
use support::*;

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn three_tasks_are_learned() {
    let mut config = config();
    config.train.max_steps = Some(150);
    config.train.learning_rate = 3e-3;
    config.sampler = SamplerConfig::from(SquareRoot {});
    let mut trainer = trainer(&config, None);
    let (summary, events) = finish(&mut trainer);
    let losses = losses(&events);
    assert!(
        mean(&losses[130..]) < 0.5 * mean(&losses[..20]),
        "{losses:?}"
    );
    assert!(
        summary.tasks["sentiment"]["accuracy"] > 0.9,
        "{:?}",
        summary.tasks
    );
    assert!(
        summary.tasks["warmth"]["pearson"] > 0.9,
        "{:?}",
        summary.tasks
    );
    assert_eq!(summary.steps, 150);
    let by_hand = (summary.tasks["sentiment"]["accuracy"]
        + summary.tasks["agreement"]["accuracy"]
        + summary.tasks["warmth"]["pearson"])
        / 3.0;
    assert!((summary.average.unwrap() - by_hand).abs() < 1e-12);
    let used = &summary.data.per_task;
    // The last batch of a loader's pass is smaller.
    let selected = used.values().map(|task| task.selected).sum::<u64>();
    assert!((1000..=150 * 8).contains(&selected), "{selected}");
    assert_eq!(summary.throughput.scoring_share, 0.0);
    assert!(summary.throughput.examples_per_s > 0.0 && summary.throughput.tokens_per_s > 0.0);
}

#[test]
fn uncertainty_sampling_scores_all_tasks_and_learns_the_uncertain_ones() {
    let mut config = config();
    config.train.max_steps = Some(60);
    config.train.learning_rate = 3e-3;
    config.train.log_every_steps = 1;
    let (summary, events) = finish(&mut trainer(&config, None));
    let mut candidates = Vec::new();
    for event in &events {
        if let Event::Step {
            candidates: scored,
            tasks,
            timing,
            ..
        } = event
        {
            candidates.push(*scored);
            assert!(
                tasks["sentiment"].uncertainty.is_some() && tasks["warmth"].uncertainty.is_none()
            );
            assert!(timing.scored_examples_per_s > 0.0);
        }
    }
    // Eight of each task; the last loader batches of an epoch are smaller.
    assert!(
        candidates.iter().all(|count| (10..=24).contains(count)),
        "{candidates:?}"
    );
    assert_eq!(candidates[0], 24);
    assert!(summary.throughput.scoring_share > 0.0 && summary.throughput.scoring_share < 1.0);
    // Nothing lends its score to the regression, so its turn never comes (docs/method.md).
    assert_eq!(summary.data.per_task["warmth"].selected, 0);
    assert!(
        summary.tasks["sentiment"]["accuracy"] > 0.9,
        "{:?}",
        summary.tasks
    );
}

#[test]
fn every_sampler_and_switch_runs() {
    let released = SamplerConfig::released();
    let own = SamplerConfig::from(MtUncertainty {
        candidates: Default::default(),
        form: UncertaintyForm::Paper,
        regression: RegressionUncertainty::Own,
        epoch_fraction: 0.5,
        borrow: None,
        ..MtUncertainty::default()
    });
    let samplers = [
        released,
        SamplerConfig::paper(),
        own,
        SamplerConfig::from(Uniform {}),
        SamplerConfig::from(Proportional {}),
        SamplerConfig::from(SquareRoot {}),
        SamplerConfig::from(Annealed {
            steps_per_epoch: Some(4),
        }),
        SamplerConfig::from(Temperature { temperature: 3.0 }),
        SamplerConfig::from(ShuffledMix {}),
        SamplerConfig::from(PooledUncertainty::default()),
    ];
    for (number, sampler) in samplers.into_iter().enumerate() {
        let mut config = config();
        config.train.max_steps = Some(4);
        config.sampler = sampler;
        config.train.scoring_dropout = [ScoringDropout::Off, ScoringDropout::Released][number % 2];
        config.train.loss_reduction = [
            LossReduction::MeanOfTaskMeans,
            LossReduction::SumOfTaskMeans,
            LossReduction::ExampleMean,
        ][number % 3];
        let (summary, events) = finish(&mut trainer(&config, None));
        assert_eq!(summary.steps, 4, "{:?}", config.sampler);
        assert!(losses(&events).iter().all(|loss| loss.is_finite()));
    }
}

#[test]
fn a_regression_has_an_uncertainty_of_its_own() {
    let mut config = config();
    config.train.max_steps = Some(6);
    config.train.log_every_steps = 1;
    let own = |regression| {
        SamplerConfig::from(MtUncertainty {
            candidates: Default::default(),
            form: UncertaintyForm::Paper,
            regression,
            epoch_fraction: 1.0,
            borrow: None,
            ..MtUncertainty::default()
        })
    };
    let uncertainty = |events: &[Event]| -> Vec<Option<f64>> {
        events
            .iter()
            .filter_map(|event| match event {
                Event::Step { tasks, .. } => Some(tasks["warmth"].uncertainty),
                _ => None,
            })
            .collect()
    };
    config.sampler = own(RegressionUncertainty::Own);
    let (_, events) = finish(&mut trainer(&config, None));
    for value in uncertainty(&events) {
        assert!(
            value.is_some_and(|value| value > 0.0 && value <= 1.0),
            "{value:?}"
        );
    }
    // Without dropout nothing spreads.
    config.model.dropout = Some(0.0);
    let (_, events) = finish(&mut trainer(&config, None));
    assert!(
        uncertainty(&events)
            .iter()
            .all(|value| value.is_some_and(|value| value < 1e-3))
    );
}

#[test]
fn accumulated_micro_batches_equal_one_batch() {
    let mut config = config();
    config.train.max_steps = Some(5);
    config.model.dropout = Some(0.0);
    config.sampler = SamplerConfig::from(ShuffledMix {});
    config.train.batch_size = 16;
    config.train.warmup_ratio = 0.0;
    let mut flat = Vec::new();
    let mut lost = Vec::new();
    for micro_batch_tokens in [100_000, 40, MAX_LENGTH] {
        config.train.micro_batch_tokens = micro_batch_tokens;
        let mut trainer = trainer(&config, None);
        let (_, events) = finish(&mut trainer);
        flat.push(trainer.into_model().parameters().flat());
        lost.push(losses(&events));
    }
    for (part, loss) in flat.iter().zip(&lost).skip(1) {
        let difference = (part - &flat[0]).abs().max().double_value(&[]);
        // Five updates of 1e-3 each move parameters by up to 5e-3; Adam normalises tiny gradients,
        // so a few elements may differ by a share of that.
        assert!(difference < 2e-4, "{difference}");
        for (a, b) in loss.iter().zip(&lost[0]) {
            assert!((a - b).abs() < 1e-4 * a.abs(), "{a} {b}");
        }
    }
}

#[test]
fn single_task_and_plain_multi_task_use_the_same_trainer() {
    let mut config = config();
    config.train.max_steps = Some(60);
    config.train.learning_rate = 3e-3;
    config.model.method = MethodConfig::new(Preset::Recommended, Variant::None);
    config.sampler = SamplerConfig::from(ShuffledMix {});
    let (summary, _) = finish(&mut trainer(&config, None));
    assert_eq!(
        summary.params.total_ratio > 1.0,
        summary.params.total_ratio < 1.1
    );

    let datasets = vec![datasets().remove(0)];
    let model = model(&config, &datasets);
    let mut single = Trainer::new(config, datasets, model, None).unwrap();
    let (summary, _) = finish(&mut single);
    assert_eq!(summary.tasks.len(), 1);
    assert!(summary.average.unwrap() > 0.9, "{summary:?}");
}

#[test]
fn frozen_parameters_stay_as_they_were() {
    let mut config = config();
    config.model.freeze = "0-0".parse().unwrap();
    let datasets = datasets();
    let before = model(&config, &datasets);
    let mut trainer = trainer(&config, None);
    finish(&mut trainer);
    let after = trainer.into_model();
    let mut moved = 0;
    for entry in before.parameters().entries() {
        let (a, b) = (
            before.parameters().tensor(&entry.name).unwrap(),
            after.parameters().tensor(&entry.name).unwrap(),
        );
        let same = a.equal(&b);
        assert!(
            same || entry.trainable,
            "{} is frozen and moved",
            entry.name
        );
        moved += u32::from(!same);
    }
    assert!(moved > 10);
}

#[test]
fn predictions_do_not_depend_on_batches_and_are_what_evaluation_counts() {
    let mut config = config();
    config.train.max_steps = Some(40);
    config.train.learning_rate = 3e-3;
    let mut trainer = trainer(&config, None);
    finish(&mut trainer);
    let datasets = datasets();
    for (task, dataset) in datasets.iter().enumerate() {
        let dev: &EncodedSplit = &dataset.splits["dev"];
        let whole = predict(trainer.model(), task, dev, 100_000).unwrap();
        for tokens in [1, 20, 64] {
            let parts = predict(trainer.model(), task, dev, tokens).unwrap();
            for (a, b) in whole.iter().zip(&parts) {
                match (a, b) {
                    (
                        Answer::Class {
                            label: a,
                            probabilities: p,
                        },
                        Answer::Class {
                            label: b,
                            probabilities: q,
                        },
                    ) => {
                        assert_eq!(a, b);
                        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                        assert!(p.iter().zip(q).all(|(p, q)| (p - q).abs() < 1e-5));
                    }
                    (Answer::Score(a), Answer::Score(b)) => {
                        assert!((a - b).abs() < 1e-4);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        if task == 0 {
            let hits = whole.iter().zip(dev.labels()).filter(|(prediction, label)| {
                matches!((prediction, label), (Answer::Class { label, .. }, Some(Label::Class(class))) if label == class)
            });
            let scores = evaluate(trainer.model(), dataset, task, "dev", 64).unwrap();
            assert_eq!(
                scores.metrics["accuracy"],
                hits.count() as f64 / dev.len() as f64
            );
            assert_eq!(scores.examples, dev.len());
        }
    }
}

#[test]
fn an_infinite_loss_names_task_and_example_and_updates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.sampler = SamplerConfig::from(ShuffledMix {});
    config.train.max_steps = Some(200);
    config.checkpoint.every_steps = 1;
    let mut tasks = raw_tasks();
    tasks[2].1.get_mut("train").unwrap()[17].label = Some(Label::Score(3e38)); // its square is infinite
    let datasets = encode(tasks);
    let model = model(&config, &datasets);
    let mut trainer = Trainer::new(config, datasets, model, Some(folder.path())).unwrap();
    let error = trainer.run(&mut |_| {}, &Default::default()).unwrap_err();
    let TrainError::NonFinite {
        step, offenders, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(*step, trainer.step() + 1);
    assert_eq!(offenders.len(), 1);
    assert_eq!(
        (
            offenders[0].task.as_str(),
            offenders[0].example_ids.as_slice()
        ),
        ("warmth", &[17u64][..])
    );
    let text = error.to_string();
    assert!(
        text.contains("the loss is not finite, caused by task `warmth` examples 17"),
        "{text}"
    );
    assert!(
        trainer
            .model()
            .parameters()
            .flat()
            .isfinite()
            .all()
            .int64_value(&[])
            == 1
    );
    if trainer.step() > 0 {
        let store = camtl_trainer::checkpoint::CheckpointStore::new(folder.path());
        assert_eq!(
            store.newest_intact().unwrap().unwrap().0.step,
            trainer.step()
        );
    }
}

#[test]
fn a_diverged_model_is_found_by_gradient_or_score() {
    for sampler in [SamplerConfig::from(Uniform {}), SamplerConfig::released()] {
        let mut config = config();
        config.sampler = sampler;
        config.train.max_steps = Some(50);
        config.train.learning_rate = 1e30;
        config.train.warmup_ratio = 0.0;
        config.train.max_grad_norm = 0.0;
        let mut trainer = trainer(&config, None);
        let error = trainer.run(&mut |_| {}, &Default::default()).unwrap_err();
        let TrainError::NonFinite { offenders, .. } = &error else {
            panic!("{error}")
        };
        assert!(
            !offenders.is_empty() && !offenders[0].example_ids.is_empty(),
            "{error}"
        );
    }
}

#[test]
fn training_stops_early_when_nothing_improves() {
    let mut config = config();
    config.train.max_steps = Some(100);
    config.train.learning_rate = 0.0;
    config.eval.every_steps = Some(5);
    config.early_stopping.patience = Some(2);
    let mut trainer = trainer(&config, None);
    let (summary, events) = finish(&mut trainer);
    // Best at 5; nothing better at 10 and 15.
    assert_eq!(summary.steps, 15);
    let stopped = events.iter().find_map(|event| match event {
        Event::EarlyStopped {
            step, best_step, ..
        } => Some((*step, *best_step)),
        _ => None,
    });
    assert_eq!(stopped, Some((15, 5)));
    // The evaluation that stopped the run is that of the final model.
    let evaluations = events
        .iter()
        .filter(|event| matches!(event, Event::Evaluated { .. }))
        .count();
    assert_eq!(evaluations, 3);
}

#[test]
fn samples_during_training_and_everything_at_the_end() {
    let mut config = config();
    config.eval.every_steps = Some(4);
    config.eval.limit = Some(5);
    let (_, events) = finish(&mut trainer(&config, None));
    let mut totals = Vec::new();
    for event in &events {
        if let Event::Evaluating { total, .. } = event
            && totals.last() != Some(total)
        {
            totals.push(*total);
        }
    }
    assert_eq!(totals, [15, 72]);
    let at_end: Vec<bool> = events
        .iter()
        .filter_map(|event| {
            if let Event::Evaluated { at_end, .. } = event {
                Some(*at_end)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(at_end, [false, false, true]);
}

#[test]
fn the_learning_rate_and_epochs_follow_the_plan() {
    let mut config = config();
    config.train.max_steps = None;
    config.train.epochs = 0.5;
    config.train.log_every_steps = 1;
    config.sampler = SamplerConfig::from(ShuffledMix {});
    // 160 examples in batches of 8 are 20 updates an epoch.
    let (summary, events) = finish(&mut trainer(&config, None));
    assert_eq!(summary.steps, 10);
    let rates: Vec<f64> = events
        .iter()
        .filter_map(|event| {
            if let Event::Step { learning_rate, .. } = event {
                Some(*learning_rate)
            } else {
                None
            }
        })
        .collect();
    let expected: Vec<f64> = (0..10)
        .map(|k| {
            if k == 0 {
                0.0
            } else {
                1e-3 * (10 - k) as f64 / 9.0
            }
        })
        .collect();
    for (rate, expected) in rates.iter().zip(&expected) {
        assert!((rate - expected).abs() < 1e-15);
    }
    assert!((summary.data.gradient_fraction - 1.0).abs() < 1e-12);
    assert!((summary.data.distinct_fraction - 0.5).abs() < 1e-12);
}

#[test]
fn tasks_and_heads_must_agree() {
    let config: RunConfig = config();
    let mut datasets = datasets();
    let model = model(&config, &datasets);
    datasets.swap(0, 1);
    let error = Trainer::new(config.clone(), datasets, model, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(
            "agreement (2 classes), sentiment (2 classes), warmth (regression) against sentiment"
        ),
        "{error}"
    );

    let mut tasks = raw_tasks();
    tasks[1].1.get_mut("train").unwrap()[3].label = None;
    let datasets = encode(tasks);
    let model = support::model(&config, &datasets);
    let error = Trainer::new(config.clone(), datasets, model, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("task `agreement`: example 3 of the training split has no label"),
        "{error}"
    );

    let mut tasks = raw_tasks();
    tasks[1].1.remove("train");
    let datasets = encode(tasks);
    let model = support::model(&config, &datasets);
    let error = Trainer::new(config, datasets, model, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("task `agreement` has no split `train`; it has dev"),
        "{error}"
    );
}

#[test]
fn evaluation_refuses_what_it_cannot_count() {
    let config = config();
    let mut tasks = raw_tasks();
    tasks[0].1.get_mut("dev").unwrap()[2].label = None;
    let datasets = encode(tasks);
    let model = model(&config, &datasets);
    let error = evaluate(&model, &datasets[0], 0, "dev", 100)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("task `sentiment`, split `dev`: example 2 has no label"),
        "{error}"
    );
    let error = evaluate(&model, &datasets[0], 0, "test", 100)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no split `test`; it has dev, train"),
        "{error}"
    );
    let error = predict(&model, 7, &datasets[0].splits["dev"], 100)
        .unwrap_err()
        .to_string();
    assert!(error.contains("none at place 7"), "{error}");
}

#[test]
fn mixed_predictions_come_in_the_order_given_from_each_tasks_own_head() {
    let datasets = datasets();
    let model = model(&config(), &datasets);
    let mut items = Vec::new();
    let mut expected = Vec::new();
    let splits: Vec<&EncodedSplit> = datasets.iter().map(|set| &set.splits["dev"]).collect();
    let alone: Vec<Vec<Answer>> = (0..splits.len())
        .map(|task| predict(&model, task, splits[task], 1_000).unwrap())
        .collect();
    // Tasks alternate, and the last ones come first.
    for index in 0..8 {
        for (task, (split, answers)) in splits.iter().zip(&alone).enumerate().rev() {
            items.push(BatchItem {
                task: task as u32,
                example: split.get(index),
            });
            expected.push(&answers[index]);
        }
    }
    for tokens in [1, 30, 10_000] {
        let mixed = predict_mixed(&model, &items, tokens).unwrap();
        assert_eq!(mixed.len(), expected.len());
        for (found, expected) in mixed.iter().zip(&expected) {
            let numbers = |answer: &Answer| match answer {
                Answer::Class { probabilities, .. } => probabilities.clone(),
                Answer::Score(score) => vec![*score],
                other => panic!("{other:?}"),
            };
            let (a, b) = (numbers(found), numbers(expected));
            assert_eq!(a.len(), b.len());
            assert!(
                a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5),
                "{a:?} {b:?}"
            );
        }
    }
}
