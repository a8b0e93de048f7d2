//! One task as a plain Hugging Face folder: what folds gives the same numbers, the rest lies beside.

use std::path::Path;

use camtl_model::export::{TASK_MANIFEST_FILE, TASK_TENSORS_FILE};
use camtl_model::weights::WeightFile;
use camtl_model::{
    AttentionLayers, BottleneckResidual, EncoderConfig, HfExport, MethodConfig, Model, ModelConfig,
    ModelInput, Preset, TaskHead, Trace, Variant,
};
use camtl_ops::Packing;
use tch::{Device, Tensor, no_grad};

fn config(method: MethodConfig) -> ModelConfig {
    let mut encoder = EncoderConfig::bert(30, 24, 4, 2, 20, 12);
    encoder.initializer_range = 0.2;
    ModelConfig {
        encoder,
        method,
        tasks: vec![TaskHead::classification("a", 3), TaskHead::regression("b")],
        max_length: 8,
        freeze: Default::default(),
    }
}

/// A model in which every parameter matters.
fn model(method: MethodConfig) -> Model {
    // Tensors this small only lose by being shared out.
    camtl_ops::set_num_threads(1).unwrap();
    let model = Model::new(&config(method), Device::Cpu, 3).unwrap();
    for (at, entry) in model.parameters().entries().iter().enumerate() {
        let noise: Vec<f32> = (0..entry.numel())
            .map(|i| (((i + 5 * at as i64) as f32) * 2.3).cos() * 0.1)
            .collect();
        let value = model.parameters().tensor(&entry.name).unwrap()
            + Tensor::from_slice(&noise).view(&entry.shape[..]);
        model.parameters().set(&entry.name, &value).unwrap();
    }
    model
}

fn trace(model: &Model, task: i64) -> Trace {
    let packing = Packing::new(&[0, 8, 11], &[task, task], Device::Cpu).unwrap();
    let ids = [1, 9, 8, 7, 6, 5, 4, 3, 2, 2, 29];
    let types = [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1];
    let positions = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2];
    let input = ModelInput::new(&ids, &types, &positions, packing).unwrap();
    no_grad(|| model.forward_traced(&input).unwrap().1)
}

/// Exports `task` and loads the folder as a plain encoder.
fn exported(model: &Model, task: usize, dir: &Path) -> (HfExport, Model) {
    let export = model.save_task_as_hf(task, dir).unwrap();
    let plain = ModelConfig {
        encoder: EncoderConfig::from_dir(dir).unwrap(),
        method: MethodConfig::plain(),
        tasks: vec![model.config().tasks[task].clone()],
        ..config(MethodConfig::plain())
    };
    let (plain, report) = Model::from_pretrained(&plain, dir, Device::Cpu, 77).unwrap();
    assert!(!report.new_pooler);
    let file = WeightFile::open(&dir.join("model.safetensors")).unwrap();
    for part in ["weight", "bias"] {
        let ours = model
            .parameters()
            .tensor(&format!("decoders.{task}.model.{part}"))
            .unwrap();
        assert_eq!(file.tensor(&format!("classifier.{part}")).unwrap(), ours);
    }
    let kept: HfExport =
        serde_json::from_slice(&std::fs::read(dir.join(TASK_MANIFEST_FILE)).unwrap()).unwrap();
    assert_eq!(kept, export);
    (export, plain)
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn alignment_and_norms_fold_exactly() {
    for preset in [Preset::Released, Preset::Paper, Preset::Recommended] {
        for variant in [Variant::Base, Variant::Large, Variant::None] {
            let mut method = MethodConfig::new(preset, variant);
            method.conditional_attention = false;
            method.conditional_bottleneck = false;
            let model = model(method);
            for task in 0..2 {
                let dir = tempfile::tempdir().unwrap();
                let (export, plain) = exported(&model, task, dir.path());
                assert!(export.exact && export.beside.is_empty());
                assert!(!dir.path().join(TASK_TENSORS_FILE).exists());
                let (theirs, ours) = (trace(&model, task as i64), trace(&plain, 0));
                for (ours, theirs) in ours.hidden_states.iter().zip(&theirs.hidden_states) {
                    assert!(difference(ours, theirs) < 1e-5);
                }
                assert!(difference(&ours.pooled.unwrap(), &theirs.pooled.unwrap()) < 1e-5);
            }
        }
    }
}

/// With attention bias in the upper half and a bottleneck, hidden states agree up to where they
/// apply, and the tensors beside the encoder reproduce them.
#[test]
fn attention_and_bottleneck_lie_beside() {
    for variant in [Variant::Base, Variant::Large] {
        let mut method = MethodConfig::new(Preset::Released, variant);
        method.attention_layers = AttentionLayers::Upper;
        let model = model(method);
        let dir = tempfile::tempdir().unwrap();
        let (export, plain) = exported(&model, 1, dir.path());
        assert!(!export.exact);
        let modules: Vec<&str> = export
            .beside
            .iter()
            .map(|part| part.module.as_str())
            .collect();
        assert_eq!(modules, ["attention-bias", "bottleneck"]);
        let file = WeightFile::open(&dir.path().join(TASK_TENSORS_FILE)).unwrap();
        let listed: Vec<&String> = export
            .beside
            .iter()
            .flat_map(|part| &part.tensors)
            .collect();
        assert_eq!(listed.len(), file.tensors().count());

        let (theirs, ours) = (trace(&model, 1), trace(&plain, 0));
        for layer in 0..=2 {
            let (a, b) = (&ours.hidden_states[layer], &theirs.hidden_states[layer]);
            assert!(difference(a, b) < 1e-5, "{variant:?} hidden state {layer}");
        }
        assert!(difference(&ours.hidden_states[3], &theirs.hidden_states[3]) > 1e-3);

        let modulation = no_grad(|| model.modulation().unwrap());
        let band = file
            .tensor("encoder.layer.3.attention.self.bias_band")
            .unwrap();
        assert_eq!(band, modulation.attention_band(3).unwrap().get(1));
        // The folded bottleneck on the hidden state it reads.
        let (prefix, input, expected) = match variant {
            Variant::Base => (
                "encoder.layer.3.adapter".to_string(),
                theirs.adapter_input.as_ref().unwrap().shallow_clone(),
                theirs.hidden_states[4].shallow_clone(),
            ),
            _ => (
                "encoder.adapter_layer.1".to_string(),
                &theirs.hidden_states[2] + &theirs.skip_path[0],
                theirs.skip_path[1].shallow_clone(),
            ),
        };
        let part = |name: &str| file.tensor(&format!("{prefix}.{name}")).unwrap();
        let narrow = input.linear(&part("down.weight"), Some(&part("down.bias")));
        let adapted = narrow.linear(&part("up.weight"), Some(&part("up.bias")));
        let output = match variant {
            Variant::Base => {
                let x = adapted + &theirs.attention_outputs[3];
                x.layer_norm(
                    [24],
                    Some(&part("LayerNorm.weight")),
                    Some(&part("LayerNorm.bias")),
                    1e-12,
                    false,
                )
            }
            _ => adapted,
        };
        assert!(
            difference(&output, &expected) < 1e-4,
            "{variant:?} bottleneck"
        );
    }
}

#[test]
fn the_configuration_names_the_labels() {
    let mut method = MethodConfig::new(Preset::Recommended, Variant::Base);
    method.bottleneck_residual = BottleneckResidual::LayerOutput;
    let model = model(method);
    let dir = tempfile::tempdir().unwrap();
    let labels = ["no".to_string(), "maybe".into(), "yes".into()];
    model
        .save_task_as_hf_with_labels(0, dir.path(), &labels)
        .unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(config["id2label"]["2"], "yes");
    assert_eq!(config["label2id"]["maybe"], 1);
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert_eq!(config["problem_type"], "single_label_classification");
    model.save_task_as_hf(1, dir.path()).unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(config["problem_type"], "regression");

    let error = model
        .save_task_as_hf(2, dir.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no task 2"), "{error}");
    let error = model
        .save_task_as_hf_with_labels(0, dir.path(), &labels[..2])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("3 outputs") && error.contains("2 labels"),
        "{error}"
    );
}

/// A plain encoder goes out and comes back; a conditional one has no single encoder.
#[test]
fn a_plain_encoder_round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let plain = model(MethodConfig::plain());
    plain.save_encoder_as_hf(dir.path()).unwrap();
    let encoder = EncoderConfig::from_dir(dir.path()).unwrap();
    assert_eq!(encoder, plain.config().encoder);
    let (again, report) =
        Model::from_pretrained(plain.config(), dir.path(), Device::Cpu, 1).unwrap();
    assert_eq!(report.initialised.len(), 4, "heads only");
    assert_eq!(
        trace(&again, 0).pooled.unwrap(),
        trace(&plain, 0).pooled.unwrap()
    );
    let conditional = model(MethodConfig::new(Preset::Released, Variant::Base));
    let error = conditional
        .save_encoder_as_hf(dir.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("save_task_as_hf"), "{error}");
}
