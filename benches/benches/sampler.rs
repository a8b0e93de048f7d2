//! Choosing batches without a model, at the sizes of GLUE's eight tasks: what a
//! sampler adds to a step, and what it costs to save its state.
//!
//! `cargo bench -p camtl-benches --bench sampler [-- FILTER]`

use std::hint::black_box;

use camtl_data::sampler::{
    Annealed, ExampleRef, Proportional, SamplerConfig, ShuffledMix, SquareRoot, TaskInfo,
    Temperature, Uniform, build_sampler,
};
use criterion::{Criterion, Throughput};

const BATCH: usize = 32;

type Error = Box<dyn std::error::Error>;

fn glue() -> Vec<TaskInfo> {
    [
        ("cola", 8_551, 2),
        ("mnli", 392_702, 3),
        ("mrpc", 3_668, 2),
        ("qnli", 104_743, 2),
        ("qqp", 363_846, 2),
        ("rte", 2_490, 2),
        ("sst-2", 67_349, 2),
        ("sts-b", 5_749, 1),
    ]
    .map(|(name, train_size, num_outputs)| TaskInfo {
        name: name.into(),
        train_size,
        num_outputs,
        regression: num_outputs == 1,
    })
    .into()
}

fn main() -> Result<(), Error> {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .without_plots()
        .configure_from_args();
    let mut group = criterion.benchmark_group("sampler/next_batch/glue");
    group.throughput(Throughput::Elements(BATCH as u64));
    for config in [
        SamplerConfig::released(),
        SamplerConfig::from(Uniform {}),
        SamplerConfig::from(Proportional {}),
        SamplerConfig::from(SquareRoot {}),
        SamplerConfig::from(Temperature { temperature: 2.0 }),
        SamplerConfig::from(Annealed {
            steps_per_epoch: None,
        }),
        SamplerConfig::from(ShuffledMix {}),
    ] {
        let mut sampler = build_sampler(&config, &glue(), BATCH, 5.0, 12)?;
        // Entropies that depend on the example alone and cost next to nothing.
        let mut scorer = |candidates: &[ExampleRef]| {
            Ok(candidates
                .iter()
                .map(|c| (c.index.wrapping_mul(2_654_435_761) >> 8) as f32 * 4e-8)
                .collect())
        };
        group.bench_function(config.name(), |bencher| {
            bencher.iter(|| black_box(sampler.next_batch(&mut scorer).expect("a batch")));
        });
    }
    group.finish();
    let mut sampler = build_sampler(&SamplerConfig::released(), &glue(), BATCH, 5.0, 12)?;
    let mut scorer = |candidates: &[ExampleRef]| Ok(vec![0.5; candidates.len()]);
    sampler.next_batch(&mut scorer)?;
    criterion.bench_function("sampler/state/glue", |bencher| {
        bencher.iter(|| black_box(sampler.state()))
    });
    criterion.final_summary();
    Ok(())
}
