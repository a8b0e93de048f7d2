//! From two task files and their data to one packed batch, without a model.
//!
//! Run: `cargo run -p camtl-data --example pack_a_batch`

use std::error::Error;
use std::path::Path;

use camtl_data::{
    BatchItem, LoadOptions, LossReduction, PackedBatch, TaskSpec, TextTokenizer, load_task,
};

const VOCAB: &str = include_str!("vocab.txt");

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pack_a_batch");
    let tokenizer = TextTokenizer::from_vocab(VOCAB, true)?;

    // Each task is a TOML file; its data lies beside it. A cache folder in the options would keep the tokens.
    let options = LoadOptions::new(&here, 32);
    let mut tasks = Vec::new();
    for file in ["mood.toml", "similarity.toml"] {
        let spec = TaskSpec::from_file(here.join(file))?;
        let dataset = load_task(&spec, &tokenizer, &options)?;
        for (split, summary) in dataset.summary() {
            println!(
                "{} {split}: {} examples, {} tokens, median length {}, longest {}",
                spec.name,
                summary.examples,
                summary.tokens,
                summary.median_length,
                summary.max_length
            );
        }
        tasks.push(dataset);
    }

    // A batch of all training examples. A sampler would choose them.
    let mut items = Vec::new();
    for (task, dataset) in (0..).zip(&tasks) {
        items.extend(
            dataset.splits["train"]
                .iter()
                .map(|example| BatchItem { task, example }),
        );
    }
    let batch = PackedBatch::pack(&items, LossReduction::MeanOfTaskMeans);

    println!(
        "\n{} tokens in {} sequences:",
        batch.num_tokens(),
        batch.num_sequences()
    );
    for index in 0..batch.num_sequences() {
        let tokens: Vec<String> = batch.input_ids[batch.tokens_of(index)]
            .iter()
            .map(|id| {
                u32::try_from(*id)
                    .ok()
                    .and_then(|id| tokenizer.token(id))
                    .unwrap_or_default()
            })
            .collect();
        println!(
            "  task {}  weight {:.3}  {:?}  {}",
            batch.tasks[index],
            batch.loss_weights[index],
            batch.labels[index],
            tokens.join(" ")
        );
    }
    for part in batch.split_by_tokens(24)? {
        println!(
            "micro-batch of {} sequences, {} tokens",
            part.num_sequences(),
            part.num_tokens()
        );
    }
    Ok(())
}
