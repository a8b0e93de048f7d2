//! Whole steps at MiniLM shapes: training, scoring of the candidates of
//! MT-Uncertainty, evaluation, at mean length 40 and at full 128.
//!
//! `cargo bench -p camtl-benches --bench step [-- FILTER]`. Weights are random:
//! their values do not change what a step costs.

use std::hint::black_box;
use std::time::Duration;

use camtl_benches::{Lengths, Record, peak_memory, reset_peak_memory};
use camtl_model::{
    EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, Preset, TaskHead, Variant,
};
use camtl_ops::{
    AdamWOptions, AdamWState, DropoutStream, Packing, Targets, adamw_flat, clip_coefficient,
    cpu_isa, grad_norm, num_threads,
};
use criterion::{Criterion, Throughput};
use tch::{Device, Kind, Tensor, no_grad};

const TASKS: usize = 4;
const BATCH: usize = 32;

type Error = Box<dyn std::error::Error>;

/// Sequences of random tokens, sorted by task, with a label each.
struct Batch {
    input: ModelInput,
    targets: Targets,
    sequences: usize,
    tokens: usize,
}

impl Batch {
    fn new(lengths: Lengths, sequences: usize) -> Result<Self, Error> {
        let (mut ids, mut positions, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        let mut state = 1u64;
        for length in lengths.of(sequences) {
            for position in 0..length {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                ids.push(1000 + (state >> 33) as i64 % 29_000);
                positions.push(position);
            }
            starts.push(ids.len() as i64);
        }
        let tasks: Vec<i64> = (0..sequences)
            .map(|b| (b * TASKS / sequences) as i64)
            .collect();
        let classes: Vec<i64> = (0..sequences as i64).map(|b| b % 2).collect();
        let targets = Targets::new(&classes, &vec![0.0; sequences], Device::Cpu)?;
        let packing = Packing::new(&starts, &tasks, Device::Cpu)?;
        let tokens = ids.len();
        let input = ModelInput::new(&ids, &vec![0; tokens], &positions, packing)?;
        Ok(Batch {
            input,
            targets,
            sequences,
            tokens,
        })
    }
}

struct Training {
    model: Model,
    state: AdamWState,
    dropout: DropoutStream,
}

impl Training {
    fn new() -> Result<Self, Error> {
        let config = ModelConfig {
            encoder: EncoderConfig::bert(30_522, 384, 6, 12, 1536, 512),
            method: MethodConfig::new(Preset::Recommended, Variant::Base),
            tasks: (0..TASKS)
                .map(|t| TaskHead::classification(&format!("task{t}"), 2))
                .collect(),
            max_length: 128,
            freeze: Default::default(),
        };
        let model = Model::new(&config, Device::Cpu, 1)?;
        let state = AdamWState::new(&model.parameters().flat())?;
        Ok(Training {
            model,
            state,
            dropout: DropoutStream::new(0.1, 1),
        })
    }

    /// One update: gradients with dropout, clipping, AdamW.
    fn train(&mut self, batch: &Batch) -> Result<(), Error> {
        let parameters = self.model.parameters();
        parameters.zero_grad()?;
        let output = self.model.forward(&batch.input, Some(&mut self.dropout))?;
        let heads = self
            .model
            .heads(&output, Some(&batch.targets), Some(&mut self.dropout))?;
        heads
            .loss
            .ok_or("no loss")?
            .f_mean(Kind::Float)?
            .f_backward()?;
        let grad = parameters.flat_grad();
        let clip = clip_coefficient(&grad_norm(&grad)?, 1.0)?;
        let options = AdamWOptions {
            lr: 2e-5,
            ..AdamWOptions::default()
        };
        no_grad(|| {
            adamw_flat(
                &mut self.state,
                &mut parameters.flat(),
                &grad,
                &options,
                Some(&clip),
            )
        })?;
        Ok(())
    }

    /// Entropies of all sequences.
    fn score(&self, batch: &Batch) -> Result<Tensor, Error> {
        no_grad(|| {
            let output = self.model.forward(&batch.input, None)?;
            Ok(self.model.heads(&output, None, None)?.entropy)
        })
    }
}

fn main() -> Result<(), Error> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .without_plots()
        .configure_from_args();
    let record = Record::default();
    let mut peaks = Vec::new();
    for lengths in [Lengths::Mean40, Lengths::Full128] {
        let name = format!("step/minilm/{}", lengths.name());
        let mut training = Training::new()?;
        let (batch, candidates) = (
            Batch::new(lengths, BATCH)?,
            Batch::new(lengths, BATCH * TASKS)?,
        );
        reset_peak_memory();
        let mut group = criterion.benchmark_group(&name);
        group.throughput(Throughput::Elements(batch.sequences as u64));
        record.measure(&mut group, &name, "train", || {
            training.train(&batch).expect("training step")
        });
        peaks.push(peak_memory());
        group.throughput(Throughput::Elements(candidates.sequences as u64));
        record.measure(&mut group, &name, "score", || {
            drop(black_box(training.score(&candidates).expect("scoring")));
        });
        group.finish();
    }

    println!(
        "\nmedians of this run, batch {BATCH}, {TASKS} tasks, {} threads, {:?}",
        num_threads()?,
        cpu_isa()
    );
    for (lengths, peak) in [Lengths::Mean40, Lengths::Full128].into_iter().zip(peaks) {
        let name = format!("step/minilm/{}", lengths.name());
        let (Some(train), Some(score)) =
            (record.median(&name, "train"), record.median(&name, "score"))
        else {
            continue;
        };
        let (train, score) = (train.as_secs_f64(), score.as_secs_f64());
        let (batch, candidates) = (
            Batch::new(lengths, BATCH)?,
            Batch::new(lengths, BATCH * TASKS)?,
        );
        println!("{}:", lengths.name());
        println!(
            "  trained examples/s              {:8.1}",
            BATCH as f64 / train
        );
        println!(
            "  trained tokens/s                {:8.0}",
            batch.tokens as f64 / train
        );
        println!(
            "  scored examples/s               {:8.1}",
            (BATCH * TASKS) as f64 / score
        );
        println!(
            "  scored tokens/s                 {:8.0}",
            candidates.tokens as f64 / score
        );
        println!(
            "  MT-Uncertainty, examples/s      {:8.1}",
            BATCH as f64 / (train + score)
        );
        println!(
            "  share of scoring                {:8.1} %",
            100.0 * score / (train + score)
        );
        match peak {
            Some(bytes) => println!(
                "  peak memory of a training step  {:8.0} MiB",
                bytes as f64 / 1048576.0
            ),
            None => println!("  peak memory of a training step   not known on this system"),
        }
    }
    let median =
        |lengths: Lengths, case| record.median(&format!("step/minilm/{}", lengths.name()), case);
    for case in ["train", "score"] {
        if let (Some(short), Some(full)) = (
            median(Lengths::Mean40, case),
            median(Lengths::Full128, case),
        ) {
            let ratio = full.as_secs_f64() / short.as_secs_f64();
            println!("{case} at mean length 40 is {ratio:.2} times as fast as at 128");
        }
    }
    criterion.final_summary();
    Ok(())
}
