//! Updates of the trainer itself with several samplers, by turns in one program: what choosing examples costs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use camtl_data::sampler::{MtUncertainty, PooledUncertainty, SamplerConfig, Uniform};
use camtl_data::{Example, Label, Stream, TaskDataset, TaskSpec, TextTokenizer};
use camtl_model::{EncoderConfig, Model};
use camtl_trainer::{DeviceChoice, Event, RunConfig, Trainer, setup};
use tch::Device;

use crate::Lengths;
use crate::step::{BATCH, MAX_LENGTH};

/// Rows of each task.
const ROWS: usize = 640;
/// Words of the made-up language.
const WORDS: u64 = 2_000;
/// Updates before anything is counted: pools fill, memory settles.
const WARM_UP: u64 = 3;

/// The kinds that are compared; the first is what the others are divided by.
fn kinds() -> [SamplerConfig; 3] {
    [
        Uniform {}.into(),
        PooledUncertainty::default().into(),
        MtUncertainty::default().into(),
    ]
}

/// Classifications with random sentences of mean length 40.
fn datasets(tasks: usize) -> anyhow::Result<Vec<TaskDataset>> {
    let words: Vec<String> = (0..WORDS).map(|number| format!("w{number}")).collect();
    let vocabulary = format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{}\n", words.join("\n"));
    let tokenizer = TextTokenizer::from_vocab(&vocabulary, true)?;
    let mut stream = Stream::new(1, "bench/updates");
    let mut all = Vec::with_capacity(tasks);
    for task in 0..tasks {
        let spec = TaskSpec::from_toml(
            &format!(
                "name = \"task{task}\"\nkind = \"classification\"\nlabels = [\"0\", \"1\"]\n\
                 metrics = [\"accuracy\"]\nformat = \"tsv\"\nfields = {{ text_a = 0, label = 1 }}\n\
                 [files]\ntrain = \"train.tsv\"\n"
            ),
            "bench",
        )?;
        let rows = Lengths::Mean40.of(ROWS).into_iter().zip(0..);
        let rows: Vec<Example> = rows
            .map(|(length, id)| {
                let words: Vec<&str> = (2..length)
                    .map(|_| words[stream.below(WORDS) as usize].as_str())
                    .collect();
                Example {
                    id,
                    text_a: words.join(" "),
                    label: Some(Label::Class(stream.below(2) as u32)),
                    ..Example::default()
                }
            })
            .collect();
        let splits = BTreeMap::from([("train".to_owned(), rows)]);
        all.push(TaskDataset::from_examples(
            spec, splits, &tokenizer, MAX_LENGTH,
        )?);
    }
    Ok(all)
}

/// One update; its seconds.
fn update(trainer: &mut Trainer) -> anyhow::Result<f64> {
    let stop = AtomicBool::new(false);
    let mut seconds = None;
    trainer.run(
        &mut |event| {
            if let Event::Progress { timing, .. } = event {
                seconds = Some(timing.took_s);
                stop.store(true, Ordering::Relaxed);
            }
        },
        &stop,
    )?;
    seconds.context("the trainer made no update")
}

/// Median seconds of an update of each kind of sampler, by its name, over `rounds` turns. In each turn every trainer
/// makes two updates, of which the second counts.
///
/// # Errors
/// The trainer fails.
pub fn medians(tasks: usize, rounds: usize) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let datasets = datasets(tasks)?;
    let mut trainers = Vec::new();
    for sampler in kinds() {
        let mut config = RunConfig::new("bench");
        config.data.max_length = MAX_LENGTH;
        config.train.device = DeviceChoice::Cpu;
        config.train.batch_size = BATCH;
        config.train.max_steps = Some(1_000_000);
        config.sampler = sampler;
        let specs: Vec<&TaskSpec> = datasets.iter().map(|dataset| &dataset.spec).collect();
        let encoder = EncoderConfig::bert(30_522, 384, 6, 12, 1536, 512);
        let shape = setup::model_config(&config, &specs, encoder);
        let model = Model::new(&shape, Device::Cpu, 1)?;
        let name = config.sampler.name();
        trainers.push((
            name,
            Trainer::new(config, datasets.clone(), model, None)?,
            Vec::new(),
        ));
    }
    for _ in 0..WARM_UP {
        for (_, trainer, _) in &mut trainers {
            update(trainer)?;
        }
    }
    for _ in 0..rounds {
        for (_, trainer, seconds) in &mut trainers {
            update(trainer)?;
            seconds.push(update(trainer)?);
        }
    }
    let median = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    };
    Ok(trainers
        .into_iter()
        .map(|(name, _, seconds)| (name, median(seconds)))
        .collect())
}
