//! Saving and loading: exact, deterministic, and refused with a reason when anything is wrong.

use std::path::Path;

use camtl_model::manifest::{MANIFEST_FILE, WEIGHTS_FILE};
use camtl_model::{
    EncoderConfig, Freeze, MethodConfig, Model, ModelConfig, Preset, TaskHead, Variant,
};
use serde_json::{Value, json};
use tch::{Device, Kind};

fn config(preset: Preset, variant: Variant) -> ModelConfig {
    ModelConfig {
        encoder: EncoderConfig::bert(30, 24, 2, 2, 20, 12),
        method: MethodConfig::new(preset, variant),
        tasks: vec![TaskHead::classification("a", 3), TaskHead::regression("b")],
        max_length: 8,
        freeze: Freeze::Layers { first: 0, last: 0 },
    }
}

/// A saved model in `dir`.
fn saved(dir: &Path) -> Model {
    let model = Model::new(&config(Preset::Released, Variant::Base), Device::Cpu, 2).unwrap();
    model
        .save_with(dir, &json!({"a": ["no", "maybe", "yes"]}))
        .unwrap();
    model
}

fn load_error(dir: &Path) -> String {
    Model::load(dir, Device::Cpu).unwrap_err().to_string()
}

#[test]
fn what_was_saved_is_loaded_exactly() {
    for preset in [Preset::Released, Preset::Paper, Preset::Recommended] {
        for variant in [Variant::Base, Variant::Large, Variant::None] {
            let dir = tempfile::tempdir().unwrap();
            let first = dir.path().join("nested/first");
            let model = Model::new(&config(preset, variant), Device::Cpu, 2).unwrap();
            let written = model.save_with(&first, &json!({"x": 1})).unwrap();
            let (loaded, manifest) = Model::load_with(&first, Device::Cpu).unwrap();
            assert_eq!(manifest.weights, written);
            assert_eq!(manifest.extra, json!({"x": 1}));
            assert_eq!(loaded.config(), model.config());
            assert_eq!(loaded.parameters().entries(), model.parameters().entries());
            for (name, tensor) in model.named_tensors().unwrap() {
                assert_eq!(loaded.parameters().tensor(&name).unwrap(), tensor, "{name}");
            }
            // The same model gives the same bytes.
            let second = dir.path().join("second");
            loaded.save_with(&second, &json!({"x": 1})).unwrap();
            for file in [WEIGHTS_FILE, MANIFEST_FILE] {
                let bytes = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
                assert_eq!(bytes(&first), bytes(&second), "{file}");
            }
            let files = std::fs::read_dir(&first).unwrap().count();
            assert_eq!(files, 2, "temporary files are left");
        }
    }
}

#[test]
fn weights_are_readable_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let model = saved(dir.path());
    let bytes = std::fs::read(dir.path().join(WEIGHTS_FILE)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), model.parameters().entries().len());
    let name = "bert.encoder.layer.1.adapter.condlayernorm.weight";
    assert_eq!(file.tensor(name).unwrap().shape(), [24]);
}

#[test]
fn weights_of_another_save_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    saved(dir.path());
    let path = dir.path().join(WEIGHTS_FILE);
    let good = std::fs::read(&path).unwrap();

    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&path, flipped).unwrap();
    let error = load_error(dir.path());
    assert!(
        error.contains("SHA-256 differs") && error.contains("restore both"),
        "{error}"
    );

    std::fs::write(&path, &good[..good.len() - 4]).unwrap();
    let error = load_error(dir.path());
    assert!(error.contains("bytes instead of"), "{error}");

    std::fs::remove_file(&path).unwrap();
    let error = load_error(dir.path());
    assert!(error.contains("cannot read the weight file"), "{error}");
}

#[test]
fn manifests_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    saved(dir.path());
    let path = dir.path().join(MANIFEST_FILE);
    let good: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        std::fs::write(&path, changed.to_string()).unwrap();
        load_error(dir.path())
    };
    for (pointer, value, expected) in [
        ("/format", json!("other"), "no saved model"),
        ("/format_version", json!(3), "reads up to 2"),
        ("/format_version", json!("x"), "missing"),
        ("/config/max_length", json!(7), "lengths that fit"),
        ("/config/freeze", json!("0-9"), "layer 9 does not exist"),
        (
            "/config/tasks/1/name",
            json!("a"),
            "two tasks have this name",
        ),
        (
            "/config/encoder/hidden_size",
            json!(25),
            "num_attention_heads",
        ),
        (
            "/config/encoder/hidden_size",
            json!(-4),
            "hidden_size is -4",
        ),
        (
            "/config/method/layer_norm",
            json!("weigth"),
            "weight-and-bias",
        ),
        (
            "/config/tasks/0/num_outputs",
            json!(4),
            "`decoders.0.model.weight` is [3, 24]",
        ),
        ("/config/tasks", json!([]), "at least one task"),
        ("/config", json!({}), "encoder"),
    ] {
        let error = with(pointer, value.clone());
        assert!(error.contains(expected), "{pointer} {value}: {error}");
    }
    std::fs::write(&path, "{").unwrap();
    assert!(load_error(dir.path()).contains("not JSON"));
    std::fs::remove_file(&path).unwrap();
    assert!(load_error(dir.path()).contains("cannot read the model's manifest"));
}

/// A save that fails leaves the old one as it was, and no litter.
#[test]
fn a_failed_save_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let model = saved(dir.path());
    let before = std::fs::read(dir.path().join(WEIGHTS_FILE)).unwrap();
    // A folder stands where the manifest should go, so the rename fails.
    let target = dir.path().join("blocked");
    std::fs::create_dir_all(target.join(WEIGHTS_FILE).join("x")).unwrap();
    let error = model.save(&target).unwrap_err().to_string();
    assert!(
        error.contains("there is a folder of that name") && error.contains(WEIGHTS_FILE),
        "{error}"
    );
    assert_eq!(
        std::fs::read_dir(&target).unwrap().count(),
        1,
        "temporary files are left"
    );
    // A file stands where the folder should be.
    let error = model
        .save(&dir.path().join(WEIGHTS_FILE).join("y"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot make the folder"), "{error}");
    assert_eq!(
        std::fs::read(dir.path().join(WEIGHTS_FILE)).unwrap(),
        before
    );
    Model::load(dir.path(), Device::Cpu).unwrap();
}

/// Gradients of a loaded model go into its flat buffer like those of a new one.
#[test]
fn a_loaded_model_trains() {
    let dir = tempfile::tempdir().unwrap();
    saved(dir.path());
    let model = Model::load(dir.path(), Device::Cpu).unwrap();
    let packing = camtl_ops::Packing::new(&[0, 3], &[0], Device::Cpu).unwrap();
    let input = camtl_model::ModelInput::new(&[1, 2, 3], &[0; 3], &[0, 1, 2], packing).unwrap();
    let output = model.forward(&input, None).unwrap();
    let targets = camtl_ops::Targets::new(&[1], &[0.0], Device::Cpu).unwrap();
    let heads = model.heads(&output, Some(&targets), None).unwrap();
    heads.loss.unwrap().sum(Kind::Float).backward();
    let parameters = model.parameters();
    let gradient = parameters
        .grad("bert.pooler.dense.weight")
        .unwrap()
        .unwrap();
    assert!(gradient.abs().max().double_value(&[]) > 0.0);
    assert!(
        parameters
            .grad("bert.embeddings.LayerNorm.weight")
            .unwrap()
            .is_none()
    );
}
