//! Samplers from outside: task probabilities, epochs, data usage, configuration, impossible setups.

use camtl_data::sampler::{
    Annealed, DataUsage, ExampleRef, MtUncertainty, Proportional, RegressionUncertainty, Sampler,
    SamplerConfig, ShuffledMix, SquareRoot, TaskInfo, Temperature, UncertaintyForm, Uniform,
    build_sampler, steps_per_epoch,
};

fn task(name: &str, train_size: usize, num_outputs: usize) -> TaskInfo {
    TaskInfo {
        name: name.into(),
        train_size,
        num_outputs,
        regression: num_outputs == 1,
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
            message(
                &SamplerConfig::from(Temperature { temperature }),
                &good,
                4,
                1.0
            )
            .contains("temperature = ")
        );
    }
    let none = SamplerConfig::from(Annealed {
        steps_per_epoch: Some(0),
    });
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
    let fraction = |epoch_fraction| {
        SamplerConfig::from(MtUncertainty {
            candidates: Default::default(),
            form: UncertaintyForm::Released,
            regression: RegressionUncertainty::Borrowed,
            epoch_fraction,
            borrow: None,
            ..MtUncertainty::default()
        })
    };
    assert_eq!(steps_per_epoch(&fraction(1.0), &glue, 32).unwrap(), 110_448);
    assert_eq!(
        steps_per_epoch(&fraction(0.269), &glue, 32).unwrap(),
        (110_448.0f64 * 0.269) as u64
    );
    assert_eq!(steps_per_epoch(&fraction(1e-9), &glue, 32).unwrap(), 1);
    assert_eq!(
        steps_per_epoch(&SamplerConfig::from(ShuffledMix {}), &glue, 32).unwrap(),
        949_733u64.div_ceil(32)
    );
    assert_eq!(
        steps_per_epoch(&SamplerConfig::from(Uniform {}), &glue, 32).unwrap(),
        949_733u64.div_ceil(32)
    );
    let pals = SamplerConfig::from(Annealed {
        steps_per_epoch: Some(2400),
    });
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
    assert_shares(&SamplerConfig::from(Uniform {}), &tasks, &[1.0, 1.0, 1.0]);
    assert_shares(
        &SamplerConfig::from(Proportional {}),
        &tasks,
        &[6400.0, 400.0, 25.0],
    );
    assert_shares(
        &SamplerConfig::from(SquareRoot {}),
        &tasks,
        &[80.0, 20.0, 5.0],
    );
    assert_shares(
        &SamplerConfig::from(Temperature { temperature: 1.0 }),
        &tasks,
        &[6400.0, 400.0, 25.0],
    );
    assert_shares(
        &SamplerConfig::from(Temperature { temperature: 2.0 }),
        &tasks,
        &[80.0, 20.0, 5.0],
    );
    assert_shares(
        &SamplerConfig::from(Annealed {
            steps_per_epoch: None,
        }),
        &tasks,
        &[6400.0, 400.0, 25.0],
    );
}

#[test]
fn annealing_moves_from_proportional_towards_uniform() {
    let tasks = [task("large", 6400, 3), task("small", 25, 2)];
    let config = SamplerConfig::from(Annealed {
        steps_per_epoch: Some(4000),
    });
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
    let mut sampler = build(&SamplerConfig::from(ShuffledMix {}), &tasks, 8);
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
        "kind = \"pooled-uncertainty\"",
        "kind = \"pooled-uncertainty\"\npool_size = 8\nmax_age = 50\nscored = 0.5\nunscored = 0\nfloor = 0.5\n\
         floor_shares = \"square-root\"\ntemperature = 1\nform = \"normalised\"",
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
        (
            "kind = \"pooled-uncertainty\"\nscored = 1.5",
            "scored = 1.5; expected a number in [0, 1]",
        ),
        (
            "kind = \"mt-uncertainty\"\nfloor = -0.5",
            "floor = -0.5; expected a number in [0, 1]",
        ),
        (
            "kind = \"mt-uncertainty\"\ntemperature = -1",
            "temperature = -1; expected a number of at least 0",
        ),
        (
            "kind = \"uniform\"\npool_size = 3",
            "the sampler `uniform` has no option `pool_size`",
        ),
        ("kind = \"round-robin\"", "unknown variant `round-robin`"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
