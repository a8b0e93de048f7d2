//! Reading, tokenising and packing, on the synthetic suite.
//!
//! `cargo bench -p camtl-benches --bench data [-- FILTER]`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;

use camtl_data::{
    BatchItem, Example, LossReduction, PackedBatch, TaskDataset, TaskSpec, TextTokenizer,
    read_lines,
};
use camtl_quickstart::synthetic;
use criterion::{Criterion, Throughput};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .without_plots()
        .configure_from_args();
    let tokenizer = TextTokenizer::from_vocab(synthetic::vocab(), true)?;
    let suite = synthetic::suite(1);
    let largest = suite
        .iter()
        .max_by_key(|task| task.splits["train"].len())
        .ok_or("the suite is empty")?;
    let examples: &[Example] = &largest.splits["train"];

    // Reading: a tab-separated file of two texts and a label.
    let spec = TaskSpec::from_toml(
        r#"
        name = "pairs"
        kind = "classification"
        labels = ["no", "yes"]
        metrics = ["accuracy"]
        format = "tsv"
        fields = { text_a = "a", text_b = "b", label = "label" }
        files = { train = "pairs.tsv" }
        "#,
        "pairs.toml",
    )?;
    let mut file = String::from("a\tb\tlabel\n");
    for (n, pair) in examples.chunks_exact(2).enumerate() {
        let label = if n % 2 == 0 { "no" } else { "yes" };
        writeln!(file, "{}\t{}\t{label}", pair[0].text_a, pair[1].text_a)?;
    }
    let mut group = criterion.benchmark_group("data/read_tsv");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("lines", |bencher| {
        bencher.iter(|| {
            black_box(
                read_lines(&spec, "train", file.as_bytes(), "pairs.tsv")
                    .expect("the file is sound"),
            )
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("data/tokenise");
    group.throughput(Throughput::Elements(examples.len() as u64));
    group.bench_function("examples", |bencher| {
        bencher.iter(|| {
            black_box(
                tokenizer
                    .encode_all(examples, 128)
                    .expect("texts are sound"),
            )
        });
    });
    group.finish();

    // Packing: batches of 32 over all tasks.
    let datasets = suite
        .iter()
        .map(|task| {
            let splits = BTreeMap::from([("train".to_owned(), task.splits["train"].clone())]);
            TaskDataset::from_examples(task.spec.clone(), splits, &tokenizer, 128)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let items: Vec<BatchItem<'_>> = (0..32)
        .map(|n| {
            let task = n % datasets.len();
            let split = &datasets[task].splits["train"];
            BatchItem {
                task: task as u32,
                example: split.get(n * 31 % split.len()),
            }
        })
        .collect();
    let batch = PackedBatch::pack(&items, LossReduction::default());
    let mut group = criterion.benchmark_group("data/pack");
    group.throughput(Throughput::Elements(batch.num_tokens() as u64));
    group.bench_function("tokens", |bencher| {
        bencher.iter(|| black_box(PackedBatch::pack(&items, LossReduction::default())));
    });
    group.bench_function("micro-batches", |bencher| {
        bencher.iter(|| black_box(batch.split_by_tokens(128).expect("every sequence fits")));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
