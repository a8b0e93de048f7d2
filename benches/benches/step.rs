//! Whole steps at MiniLM shapes: training, and scoring of the candidates of
//! MT-Uncertainty, at mean length 40 and at full 128, with fused operations and
//! with their slow definitions.
//!
//! `cargo bench -p camtl-benches --bench step [-- FILTER]`; `-- fused` or
//! `-- slow` measures one of the two, `-- samplers` only what samplers add to an
//! update. Weights are random: their values do not
//! change what a step costs.

use std::hint::black_box;
use std::time::Duration;

use camtl_benches::step::{BATCH, CLASSES, Sequences, Training, model_config};
use camtl_benches::updates::medians;
use camtl_benches::{Lengths, Record, peak_memory, reset_peak_memory};
use camtl_model::{Model, Preset};
use camtl_ops::{cpu_isa, keep_freed_memory, num_threads, set_fused};
use criterion::{Criterion, Throughput};
use tch::Device;

const LENGTHS: [Lengths; 2] = [Lengths::Mean40, Lengths::Full128];
/// Turns of the comparison of samplers.
const ROUNDS: usize = 15;
const FORMS: [&str; 2] = ["fused", "slow"];

/// The case of one form and one length.
fn name(form: &str, lengths: Lengths) -> String {
    format!("step/minilm/{}/{form}", lengths.name())
}

fn main() -> anyhow::Result<()> {
    // As the program `camtl` does at its start.
    keep_freed_memory();
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .without_plots()
        .configure_from_args();
    let record = Record::default();
    let mut peaks = Vec::new();
    for form in FORMS {
        set_fused(form == "fused");
        for lengths in LENGTHS {
            let model = Model::new(&model_config(Preset::Recommended), Device::Cpu, 1)?;
            let mut training = Training::new(model)?;
            let batch = Sequences::random(lengths, &CLASSES, BATCH, 1).pack(Device::Cpu)?;
            let candidates = Sequences::random(lengths, &CLASSES, BATCH * CLASSES.len(), 2);
            let packed = candidates.pack(Device::Cpu)?;
            reset_peak_memory();
            let name = name(form, lengths);
            let mut group = criterion.benchmark_group(&name);
            group.throughput(Throughput::Elements(BATCH as u64));
            record.measure(&mut group, &name, "train", || {
                training.train(&batch, true).expect("training step");
            });
            peaks.push(peak_memory());
            group.throughput(Throughput::Elements(candidates.ids.len() as u64));
            record.measure(&mut group, &name, "score", || {
                drop(black_box(
                    training.score(&candidates, &packed).expect("scoring"),
                ));
            });
            group.finish();
        }
    }

    println!(
        "\nmedians of this run, batch {BATCH}, {} tasks, {} threads, {:?}",
        CLASSES.len(),
        num_threads()?,
        cpu_isa()
    );
    let cases = FORMS
        .iter()
        .flat_map(|form| LENGTHS.map(|lengths| (*form, lengths)));
    for ((form, lengths), peak) in cases.zip(peaks) {
        let seconds = |case| {
            let median = record.median(&name(form, lengths), case)?;
            Some(median.as_secs_f64())
        };
        if let (Some(train), Some(score)) = (seconds("train"), seconds("score")) {
            println!("{form}, {}:", lengths.name());
            print_rates(lengths, train, score);
            match peak {
                Some(bytes) => line(
                    "peak memory of a training step",
                    bytes as f64 / 1048576.0,
                    "MiB",
                ),
                None => println!("  peak memory is not known on this system"),
            }
        }
    }
    for form in FORMS {
        for case in ["train", "score"] {
            let [short, full] = LENGTHS.map(|lengths| record.median(&name(form, lengths), case));
            if let (Some(short), Some(full)) = (short, full) {
                let ratio = full.as_secs_f64() / short.as_secs_f64();
                println!("{form}: {case} at mean length 40 is {ratio:.2} times as fast as at 128");
            }
        }
    }
    criterion.final_summary();
    compare_samplers()
}

/// What choosing examples adds to an update, for two numbers of tasks.
fn compare_samplers() -> anyhow::Result<()> {
    set_fused(true);
    let filter: Vec<String> = std::env::args().skip(1).collect();
    if !filter
        .iter()
        .all(|arg| arg.starts_with("--") || arg.contains("samplers"))
    {
        return Ok(());
    }
    for tasks in [9, 26] {
        println!("\nupdates of the trainer, {tasks} tasks, mean length 40, by turns:");
        let medians = medians(tasks, ROUNDS)?;
        let uniform = medians.first().map_or(f64::NAN, |(_, seconds)| *seconds);
        for (name, seconds) in medians {
            println!(
                "  {name:36}{:10.1} ms  {:.2} of uniform",
                1e3 * seconds,
                seconds / uniform
            );
        }
    }
    Ok(())
}

fn print_rates(lengths: Lengths, train: f64, score: f64) {
    let candidates = BATCH * CLASSES.len();
    let tokens = |count| Sequences::random(lengths, &CLASSES, count, 1).tokens() as f64;
    line("trained examples/s", BATCH as f64 / train, "");
    line("trained tokens/s", tokens(BATCH) / train, "");
    line("scored examples/s", candidates as f64 / score, "");
    line("scored tokens/s", tokens(candidates) / score, "");
    line(
        "MT-Uncertainty, trained examples/s",
        BATCH as f64 / (train + score),
        "",
    );
    line("share of scoring", 100.0 * score / (train + score), "%");
}

fn line(what: &str, value: f64, unit: &str) {
    println!("  {what:36}{value:10.1} {unit}");
}
