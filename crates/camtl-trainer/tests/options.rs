//! Options that change what is trained, and how fast: held-out data, learning rates by group, loss weights.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use camtl_data::sampler::{SamplerConfig, ShuffledMix};
use camtl_data::{HOLDOUT, TaskSpec};
use camtl_model::ParameterGroup;
use camtl_trainer::{RunConfig, TrainError, Trainer, evaluate, load_datasets, setup};
use support::*;

/// All values of each group, in the order of the parameters.
fn values(trainer: &Trainer) -> BTreeMap<ParameterGroup, Vec<f32>> {
    let mut values: BTreeMap<ParameterGroup, Vec<f32>> = BTreeMap::new();
    let parameters = trainer.model().parameters();
    for entry in parameters.entries() {
        let tensor = parameters.tensor(&entry.name).unwrap().flatten(0, -1);
        let group = ParameterGroup::of(entry.module);
        let part = Vec::<f32>::try_from(tensor).unwrap();
        values.entry(group).or_default().extend(part);
    }
    values
}

#[test]
fn groups_take_their_own_learning_rates() {
    let run = |conditional: f64, head: f64, steps| {
        let mut config = config();
        config.train.max_steps = Some(steps);
        config.train.warmup_ratio = 0.0;
        config.train.conditional_learning_rate_scale = conditional;
        config.train.head_learning_rate_scale = head;
        let mut trainer = trainer(&config, None);
        let start = values(&trainer);
        finish(&mut trainer);
        (start, values(&trainer))
    };
    let moved = |(start, end): &(BTreeMap<_, Vec<f32>>, BTreeMap<_, Vec<f32>>), group| {
        let pairs = start[&group].iter().zip(&end[&group]);
        pairs
            .map(|(a, b)| f64::from((a - b).abs()))
            .fold(0.0, f64::max)
    };
    let (backbone, conditional, head) = (
        ParameterGroup::Backbone,
        ParameterGroup::Conditional,
        ParameterGroup::Head,
    );
    let still = run(0.0, 0.0, 3);
    assert!(moved(&still, backbone) > 0.0);
    assert_eq!(moved(&still, conditional), 0.0);
    assert_eq!(moved(&still, head), 0.0);
    // The first update moves every element by about the learning rate, 1e-3.
    let one = run(1.0, 1.0, 1);
    let scaled = run(10.0, 0.5, 1);
    for (group, factor) in [(backbone, 1.0), (conditional, 10.0), (head, 0.5)] {
        let ratio = moved(&scaled, group) / moved(&one, group);
        assert!((ratio - factor).abs() < 1e-2 * factor, "{group:?}: {ratio}");
    }
    assert_eq!(scaled.1[&backbone], one.1[&backbone]);
}

#[test]
fn a_task_of_weight_zero_gives_no_gradient() {
    let mut config = config();
    config.train.max_steps = Some(4);
    config.sampler = SamplerConfig::from(ShuffledMix {});
    config.train.loss_weights = [("warmth".to_owned(), 0.0)].into();
    let mut run = trainer(&config, None);
    let head = |trainer: &Trainer, task: usize| {
        let name = format!("decoders.{task}.model.weight");
        let tensor = trainer.model().parameters().tensor(&name).unwrap();
        Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap()
    };
    let before = [head(&run, 0), head(&run, 2)];
    finish(&mut run);
    assert_ne!(head(&run, 0), before[0]);
    assert_eq!(head(&run, 2), before[1]);

    config.train.loss_weights = [("warmpth".to_owned(), 2.0)].into();
    let datasets = datasets();
    let model = model(&config, &datasets);
    let error = Trainer::new(config, datasets, model, None).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("warmpth") && text.contains("sentiment"),
        "{text}"
    );
}

/// Forty rows of a task in `dir`, and its description.
fn task_on_disk(dir: &Path) -> TaskSpec {
    let mut rows = "text\tlabel\n".to_owned();
    for row in 0..40 {
        let (word, label) = [("good", 1), ("awful", 0)][row % 2];
        let more = " very".repeat(row / 2 % 5);
        let _ = writeln!(rows, "the{more} {word} film\t{label}");
    }
    std::fs::write(dir.join("train.tsv"), &rows).unwrap();
    std::fs::write(dir.join("dev.tsv"), &rows).unwrap();
    TaskSpec::from_toml(
        "name = \"film\"\nkind = \"classification\"\nlabels = [\"0\", \"1\"]\nmetrics = [\"accuracy\"]\n\
         format = \"tsv\"\nfields = { text_a = 0, label = 1 }\n[files]\ntrain = \"train.tsv\"\ndev = \"dev.tsv\"\n",
        "film",
    )
    .unwrap()
}

fn holdout_config(dir: &Path) -> RunConfig {
    let mut config = config();
    config.data.dir = dir.to_path_buf();
    config.data.cache_dir = dir.join("cache");
    config.data.holdout_fraction = 0.25;
    config.eval.splits = vec![HOLDOUT.to_owned()];
    config.train.max_steps = Some(9);
    config
}

#[test]
fn held_out_examples_are_evaluated_and_not_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let spec = task_on_disk(folder.path());
    let config = holdout_config(folder.path());
    let load = |config: &RunConfig| {
        load_datasets(config, std::slice::from_ref(&spec), &tokenizer()).unwrap()
    };
    let ids = |config: &RunConfig, split: &str| -> Vec<u64> {
        let datasets = load(config);
        let split = datasets[0].split(split).unwrap();
        split.iter().map(|example| example.id).collect()
    };
    assert_eq!(ids(&config, "train").len(), 30);
    assert_eq!(ids(&config, HOLDOUT).len(), 10);
    // Another seed of training holds out the same, a part of the rest is a part of the rest.
    let mut other = config.clone();
    other.train.seed += 1;
    other.data.train_fraction = Some(0.5);
    assert_eq!(ids(&other, HOLDOUT), ids(&config, HOLDOUT));
    assert_eq!(ids(&other, "train").len(), 15);
    assert!(
        ids(&other, "train")
            .iter()
            .all(|id| ids(&config, "train").contains(id))
    );

    let run = |dir: &Path, stop: Option<u64>| {
        let datasets = load(&config);
        let fresh = model(&config, &datasets);
        let mut trainer = Trainer::new(config.clone(), datasets, fresh, Some(dir)).unwrap();
        if let Some(stop) = stop {
            run_until(&mut trainer, stop);
            drop(trainer);
            let datasets = load(&config);
            let fresh = model(&config, &datasets);
            trainer = Trainer::resume(config.clone(), datasets, dir, || Ok(fresh)).unwrap();
        }
        let (summary, _) = finish(&mut trainer);
        (trainer, summary)
    };
    let whole = folder.path().join("whole");
    let (trainer, summary) = run(&whole, None);
    let used = &summary.data.per_task["film"];
    assert_eq!(used.size, 30);
    assert_eq!(summary.examples["film"][HOLDOUT].evaluated, 10);
    // What the run says of its held-out part is what the loaded part gives.
    let alone = setup::load_splits(&config, &spec, &tokenizer(), &[HOLDOUT.to_owned()]).unwrap();
    let scores = evaluate(trainer.model(), &alone, 0, HOLDOUT, 512).unwrap();
    assert_eq!(scores.examples, 10);
    assert_eq!(
        scores.metrics["accuracy"],
        summary.tasks["film"]["accuracy"]
    );

    let resumed = folder.path().join("resumed");
    run(&resumed, Some(4));
    assert!(weights(&whole) == weights(&resumed));
}

#[test]
fn what_cannot_be_held_out_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = task_on_disk(folder.path());
    let mut config = holdout_config(folder.path());
    let load = |config: &RunConfig, spec: &TaskSpec| {
        load_datasets(config, std::slice::from_ref(spec), &tokenizer())
    };
    let text =
        |result: Result<Vec<_>, TrainError>| result.map(|_: Vec<_>| ()).unwrap_err().to_string();
    config.data.train_limit = Some(1);
    let message = text(load(&config, &spec));
    assert!(
        message.contains("film") && message.contains("too few"),
        "{message}"
    );
    config.data.train_limit = None;
    let dev = spec.files["dev"].clone();
    spec.files.insert(HOLDOUT.to_owned(), dev);
    let message = text(load(&config, &spec));
    assert!(message.contains("of its own"), "{message}");
    // Without a fraction it is a split like any other.
    config.data.holdout_fraction = 0.0;
    assert_eq!(
        load(&config, &spec).unwrap()[0]
            .split(HOLDOUT)
            .unwrap()
            .len(),
        40
    );
    config.data.holdout_fraction = 1.0;
    assert!(
        config
            .check()
            .unwrap_err()
            .to_string()
            .contains("data.holdout_fraction")
    );
}
