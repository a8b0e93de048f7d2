//! Whole steps on one GPU: first that the model computes what the CPU computes and that replayed graphs
//! give its bits, then how long a training step and a scoring pass take, launch by launch and as graphs.
//! `cargo xtask gpu-check` carries it to a GPU machine.
//!
//! Prints one JSON object per line. Weights are random: their values do not change what a step costs.
//! `camtl-step minilm|base|large mean40|full128 float32|bfloat16` times that one case alone, for a
//! profiler.

use std::process::ExitCode;
use std::time::Instant;

use camtl_benches::step::{Batch, Sequences};
use camtl_benches::{BASE, LARGE, Lengths, MINILM, Shape};
use camtl_model::{
    EncoderConfig, MethodConfig, Model, ModelConfig, Preset, StepGraphs, TaskHead, Variant,
};
use camtl_ops::{
    AdamWOptions, AdamWState, DropoutStream, clip_coefficient, grad_norm, open_cuda, set_fused,
};
use tch::{Device, Kind, Tensor, no_grad};

type Error = Box<dyn std::error::Error>;

const BATCH: usize = 32;
/// Candidates of MT-Uncertainty with eight tasks.
const CANDIDATES: usize = 256;
const TASKS: usize = 8;
/// Classes of each.
const CLASSES: usize = 2;

fn batch_of(lengths: Lengths, sequences: usize, device: Device) -> Result<Batch, Error> {
    let sequences = Sequences::random(lengths, &[CLASSES; TASKS], sequences, 1);
    Ok(sequences.pack(device)?)
}

fn config(shape: Shape) -> ModelConfig {
    let layers = match shape.name {
        "large" => 24,
        "base" => 12,
        _ => 6,
    };
    let variant = match shape.name {
        "large" => Variant::Large,
        _ => Variant::Base,
    };
    ModelConfig {
        encoder: EncoderConfig::bert(
            28_996,
            shape.hidden,
            layers,
            shape.heads,
            4 * shape.hidden,
            512,
        ),
        method: MethodConfig::new(Preset::Released, variant),
        tasks: (0..TASKS)
            .map(|t| TaskHead::classification(&format!("task{t}"), CLASSES))
            .collect(),
        max_length: 128,
        freeze: Default::default(),
    }
}

/// Losses of a batch and the gradient of their mean, on the CPU.
fn gradients(
    model: &Model,
    batch: &Batch,
    mut dropout: Option<DropoutStream>,
) -> Result<[Tensor; 2], Error> {
    model.parameters().zero_grad()?;
    let output = model.forward(&batch.input, dropout.as_mut())?;
    let heads = model.heads(&output, Some(&batch.targets), dropout.as_mut())?;
    let loss = heads.loss.ok_or("no loss")?;
    loss.f_mean(Kind::Float)?.f_backward()?;
    Ok([
        loss.f_detach()?.f_to_device(Device::Cpu)?,
        model
            .parameters()
            .flat_grad()
            .f_to_device(Device::Cpu)?
            .copy(),
    ])
}

fn distance(got: &Tensor, want: &Tensor) -> Result<f64, Error> {
    let (got, want) = (got.f_to_kind(Kind::Double)?, want.f_to_kind(Kind::Double)?);
    let difference = (&got - &want).f_norm()?.f_double_value(&[])?;
    Ok(difference / want.f_norm()?.f_double_value(&[])?)
}

/// Relative distance to the CPU in losses and gradients, per precision and with dropout.
fn compare(shape: Shape, gpu: Device) -> Result<bool, Error> {
    let mut good = true;
    let reference = Model::new(&config(shape), Device::Cpu, 3)?;
    let on_cpu = batch_of(Lengths::Mean40, BATCH, Device::Cpu)?;
    let mut model = Model::new(&config(shape), gpu, 3)?;
    let on_gpu = batch_of(Lengths::Mean40, BATCH, gpu)?;
    for dropout in [false, true] {
        let stream = || dropout.then(|| DropoutStream::new(0.1, 7));
        let want = gradients(&reference, &on_cpu, stream())?;
        for (precision, kind, tolerance) in [
            ("float32", None, [1e-4, 1e-3]),
            ("bfloat16", Some(Kind::BFloat16), [2e-2, 1e-1]),
        ] {
            model.set_autocast(kind);
            let got = gradients(&model, &on_gpu, stream())?;
            let again = gradients(&model, &on_gpu, stream())?;
            let distances = [distance(&got[0], &want[0])?, distance(&got[1], &want[1])?];
            let same = got == again;
            let fine = same
                && distances
                    .iter()
                    .zip(tolerance)
                    .all(|(distance, tolerance)| *distance <= tolerance);
            good &= fine;
            println!(
                r#"{{"case":"{} {precision}{}","loss":{:e},"gradient":{:e},"bit_equal":{same},"good":{fine}}}"#,
                shape.name,
                if dropout { ", dropout" } else { "" },
                distances[0],
                distances[1],
            );
        }
    }
    Ok(good)
}

/// Replayed graphs against the first, launch by launch computation of the same batches: the same bits in
/// losses, gradients and uncertainties, with and without dropout.
fn compare_graphs(shape: Shape, gpu: Device) -> Result<bool, Error> {
    let mut model = Model::new(&config(shape), gpu, 3)?;
    model.set_autocast(Some(Kind::BFloat16));
    StepGraphs::check(&model)?;
    let mut good = true;
    for dropout in [false, true] {
        let stream = |seed| dropout.then(|| DropoutStream::new(0.1, seed));
        let mut kept = StepGraphs::new(4);
        let mut same = true;
        for seed in 1..=4 {
            let batch = Sequences::random(Lengths::Mean40, &[CLASSES; TASKS], BATCH, seed).plain();
            let everything = |graphs: &mut StepGraphs| -> Result<_, Error> {
                let scores = graphs.uncertainties(&model, &batch, stream(seed))?;
                let step = graphs.gradients(&model, &batch, stream(seed + 10))?;
                let gradient = model.parameters().flat_grad();
                Ok((scores, step.losses, gradient.f_to_device(Device::Cpu)?))
            };
            let replayed = everything(&mut kept)?;
            same &= everything(&mut StepGraphs::new(4))? == replayed;
        }
        let (calls, replays) = kept.usage();
        // All batches are of one bucket: the first call of each kind computes, the others replay.
        let fine = same && (calls, replays) == (8, 6);
        good &= fine;
        println!(
            r#"{{"graphs":"{}{}","calls":{calls},"replays":{replays},"bit_equal":{same},"good":{fine}}}"#,
            shape.name,
            if dropout { ", dropout" } else { "" },
        );
    }
    Ok(good)
}

/// Median milliseconds of a training step and of a scoring pass that replay graphs, batches brought to the
/// GPU and results read back included.
fn time_graphs(shape: Shape, lengths: Lengths, gpu: Device) -> Result<[f64; 2], Error> {
    let mut model = Model::new(&config(shape), gpu, 3)?;
    model.set_autocast(Some(Kind::BFloat16));
    let mut state = AdamWState::new(&model.parameters().flat())?;
    let batch_of = |count| Sequences::random(lengths, &[CLASSES; TASKS], count, 1).plain();
    let (batch, candidates) = (batch_of(BATCH), batch_of(CANDIDATES));
    let mut graphs = StepGraphs::new(4);
    let mut seed = 0;
    let train = median_ms(|| {
        seed += 1;
        let dropout = DropoutStream::new(0.1, seed);
        let step = graphs.gradients(&model, &batch, Some(dropout))?;
        update(&model, &mut state, &step.grad_norm_on_device)?;
        Ok(step.grad_norm_on_device.f_reshape([1])?)
    })?;
    let score = median_ms(|| {
        graphs.uncertainties(&model, &candidates, None)?;
        Ok(Tensor::f_zeros([1], (Kind::Float, gpu))?)
    })?;
    Ok([train, score])
}

/// Clipping and AdamW with the gradient that lies in the model.
fn update(model: &Model, state: &mut AdamWState, norm: &Tensor) -> Result<(), Error> {
    let parameters = model.parameters();
    let clip = clip_coefficient(norm, 1.0)?;
    let options = AdamWOptions {
        lr: 2e-5,
        ..AdamWOptions::default()
    };
    parameters.adamw(state, &options, Some(&clip))?;
    Ok(())
}

/// Median milliseconds of `step`, whose tensor is waited for.
fn median_ms(mut step: impl FnMut() -> Result<Tensor, Error>) -> Result<f64, Error> {
    for _ in 0..3 {
        step()?.f_double_value(&[0])?;
    }
    let mut times = Vec::new();
    for _ in 0..9 {
        let started = Instant::now();
        let mut last = None;
        for _ in 0..4 {
            last = Some(step()?);
        }
        if let Some(last) = last {
            last.f_double_value(&[0])?;
        }
        times.push(started.elapsed().as_secs_f64() * 250.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn time(
    shape: Shape,
    lengths: Lengths,
    kind: Option<Kind>,
    graphs: bool,
    gpu: Device,
) -> Result<(), Error> {
    let mut model = Model::new(&config(shape), gpu, 3)?;
    model.set_autocast(kind);
    let mut state = AdamWState::new(&model.parameters().flat())?;
    let mut dropout = DropoutStream::new(0.1, 1);
    let batch = batch_of(lengths, BATCH, gpu)?;
    // Host time of the parts of the last step: enqueueing, unless something waits for the GPU.
    let host = std::cell::Cell::new([0.0; 3]);
    let train = median_ms(|| {
        let started = Instant::now();
        let since = || started.elapsed().as_secs_f64() * 1e3;
        let parameters = model.parameters();
        parameters.zero_grad()?;
        let output = model.forward(&batch.input, Some(&mut dropout))?;
        let heads = model.heads(&output, Some(&batch.targets), Some(&mut dropout))?;
        let loss = heads.loss.ok_or("no loss")?;
        let forward = since();
        loss.f_mean(Kind::Float)?.f_backward()?;
        let backward = since() - forward;
        update(&model, &mut state, &grad_norm(&parameters.flat_grad())?)?;
        host.set([forward, backward, since() - forward - backward]);
        Ok(loss.f_detach()?)
    })?;
    let candidates = batch_of(lengths, CANDIDATES, gpu)?;
    let score = median_ms(|| {
        no_grad(|| {
            let output = model.forward(&candidates.input, None)?;
            Ok(model.heads(&output, None, None)?.entropy)
        })
    })?;
    let graphs = match (graphs, kind) {
        (true, Some(_)) => {
            let [train, score] = time_graphs(shape, lengths, gpu)?;
            format!(r#","graph_train_ms":{train:.3},"graph_score_ms":{score:.3}"#)
        }
        _ => String::new(),
    };
    println!(
        r#"{{"shape":"{}","lengths":"{}","precision":"{}","tokens":{},"train_ms":{train:.3},"score_ms":{score:.3},"host_ms":{:.2?}{graphs}}}"#,
        shape.name,
        lengths.name(),
        if kind.is_some() {
            "bfloat16"
        } else {
            "float32"
        },
        batch.input.packing().num_tokens(),
        host.get(),
    );
    Ok(())
}

/// The case that the arguments name; `None` without arguments.
fn only(args: &[String]) -> Result<Option<(Shape, Lengths, Option<Kind>)>, Error> {
    let [shape, lengths, precision] = args else {
        return match args {
            [] => Ok(None),
            _ => Err("expected a shape, lengths and a precision, or no arguments".into()),
        };
    };
    let shape = [MINILM, BASE, LARGE]
        .into_iter()
        .find(|known| known.name == shape)
        .ok_or_else(|| format!("no shape `{shape}`: minilm, base or large"))?;
    let lengths = [Lengths::Mean40, Lengths::Full128]
        .into_iter()
        .find(|known| known.name() == lengths)
        .ok_or_else(|| format!("no lengths `{lengths}`: mean40 or full128"))?;
    let kind = match precision.as_str() {
        "float32" => None,
        "bfloat16" => Some(Kind::BFloat16),
        other => return Err(format!("no precision `{other}`: float32 or bfloat16").into()),
    };
    Ok(Some((shape, lengths, kind)))
}

fn run() -> Result<bool, Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let only = only(&args)?;
    let gpu = open_cuda(0)?;
    if let Some((shape, lengths, kind)) = only {
        time(shape, lengths, kind, true, gpu)?;
        return Ok(true);
    }
    let mut good = compare(MINILM, gpu)?;
    good &= compare(BASE, gpu)?;
    // What graphs do is told in any case: without them everything else holds.
    let graphs = compare_graphs(MINILM, gpu).unwrap_or_else(|error| {
        let text = serde_json::Value::from(format!("graphs: {error}"));
        println!(r#"{{"problem":{text}}}"#);
        false
    });
    good &= graphs;
    for shape in [MINILM, BASE, LARGE] {
        for lengths in [Lengths::Mean40, Lengths::Full128] {
            for kind in [None, Some(Kind::BFloat16)] {
                time(shape, lengths, kind, graphs, gpu)?;
            }
        }
    }
    // The definitions of the operations, for the share of the kernels.
    set_fused(false);
    println!(r#"{{"slow":true}}"#);
    time(BASE, Lengths::Mean40, Some(Kind::BFloat16), false, gpu)?;
    Ok(good)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("camtl-step: {error}");
            ExitCode::FAILURE
        }
    }
}
