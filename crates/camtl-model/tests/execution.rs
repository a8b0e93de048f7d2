//! One batch, computed in every way: packed, padded, one by one, with and without first-token
//! tails, gives the same numbers for every combination of switches.

#[path = "support/finite_differences.rs"]
mod finite_differences;

use camtl_model::{
    AttentionLayers, AttentionModulation, BaseTopLayer, BottleneckResidual, EncoderConfig,
    GeneratorInit, LayerNormModulation, MethodConfig, Model, ModelConfig, ModelInput, Preset,
    StepModulation, TaskHead, Variant,
};
use camtl_ops::{DropoutStream, Packing, Targets};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

const LENGTH: usize = 8;

fn config(method: MethodConfig, hidden_size: i64, layers: i64) -> ModelConfig {
    let mut encoder = EncoderConfig::bert(30, hidden_size, layers, 2, 20, 12);
    // Larger starts than a real model's, so that every module matters.
    encoder.initializer_range = 0.12;
    ModelConfig {
        encoder,
        method,
        tasks: vec![
            TaskHead::classification("a", 3),
            TaskHead::regression("b"),
            TaskHead::classification("c", 2),
        ],
        max_length: LENGTH,
        freeze: Default::default(),
    }
}

/// A model in which no parameter is zero or one.
fn model(config: &ModelConfig, seed: u64) -> Model {
    // Tensors this small only lose by being shared out.
    camtl_ops::set_num_threads(1).unwrap();
    let model = Model::new(config, Device::Cpu, seed).unwrap();
    for (at, entry) in model.parameters().entries().iter().enumerate() {
        let size: i64 = entry.shape.iter().product();
        let noise: Vec<f32> = (0..size)
            .map(|i| (((i + 7 * at as i64) as f32) * 1.618).sin() * 0.1)
            .collect();
        let noise = Tensor::from_slice(&noise).view(&entry.shape[..]);
        let value = model.parameters().tensor(&entry.name).unwrap() + noise;
        model.parameters().set(&entry.name, &value).unwrap();
    }
    model
}

/// Sequences as (task, tokens).
type Sequences = Vec<(i64, Vec<i64>)>;

fn input(sequences: &[(i64, Vec<i64>)], padded: bool) -> ModelInput {
    let (mut ids, mut types, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    let mut starts = vec![0];
    for (_, tokens) in sequences {
        let computed = if padded { LENGTH } else { tokens.len() };
        for position in 0..computed {
            ids.push(tokens.get(position).copied().unwrap_or(0));
            types.push(i64::from(
                position > tokens.len() / 2 && position < tokens.len(),
            ));
            positions.push(position as i64);
        }
        starts.push(ids.len() as i64);
    }
    let tasks: Vec<i64> = sequences.iter().map(|(task, _)| *task).collect();
    let mut packing = Packing::new(&starts, &tasks, Device::Cpu).unwrap();
    if padded {
        let keys: Vec<i64> = sequences
            .iter()
            .map(|(_, tokens)| tokens.len() as i64)
            .collect();
        packing = packing.with_key_lengths(&keys).unwrap();
    }
    ModelInput::new(&ids, &types, &positions, packing).unwrap()
}

/// Pooled output and entropies, [B, D + 1].
fn values(model: &Model, input: &ModelInput, all_rows: bool, dropout: Option<u64>) -> Tensor {
    no_grad(|| {
        let mut stream = dropout.map(|seed| DropoutStream::new(0.1, seed));
        let output = if all_rows {
            model.forward_all(input, stream.as_mut()).unwrap()
        } else {
            model.forward(input, stream.as_mut()).unwrap()
        };
        let heads = model.heads(&output, None, stream.as_mut()).unwrap();
        Tensor::cat(&[output.pooled, heads.entropy.unsqueeze(1)], 1)
    })
}

fn assert_close(ours: &Tensor, theirs: &Tensor, what: &str) {
    let worst = (ours - theirs).abs().max().double_value(&[]);
    assert!(worst < 2e-5, "{what} differs by {worst:.2e}");
}

fn methods() -> impl Strategy<Value = MethodConfig> {
    (
        prop_oneof![
            Just(Variant::Base),
            Just(Variant::Large),
            Just(Variant::None)
        ],
        any::<[bool; 10]>(),
    )
        .prop_map(|(variant, on)| {
            let preset = if on[0] {
                Preset::Released
            } else {
                Preset::Paper
            };
            let mut method = MethodConfig::new(preset, variant);
            if variant == Variant::None {
                return method;
            }
            method.conditional_alignment = on[1];
            method.conditional_attention = on[2];
            method.conditional_layer_norm = on[3];
            method.conditional_bottleneck = on[4];
            let pick = |at: usize| on[at];
            if pick(5) {
                method.attention_modulation = AttentionModulation::PerElement;
            }
            if pick(6) {
                method.attention_layers = AttentionLayers::Upper;
            }
            if pick(7) {
                method.layer_norm = LayerNormModulation::WeightAndBias;
            }
            if pick(8) {
                method.base_top_layer = BaseTopLayer::Pretrained;
            }
            if pick(9) {
                method.bottleneck_residual = BottleneckResidual::LayerOutput;
            }
            method
        })
}

fn batches() -> impl Strategy<Value = Sequences> {
    let sequence = (0i64..3, prop::collection::vec(1i64..30, 1..=LENGTH));
    prop::collection::vec(sequence, 1..6).prop_map(|mut sequences| {
        sequences.sort_by_key(|(task, _)| *task);
        sequences
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packed_is_padded_is_one_by_one(
        method in methods(),
        sequences in batches(),
        layers in 1i64..4,
        hidden in prop_oneof![Just(8i64), Just(24), Just(40)],
        seed in 0u64..1000,
    ) {
        let model = model(&config(method, hidden, layers), seed);
        let packed = values(&model, &input(&sequences, false), false, None);
        assert_close(&values(&model, &input(&sequences, true), false, None), &packed, "padded");
        let single: Vec<Tensor> = sequences
            .iter()
            .map(|sequence| {
                values(&model, &input(std::slice::from_ref(sequence), false), false, None)
            })
            .collect();
        assert_close(&Tensor::cat(&single, 0), &packed, "one by one");
        assert_close(&values(&model, &input(&sequences, false), true, None), &packed, "all rows");
        // Dropout masks depend on sequence and position, not on the layout.
        let dropped = values(&model, &input(&sequences, false), false, Some(seed));
        assert_close(&values(&model, &input(&sequences, true), true, Some(seed)), &dropped, "dropout");
        prop_assert!(dropped != packed);
    }
}

/// Gradients of the flat buffer agree with finite differences for every switch combination that
/// the presets give.
#[test]
fn gradients_agree_with_finite_differences() {
    for preset in [Preset::Released, Preset::Paper, Preset::Recommended] {
        for variant in [Variant::Base, Variant::Large, Variant::None] {
            let config = config(MethodConfig::new(preset, variant), 24, 2);
            let model = model(&config, 5);
            let sequences: Sequences = vec![
                (0, vec![3, 9, 4, 8, 2]),
                (1, vec![5, 6, 20]),
                (2, vec![7; 8]),
            ];
            let input = input(&sequences, false);
            let targets = Targets::new(&[2, 0, 1], &[0.0, 1.5, 0.0], Device::Cpu).unwrap();
            let loss = || {
                let output = model.forward(&input, None).unwrap();
                let heads = model.heads(&output, Some(&targets), None).unwrap();
                heads.loss.unwrap().to_kind(Kind::Double).sum(Kind::Double)
            };
            loss().backward();
            let what = format!("{preset:?} {variant:?}");
            finite_differences::check(&model, loss, 11, 4, &what);
        }
    }
}

/// Accumulated gradients of pieces equal the whole batch's, with a table per piece and with one
/// table for all of them.
#[test]
fn gradients_accumulate_in_the_flat_buffer() {
    for (preset, variant) in [
        (Preset::Released, Variant::Base),
        (Preset::Released, Variant::Large),
        (Preset::Paper, Variant::Large),
        (Preset::Recommended, Variant::None),
    ] {
        let model = model(&config(MethodConfig::new(preset, variant), 24, 2), 1);
        let sequences: Sequences = vec![(0, vec![3, 9, 4]), (0, vec![5]), (2, vec![7, 8, 9, 10])];
        let backward = |part: &[(i64, Vec<i64>)], step: Option<&StepModulation>| {
            let input = input(part, false);
            let output = match step {
                Some(step) => model.forward_with(&input, step.modulation(), None).unwrap(),
                None => model.forward(&input, None).unwrap(),
            };
            let zeros = vec![0.0f32; part.len()];
            let targets = Targets::new(&vec![1; part.len()], &zeros, Device::Cpu).unwrap();
            let heads = model.heads(&output, Some(&targets), None).unwrap();
            heads.loss.unwrap().sum(Kind::Float).backward();
        };
        backward(&sequences, None);
        let whole = model.parameters().flat_grad().copy();
        let scale = whole.abs().max().double_value(&[]).max(1.0);
        for one_table in [false, true] {
            model.parameters().zero_grad().unwrap();
            assert_eq!(
                model.parameters().flat_grad().abs().max().double_value(&[]),
                0.0
            );
            let step = one_table.then(|| StepModulation::new(&model).unwrap());
            for sequence in &sequences {
                backward(std::slice::from_ref(sequence), step.as_ref());
            }
            if let Some(step) = step {
                step.backward().unwrap();
            }
            let worst = (model.parameters().flat_grad() - &whole)
                .abs()
                .max()
                .double_value(&[])
                / scale;
            assert!(
                worst < 1e-5,
                "{preset:?} {variant:?}, one table {one_table}: {worst:.2e}"
            );
        }
    }
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let model = model(
        &config(MethodConfig::new(Preset::Released, Variant::Base), 24, 2),
        1,
    );
    let long: Sequences = vec![(0, vec![1; LENGTH + 1])];
    let error = model
        .forward(&input(&long, false), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("9 tokens") && error.contains("max_length 8"),
        "{error}"
    );
    let task: Sequences = vec![(3, vec![1, 2])];
    let error = model
        .forward(&input(&task, false), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("task 3") && error.contains("0 to 2"),
        "{error}"
    );
    let id: Sequences = vec![(0, vec![1, 30])];
    let error = model
        .forward(&input(&id, false), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("30"), "{error}");
    let packing = Packing::new(&[0, 2], &[0], Device::Cpu).unwrap();
    let error = ModelInput::new(&[1, 2], &[0], &[0, 1], packing)
        .unwrap_err()
        .to_string();
    assert!(error.contains("token_type_ids has 1"), "{error}");
    let packing = Packing::new(&[0, 2], &[0], Device::Cpu).unwrap();
    let input = ModelInput::new(&[1, 2], &[0, 0], &[0, 12], packing).unwrap();
    let error = model.forward(&input, None).unwrap_err().to_string();
    assert!(error.contains("position 12"), "{error}");
    let error = model
        .parameters()
        .tensor("bert.pooler.dense.wight")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("did you mean `bert.pooler.dense.weight`?"),
        "{error}"
    );
}

/// Zero generators start as exactly the pretrained network (variant and preset `recommended`).
#[test]
fn recommended_starts_as_the_plain_encoder() {
    let sequences: Sequences = vec![
        (0, vec![3, 9, 4, 8, 2]),
        (1, vec![5, 6, 20]),
        (2, vec![7; 8]),
    ];
    let input = input(&sequences, false);
    let plain = Model::new(&config(MethodConfig::plain(), 24, 2), Device::Cpu, 4).unwrap();
    let expected = values(&plain, &input, false, None);
    for variant in [Variant::Base, Variant::Large] {
        let method = MethodConfig::new(Preset::Recommended, variant);
        assert_eq!(method.generator_init, GeneratorInit::Zero);
        // Same names and seed: the same encoder.
        let model = Model::new(&config(method, 24, 2), Device::Cpu, 4).unwrap();
        assert_close(
            &values(&model, &input, false, None),
            &expected,
            "recommended",
        );
    }
}
