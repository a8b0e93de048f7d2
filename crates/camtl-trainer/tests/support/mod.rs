//! Three toy tasks (a sentiment, a pair and a score), a tiny random encoder and helpers.

#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use camtl_data::task::TaskSpec;
use camtl_data::{Example, Label, Stream, TaskDataset, TextTokenizer};
use camtl_model::{EncoderConfig, Model};
use camtl_trainer::{DeviceChoice, Event, Outcome, RunConfig, Summary, TrainError, Trainer, setup};
use tch::Device;

pub const MAX_LENGTH: usize = 16;
const WORDS: [&str; 12] = [
    "film", "book", "song", "a", "the", "very", "good", "fine", "great", "bad", "poor", "awful",
];

pub fn tokenizer() -> TextTokenizer {
    let mut vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
    for word in WORDS {
        vocab.push_str(word);
        vocab.push('\n');
    }
    TextTokenizer::from_vocab(&vocab, true).unwrap()
}

fn spec(name: &str, kind: &str, metrics: &str, pair: bool) -> TaskSpec {
    let text_b = if pair { "text_b = 1, " } else { "" };
    TaskSpec::from_toml(
        &format!(
            "name = {name:?}\n{kind}\nmetrics = {metrics}\nformat = \"tsv\"\n\
             fields = {{ text_a = 0, {text_b}label = 2 }}\n[files]\ntrain = \"train.tsv\"\ndev = \"dev.tsv\"\n"
        ),
        name,
    )
    .unwrap()
}

fn sentence(stream: &mut Stream, positive: bool) -> String {
    let noun = WORDS[stream.below(3) as usize];
    let adjective = WORDS[(if positive { 6 } else { 9 } + stream.below(3)) as usize];
    let mut words = vec!["the"; stream.below(4) as usize];
    words.extend([noun, "very", adjective]);
    words.join(" ")
}

fn examples(
    stream: &mut Stream,
    count: usize,
    make: impl Fn(&mut Stream) -> (String, Option<String>, Label),
) -> Vec<Example> {
    (0..count as u64)
        .map(|id| {
            let (text_a, text_b, label) = make(stream);
            Example {
                id,
                text_a,
                text_b,
                label: Some(label),
                ..Example::default()
            }
        })
        .collect()
}

fn sentiment(stream: &mut Stream) -> (String, Option<String>, Label) {
    let positive = stream.below(2) == 1;
    (
        sentence(stream, positive),
        None,
        Label::Class(u32::from(positive)),
    )
}

/// Whether both sentences have the same sentiment.
fn agreement(stream: &mut Stream) -> (String, Option<String>, Label) {
    let (a, b) = (stream.below(2) == 1, stream.below(2) == 1);
    (
        sentence(stream, a),
        Some(sentence(stream, b)),
        Label::Class(u32::from(a == b)),
    )
}

fn warmth(stream: &mut Stream) -> (String, Option<String>, Label) {
    let positive = stream.below(2) == 1;
    (
        sentence(stream, positive),
        None,
        Label::Score(if positive { 4.0 } else { 1.0 }),
    )
}

/// The toy tasks' names and examples; sizes differ as in real suites.
pub fn raw_tasks() -> Vec<(TaskSpec, BTreeMap<String, Vec<Example>>)> {
    let mut stream = Stream::new(5, "toy");
    let classes = |labels: &str| format!("kind = \"classification\"\nlabels = {labels}");
    let mut task =
        |spec: TaskSpec, train: usize, make: fn(&mut Stream) -> (String, Option<String>, Label)| {
            let splits = [("train", train), ("dev", 24)];
            let splits =
                splits.map(|(name, count)| (name.to_owned(), examples(&mut stream, count, make)));
            (spec, splits.into())
        };
    vec![
        task(
            spec(
                "sentiment",
                &classes("[\"bad\", \"good\"]"),
                "[\"accuracy\"]",
                false,
            ),
            90,
            sentiment,
        ),
        task(
            spec(
                "agreement",
                &classes("[\"no\", \"yes\"]"),
                "[\"accuracy\", \"f1\"]",
                true,
            ),
            40,
            agreement,
        ),
        task(
            spec(
                "warmth",
                "kind = \"regression\"\nrange = [0.0, 5.0]",
                "[\"pearson\", \"spearman\"]",
                false,
            ),
            30,
            warmth,
        ),
    ]
}

pub fn encode(tasks: Vec<(TaskSpec, BTreeMap<String, Vec<Example>>)>) -> Vec<TaskDataset> {
    let tokenizer = tokenizer();
    tasks
        .into_iter()
        .map(|(spec, splits)| {
            TaskDataset::from_examples(spec, splits, &tokenizer, MAX_LENGTH).unwrap()
        })
        .collect()
}

pub fn datasets() -> Vec<TaskDataset> {
    encode(raw_tasks())
}

/// A short run with everything that can differ switched on: dropout, three tasks, MT-Uncertainty.
pub fn config() -> RunConfig {
    let mut config = RunConfig::new("toy");
    config.data.max_length = MAX_LENGTH;
    config.train.device = DeviceChoice::Cpu;
    config.train.threads = Some(1);
    config.train.batch_size = 8;
    config.train.max_steps = Some(12);
    config.train.learning_rate = 1e-3;
    config.train.log_every_steps = 2;
    config.checkpoint.every_steps = 3;
    config.checkpoint.keep_best = false;
    config
}

pub fn encoder() -> EncoderConfig {
    EncoderConfig::bert(
        tokenizer().vocab_size() as i64,
        32,
        2,
        2,
        64,
        MAX_LENGTH as i64,
    )
}

pub fn model(config: &RunConfig, datasets: &[TaskDataset]) -> Model {
    let specs: Vec<&TaskSpec> = datasets.iter().map(|dataset| &dataset.spec).collect();
    Model::new(
        &setup::model_config(config, &specs, encoder()),
        Device::Cpu,
        config.train.seed,
    )
    .unwrap()
}

pub fn trainer(config: &RunConfig, run_dir: Option<&Path>) -> Trainer {
    let datasets = datasets();
    let model = model(config, &datasets);
    Trainer::new(config.clone(), datasets, model, run_dir).unwrap()
}

pub fn resume(config: &RunConfig, run_dir: &Path) -> Result<Trainer, TrainError> {
    let datasets = datasets();
    let fresh = model(config, &datasets);
    Trainer::resume(config.clone(), datasets, run_dir, || Ok(fresh))
}

/// Runs to the end; returns the summary and all events.
pub fn finish(trainer: &mut Trainer) -> (Summary, Vec<Event>) {
    let mut events = Vec::new();
    match trainer
        .run(
            &mut |event| events.push(event.clone()),
            &AtomicBool::new(false),
        )
        .unwrap()
    {
        Outcome::Finished(summary) => (summary, events),
        other => panic!("{other:?}"),
    }
}

/// Losses of all updates.
pub fn losses(events: &[Event]) -> Vec<f64> {
    events
        .iter()
        .filter_map(|event| {
            if let Event::Progress { loss, .. } = event {
                Some(*loss)
            } else {
                None
            }
        })
        .collect()
}

/// Runs until `step` updates are made and then asks it to stop.
pub fn run_until(trainer: &mut Trainer, step: u64) -> Outcome {
    let stop = AtomicBool::new(trainer.step() >= step);
    trainer
        .run(
            &mut |event| {
                if matches!(event, Event::Progress { step: at, .. } if *at >= step) {
                    stop.store(true, Ordering::Relaxed);
                }
            },
            &stop,
        )
        .unwrap()
}

/// The events of a run without their timings.
pub fn written_events(run_dir: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run_dir.join("events.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("timing");
            value
        })
        .collect()
}

pub fn weights(run_dir: &Path) -> Vec<u8> {
    std::fs::read(run_dir.join("model.safetensors")).unwrap()
}
