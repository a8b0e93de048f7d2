//! Where parameters start: from a seed, from a pretrained encoder, and what that makes the first
//! step do.

use std::path::Path;

use camtl_model::{
    BaseTopLayer, EncoderConfig, Freeze, MethodConfig, Model, ModelConfig, ModelInput, Module,
    Preset, TaskHead, Variant,
};
use camtl_ops::{Packing, Targets};
use tch::{Device, Kind, Tensor};

fn config(method: MethodConfig, tasks: usize) -> ModelConfig {
    // Tensors this small only lose by being shared out.
    camtl_ops::set_num_threads(1).unwrap();
    ModelConfig {
        encoder: EncoderConfig::bert(200, 64, 4, 4, 96, 40),
        method,
        tasks: (0..tasks)
            .map(|t| TaskHead::classification(&format!("t{t}"), 2 + t))
            .collect(),
        max_length: 16,
        freeze: Default::default(),
    }
}

fn released(variant: Variant) -> MethodConfig {
    MethodConfig::new(Preset::Released, variant)
}

#[test]
fn a_seed_fixes_every_byte_whatever_else_the_model_has() {
    let build =
        |method, tasks, seed| Model::new(&config(method, tasks), Device::Cpu, seed).unwrap();
    let first = build(released(Variant::Base), 2, 12);
    let again = build(released(Variant::Base), 2, 12);
    assert_eq!(first.parameters().flat(), again.parameters().flat());
    let other_seed = build(released(Variant::Base), 2, 13);
    assert_ne!(first.parameters().flat(), other_seed.parameters().flat());
    // Parameters of one name and shape are the same in a different model.
    for other in [
        build(released(Variant::Large), 3, 12),
        build(MethodConfig::plain(), 2, 12),
    ] {
        let mut same = 0;
        for entry in first.parameters().entries() {
            let Ok(theirs) = other.parameters().entry(&entry.name) else {
                continue;
            };
            if theirs.shape == entry.shape {
                let value = |model: &Model| model.parameters().tensor(&entry.name).unwrap();
                assert_eq!(value(&first), value(&other), "{}", entry.name);
                same += 1;
            }
        }
        assert!(same > 50, "{same}");
    }
}

#[test]
fn released_starts_as_the_code_does() {
    let model = Model::new(&config(released(Variant::Base), 2), Device::Cpu, 1).unwrap();
    for entry in model.parameters().entries() {
        let value = model.parameters().tensor(&entry.name).unwrap();
        let largest = value.abs().max().double_value(&[]);
        let name = &entry.name;
        if name.ends_with("LayerNorm.weight") || name.ends_with("condlayernorm.weight") {
            assert_eq!(
                (largest, value.min().double_value(&[])),
                (1.0, 1.0),
                "{name}"
            );
        } else if name.ends_with("bias") || name.ends_with("random_weight_matrix") {
            assert_eq!(largest, 0.0, "{name}");
        } else {
            let deviation = value.std(false).double_value(&[]);
            let spread = 0.02 / (2.0 * entry.numel() as f64).sqrt();
            assert!(
                (deviation - 0.02).abs() < 5.0 * spread,
                "{name}: {deviation}"
            );
        }
    }
}

fn step(model: &Model) {
    let packing = Packing::new(&[0, 5, 8], &[0, 0], Device::Cpu).unwrap();
    let ids = [3, 50, 51, 52, 4, 3, 60, 4];
    let input = ModelInput::new(&ids, &[0; 8], &[0, 1, 2, 3, 4, 0, 1, 2], packing).unwrap();
    let output = model.forward(&input, None).unwrap();
    let targets = Targets::new(&[0, 1], &[0.0, 0.0], Device::Cpu).unwrap();
    let heads = model.heads(&output, Some(&targets), None).unwrap();
    heads.loss.unwrap().mean(Kind::Float).backward();
}

/// Facts about the released code's first step (docs/method.md).
#[test]
fn the_first_released_step() {
    let model = Model::new(&config(released(Variant::Base), 2), Device::Cpu, 1).unwrap();
    step(&model);
    let largest = |tensor: &Tensor| tensor.abs().max().double_value(&[]);
    let grad = |name: &str| model.parameters().grad(name).unwrap().unwrap();
    // A starts at zero, so the gains of its generator get nothing, the offsets do.
    let generator =
        grad("bert.encoder.layer.1.attention.self.cond_block_diag_attn.gb_weights.weight");
    let width = generator.size()[0] / 2;
    assert_eq!(largest(&generator.narrow(0, 0, width)), 0.0);
    assert!(largest(&generator.narrow(0, width, width)) > 0.0);
    // Softmax does not see a key bias.
    let top = largest(&model.parameters().flat_grad());
    assert!(largest(&grad("bert.encoder.layer.0.attention.self.key.bias")) < 1e-6 * top);
    // Only row 0 of the last layer's matrix, only rows within sequences before.
    let last = grad("bert.encoder.layer.3.new_attention.self.random_weight_matrix");
    assert_eq!(largest(&last.narrow(0, 1, 15)), 0.0);
    assert!(largest(&last.get(0)) > 0.0);
    // Absent tasks.
    assert_eq!(largest(&grad("decoders.1.model.weight")), 0.0);
    assert_eq!(
        largest(&grad("bert.task_type_embeddings.weight").get(1)),
        0.0
    );
    assert!(largest(&grad("bert.task_type_embeddings.weight").get(0)) > 0.0);
}

/// Each module can be switched off alone, and the model then still runs and trains.
#[test]
fn every_ablation_runs() {
    for variant in [Variant::Base, Variant::Large] {
        for preset in [Preset::Released, Preset::Paper, Preset::Recommended] {
            let full = MethodConfig::new(preset, variant);
            for (module, method) in [
                (
                    Module::Alignment,
                    MethodConfig {
                        conditional_alignment: false,
                        ..full.clone()
                    },
                ),
                (
                    Module::Attention,
                    MethodConfig {
                        conditional_attention: false,
                        ..full.clone()
                    },
                ),
                (
                    Module::LayerNorm,
                    MethodConfig {
                        conditional_layer_norm: false,
                        ..full.clone()
                    },
                ),
                (
                    Module::Bottleneck,
                    MethodConfig {
                        conditional_bottleneck: false,
                        ..full.clone()
                    },
                ),
            ] {
                let model = Model::new(&config(method, 2), Device::Cpu, 1).unwrap();
                let entries = model.parameters().entries();
                assert!(
                    entries.iter().all(|entry| entry.module != module),
                    "{module:?}"
                );
                step(&model);
                let flat = model.parameters().flat_grad();
                assert!(flat.isfinite().all().int64_value(&[]) == 1);
            }
        }
    }
}

/// The pretrained folder kept for the Hugging Face tests: 2 layers, width 20.
fn from_tiny_bert(method: MethodConfig) -> (Model, camtl_model::LoadReport) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/huggingface/tiny-bert");
    let config = ModelConfig {
        encoder: EncoderConfig::from_dir(&dir).unwrap(),
        method,
        tasks: vec![TaskHead::classification("a", 2)],
        max_length: 10,
        freeze: Default::default(),
    };
    Model::from_pretrained(&config, &dir, Device::Cpu, 5).unwrap()
}

#[test]
fn the_base_top_layer_starts_from_scratch_or_pretrained() {
    let (model, report) = from_tiny_bert(released(Variant::Base));
    // 16 tensors of layer 1 are in the file and not used.
    assert_eq!(report.ignored.len(), 16);
    assert!(
        report
            .ignored
            .iter()
            .all(|tensor| tensor.name.starts_with("encoder.layer.1."))
    );
    assert!(report.ignored[0].reason.contains("from scratch"));
    let name = "bert.encoder.layer.1.new_attention.self.query.weight";
    assert!(
        report
            .initialised
            .iter()
            .any(|initialised| initialised == name)
    );
    assert!(
        model
            .parameters()
            .tensor(name)
            .unwrap()
            .abs()
            .max()
            .double_value(&[])
            < 0.2
    );

    let mut method = released(Variant::Base);
    method.base_top_layer = BaseTopLayer::Pretrained;
    let (model, report) = from_tiny_bert(method);
    assert!(report.ignored.is_empty());
    let name = "bert.encoder.layer.1.attention.self.query.weight";
    assert!(report.loaded.iter().any(|loaded| loaded == name));
    assert!(
        model
            .parameters()
            .tensor(name)
            .unwrap()
            .abs()
            .max()
            .double_value(&[])
            > 0.3
    );
    // A conditional norm takes the pretrained weight and bias.
    let name = "bert.encoder.layer.1.output.LayerNorm.weight";
    assert!(report.loaded.iter().any(|loaded| loaded == name));
}

/// Decay follows the released rule, by name; ranges are those of the decaying entries.
#[test]
fn decay_groups() {
    let model = Model::new(&config(released(Variant::Base), 2), Device::Cpu, 1).unwrap();
    let decays = |name: &str| model.parameters().entry(name).unwrap().decay;
    assert!(!decays("bert.encoder.layer.0.output.dense.bias"));
    assert!(!decays("bert.encoder.layer.2.output.LayerNorm.weight"));
    assert!(decays("bert.encoder.layer.3.adapter.condlayernorm.weight"));
    assert!(decays(
        "bert.encoder.layer.2.output.LayerNorm.ln_weight_modulation.gb_weights.weight"
    ));
    let ranges = model.parameters().decay_ranges();
    let covered: i64 = ranges.iter().map(|(start, end)| end - start).sum();
    let decaying = model
        .parameters()
        .entries()
        .iter()
        .filter(|entry| entry.decay);
    assert_eq!(covered, decaying.map(|entry| entry.numel()).sum::<i64>());
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
}

/// Freezing parts of a block (query, key and value; all generators) keeps values and gradients.
#[test]
fn blocks_can_be_frozen_in_part() {
    let build = |patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_string()).collect();
        let freeze = if patterns.is_empty() {
            Freeze::None
        } else {
            Freeze::Patterns(patterns)
        };
        let config = ModelConfig {
            freeze,
            ..config(released(Variant::Large), 2)
        };
        let model = Model::new(&config, Device::Cpu, 1).unwrap();
        step(&model);
        model
    };
    let whole = build(&[]);
    let part = build(&[
        "*.layer.1.attention.self.key.*",
        "*.layer.2.*.gb_weights.bias",
        "*.adapter_layer.0.emb_transf.weight",
    ]);
    assert!(part.parameters().num_trained() < whole.parameters().num_trained());
    for entry in part.parameters().entries() {
        let expected = whole.parameters().grad(&entry.name).unwrap().unwrap();
        match part.parameters().grad(&entry.name).unwrap() {
            Some(gradient) => {
                let worst = (gradient - &expected).abs().max().double_value(&[]);
                assert!(worst < 1e-6, "{}: {worst}", entry.name);
            }
            None => assert!(!entry.trainable),
        }
    }
}
