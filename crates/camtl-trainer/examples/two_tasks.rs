//! Trains two toy tasks from a random encoder in seconds and prints what happens:
//! `cargo run --release --example two_tasks -p camtl-trainer`.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::AtomicBool;

use camtl_data::sampler::SamplerConfig;
use camtl_data::{Example, Label, Stream, TaskDataset, TaskSpec, TextTokenizer};
use camtl_model::{EncoderConfig, Model};
use camtl_trainer::{DeviceChoice, Event, Outcome, RunConfig, Trainer, predict, setup};
use tch::Device;

const VOCABULARY: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nthe\nvery\nfilm\nbook\nfine\ngood\npoor\nbad";
const NOUNS: [&str; 2] = ["film", "book"];
const ADJECTIVES: [&str; 4] = ["fine", "good", "poor", "bad"];

fn main() -> Result<(), Box<dyn Error>> {
    let tokenizer = TextTokenizer::from_vocab(VOCABULARY, true)?;
    let mut stream = Stream::new(7, "example");
    // Two questions about the same sentences: is it praise, and is it about a film?
    let praise = task("praise", &mut stream, |_, adjective| adjective < 2)?;
    let topic = task("topic", &mut stream, |noun, _| noun == 0)?;
    let datasets = [praise, topic]
        .into_iter()
        .map(|(spec, splits)| TaskDataset::from_examples(spec, splits, &tokenizer, 16))
        .collect::<Result<Vec<_>, _>>()?;

    let mut config = RunConfig::new("none: the encoder starts at random");
    config.data.max_length = 16;
    config.sampler = SamplerConfig::released();
    config.train.device = DeviceChoice::Cpu;
    config.train.batch_size = 16;
    config.train.max_steps = Some(100);
    config.train.learning_rate = 3e-3;
    config.train.log_every_steps = 20;
    let encoder = EncoderConfig::bert(tokenizer.vocab_size() as i64, 32, 2, 2, 64, 16);
    let specs: Vec<&TaskSpec> = datasets.iter().map(|dataset| &dataset.spec).collect();
    let model_config = setup::model_config(&config, &specs, encoder);
    let model = Model::new(&model_config, Device::Cpu, config.train.seed)?;

    let run = tempfile::tempdir()?;
    let mut trainer = Trainer::new(config, datasets, model, Some(run.path()))?;
    let mut on_event = |event: &Event| match event {
        Event::Step {
            step,
            loss,
            learning_rate,
            ..
        } => {
            println!("update {step:3}: loss {loss:.4}, learning rate {learning_rate:.1e}");
        }
        Event::Evaluated { tasks, average, .. } => println!("{tasks:?}, average {average:.3}"),
        _ => {}
    };
    let outcome = trainer.run(&mut on_event, &AtomicBool::new(false))?;
    if let Outcome::Finished(summary) = outcome {
        println!(
            "distinct data used: {:.0} %",
            100.0 * summary.data.distinct_fraction
        );
    }
    let dev = &trainer.datasets()[0].splits["dev"];
    println!(
        "first prediction: {:?}",
        predict(trainer.model(), 0, dev, 1024)?[0]
    );
    Ok(())
}

type Task = (TaskSpec, BTreeMap<String, Vec<Example>>);

fn task(
    name: &str,
    stream: &mut Stream,
    yes: fn(usize, usize) -> bool,
) -> Result<Task, Box<dyn Error>> {
    let spec = TaskSpec::from_toml(
        &format!(
            "name = \"{name}\"\nkind = \"classification\"\nlabels = [\"no\", \"yes\"]\nmetrics = [\"accuracy\"]\n\
             format = \"tsv\"\nfields = {{ text_a = 0, label = 1 }}\n[files]\ntrain = \"t.tsv\"\ndev = \"d.tsv\"\n"
        ),
        name,
    )?;
    let mut make = |count: u64| -> Vec<Example> {
        (0..count)
            .map(|id| {
                let (noun, adjective) = (stream.below(2) as usize, stream.below(4) as usize);
                let filler = ["a", "the very", "the"][stream.below(3) as usize];
                Example {
                    id,
                    text_a: format!("{filler} {} {}", ADJECTIVES[adjective], NOUNS[noun]),
                    label: Some(Label::Class(u32::from(yes(noun, adjective)))),
                    ..Example::default()
                }
            })
            .collect()
    };
    let splits = BTreeMap::from([
        ("train".to_owned(), make(200)),
        ("dev".to_owned(), make(50)),
    ]);
    Ok((spec, splits))
}
