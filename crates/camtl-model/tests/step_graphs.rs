//! Filled-up batches at fixed addresses, which captured graphs work on, give the numbers of the batches
//! themselves, whatever was computed there before.

use camtl_model::{
    EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, PlainBatch, Preset, StepGraphs,
    TaskHead, Variant,
};
use camtl_ops::{DropoutStream, Packing, Targets, grad_norm};
use tch::{Device, Kind, Tensor, no_grad};

fn model(variant: Variant) -> Model {
    let mut encoder = EncoderConfig::bert(60, 48, 3, 4, 64, 48);
    // Larger starts than a real model's, so that every module matters.
    encoder.initializer_range = 0.1;
    let config = ModelConfig {
        encoder,
        method: MethodConfig::new(Preset::Released, variant),
        tasks: vec![
            TaskHead::classification("a", 3),
            TaskHead::regression("b"),
            TaskHead::classification("c", 2),
        ],
        max_length: 48,
        freeze: Default::default(),
    };
    Model::new(&config, Device::Cpu, 5).unwrap()
}

/// Sequences as (task, length), with numbers drawn from `seed`.
fn batch(sequences: &[(i64, i64)], seed: i64) -> PlainBatch {
    let mut batch = PlainBatch {
        cu_seqlens: vec![0],
        ..PlainBatch::default()
    };
    for (number, &(task, length)) in sequences.iter().enumerate() {
        let number = number as i64;
        for position in 0..length {
            batch
                .input_ids
                .push((seed * 31 + number * 17 + position * 7) % 60);
            batch.token_type_ids.push((position + number) % 2);
            batch.position_ids.push(position);
        }
        batch.cu_seqlens.push(batch.input_ids.len() as i64);
        batch.tasks.push(task);
        batch.classes.push((seed + number) % 2);
        batch.scores.push((number as f32 + seed as f32 * 0.5).sin());
        batch.weights.push(0.1 + 0.05 * number as f32);
    }
    batch
}

/// Losses, gradient and entropies of a batch as it is.
fn plainly(
    model: &Model,
    batch: &PlainBatch,
    dropout: Option<&DropoutStream>,
) -> (Vec<f32>, Tensor, Vec<f32>) {
    let packing = Packing::new(&batch.cu_seqlens, &batch.tasks, Device::Cpu).unwrap();
    let input = ModelInput::new(
        &batch.input_ids,
        &batch.token_type_ids,
        &batch.position_ids,
        packing,
    )
    .unwrap();
    let targets = Targets::new(&batch.classes, &batch.scores, Device::Cpu).unwrap();
    model.parameters().zero_grad().unwrap();
    let mut stream = dropout.cloned();
    let output = model.forward(&input, stream.as_mut()).unwrap();
    let heads = model
        .heads(&output, Some(&targets), stream.as_mut())
        .unwrap();
    let losses = heads.loss.unwrap();
    (&losses * Tensor::from_slice(&batch.weights))
        .sum(Kind::Float)
        .backward();
    let entropies = no_grad(|| {
        let mut stream = dropout.cloned();
        let output = model.forward(&input, stream.as_mut()).unwrap();
        model.heads(&output, None, stream.as_mut()).unwrap().entropy
    });
    (
        Vec::<f32>::try_from(losses.detach()).unwrap(),
        model.parameters().flat_grad().copy(),
        Vec::<f32>::try_from(entropies).unwrap(),
    )
}

fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!(
            (got - want).abs() <= 1e-5 * (1.0 + want.abs()),
            "{what}: {got}, expected {want}"
        );
    }
}

/// One gradient step by hand, so that whatever was kept from before is out of date.
fn change(model: &Model) {
    no_grad(|| {
        let mut flat = model.parameters().flat();
        let _ = flat.g_sub_(&(model.parameters().flat_grad() * 0.01));
    });
}

#[test]
fn filled_batches_give_the_numbers_of_the_batches() {
    for variant in [Variant::Base, Variant::Large] {
        let model = model(variant);
        let mut graphs = StepGraphs::new(16);
        // Three batches of one bucket, one of another, then the first bucket again.
        let batches = [
            batch(&[(0, 9), (0, 30), (1, 1), (2, 17), (2, 5)], 1),
            batch(&[(1, 3), (1, 48), (2, 2)], 2),
            batch(&[(0, 20), (0, 20), (0, 6), (1, 9)], 3),
            batch(&[(2, 48); 5], 4),
            batch(&[(0, 1)], 5),
        ];
        let buckets: Vec<_> = batches
            .iter()
            .map(|batch| batch.bucket(48).unwrap())
            .collect();
        assert_eq!(buckets[1], batches[1].bucket(48).unwrap());
        assert_ne!(buckets[0], buckets[3]);
        for (number, batch) in batches.iter().enumerate() {
            for dropout in [None, Some(DropoutStream::new(0.1, 70 + number as u64))] {
                let (losses, gradient, entropies) = plainly(&model, batch, dropout.as_ref());
                let what = format!("{variant:?}, batch {number}, dropout {}", dropout.is_some());
                let scores = graphs
                    .uncertainties(&model, batch, dropout.clone())
                    .unwrap();
                assert_close(&scores, &entropies, &what);
                let step = graphs.gradients(&model, batch, dropout).unwrap();
                assert_close(&step.losses, &losses, &what);
                let flat = model.parameters().flat_grad();
                let distance = f64::try_from((&flat - &gradient).norm() / gradient.norm()).unwrap();
                assert!(distance < 1e-5, "{what}: {distance}");
                let norm = grad_norm(&flat).unwrap();
                assert_eq!(step.grad_norm, norm.double_value(&[]));
                assert_eq!(step.grad_norm, step.grad_norm_on_device.double_value(&[]));
            }
            change(&model);
        }
    }
}

/// The first use of a bucket, a later one and one after the bucket was given up have the same bits.
#[test]
fn what_came_before_changes_no_bit() {
    let model = model(Variant::Base);
    let (one, other) = (
        batch(&[(0, 9), (0, 30), (1, 1)], 1),
        batch(&[(0, 2), (2, 46), (2, 3)], 2),
    );
    let elsewhere = batch(&[(0, 48); 9], 3);
    let stream = || Some(DropoutStream::new(0.1, 9));
    let run = |graphs: &mut StepGraphs, batch: &PlainBatch| {
        let step = graphs.gradients(&model, batch, stream()).unwrap();
        let scores = graphs.uncertainties(&model, batch, None).unwrap();
        let gradient = model.parameters().flat_grad();
        (
            step.losses,
            Vec::<f32>::try_from(&gradient).unwrap(),
            scores,
        )
    };
    let mut fresh = StepGraphs::new(4);
    let want = run(&mut fresh, &one);
    let mut used = StepGraphs::new(4);
    run(&mut used, &other);
    assert!(run(&mut used, &one) == want, "a later use");
    let mut small = StepGraphs::new(1);
    run(&mut small, &one);
    run(&mut small, &elsewhere);
    assert!(run(&mut small, &one) == want, "after it was given up");
    assert_eq!(small.usage(), (6, 0), "nothing is replayed on a CPU");
}

#[test]
fn what_cannot_be_captured_is_named() {
    let plain = model(Variant::Base);
    assert!(StepGraphs::check(&plain).is_ok());
    let mut config = plain.config().clone();
    config.tasks.push(TaskHead::tagging("ner", 5));
    let model = Model::new(&config, Device::Cpu, 1).unwrap();
    let error = StepGraphs::check(&model).unwrap_err().to_string();
    assert!(error.contains("task `ner`"), "{error}");
    let mut graphs = StepGraphs::new(1);
    let error = graphs
        .uncertainties(&plain, &batch(&[(0, 49)], 1), None)
        .unwrap_err();
    assert!(error.to_string().contains("a sequence of 49"), "{error}");
}

/// An input takes over another batch where it lies, or says why it cannot.
#[test]
fn an_input_takes_over_another_batch() {
    let model = model(Variant::Base);
    let input = |sequences: &[(i64, i64)], seed| {
        let batch = batch(sequences, seed);
        let packing = Packing::new(&batch.cu_seqlens, &batch.tasks, Device::Cpu).unwrap();
        ModelInput::new(
            &batch.input_ids,
            &batch.token_type_ids,
            &batch.position_ids,
            packing.with_bounds(3, 48).unwrap(),
        )
        .unwrap()
    };
    let mut place = input(&[(0, 9), (1, 11)], 1);
    let other = input(&[(0, 18), (2, 2)], 2);
    let before = model.forward(&place, None).unwrap();
    let error = place.assign(&other).unwrap_err().to_string();
    assert!(error.contains("still in use"), "{error}");
    drop(before);
    place.assign(&other).unwrap();
    let (got, want) = (
        model.forward(&place, None).unwrap(),
        model.forward(&other, None).unwrap(),
    );
    assert_eq!(got.pooled, want.pooled);
    drop(got);
    let error = place.assign(&input(&[(0, 21)], 3)).unwrap_err().to_string();
    assert!(error.contains("2 sequences and 20 tokens"), "{error}");
    let unsorted = Packing::new(&[0, 1, 2], &[1, 0], Device::Cpu).unwrap();
    let error = unsorted.with_bounds(3, 48).unwrap_err().to_string();
    assert!(error.contains("sorted by task"), "{error}");
}
