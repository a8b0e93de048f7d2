//! Heads in files: manifests of both versions, parameters, exports.

use camtl_model::export::TASK_TENSORS_FILE;
use camtl_model::weights::WeightFile;
use camtl_model::{HeadKind, MethodConfig, Model, Module, ParameterReport, TaskHead};
use serde_json::json;
use tch::Device;

use crate::batch::*;

#[test]
fn heads_are_read_as_they_were_and_are_written() {
    let read = |value: serde_json::Value| serde_json::from_value::<TaskHead>(value);
    let old = json!({"name": "a", "num_outputs": 3});
    assert_eq!(read(old).unwrap(), TaskHead::classification("a", 3));
    let old = json!({"name": "a", "num_outputs": 3, "regression": false});
    assert_eq!(read(old).unwrap(), TaskHead::classification("a", 3));
    let old = json!({"name": "b", "num_outputs": 1, "regression": true});
    assert_eq!(read(old).unwrap(), TaskHead::regression("b"));
    for head in config(MethodConfig::plain()).tasks {
        let stored = serde_json::to_value(&head).unwrap();
        assert_eq!(read(stored).unwrap(), head);
    }
    let stored = serde_json::to_value(TaskHead::span("s", true)).unwrap();
    assert_eq!(
        stored,
        json!({"name": "s", "num_outputs": 2, "kind": {"span": {"no_answer": true}}})
    );
    for (wrong, expected) in [
        (
            json!({"name": "a", "num_outputs": 1, "kind": "regression", "regression": true}),
            "both",
        ),
        (
            json!({"name": "a", "num_outputs": 1, "kind": "ranking"}),
            "ranking",
        ),
        (
            json!({"name": "a", "num_outputs": 1, "knd": "tagging"}),
            "knd",
        ),
    ] {
        let error = read(wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A saved model of format version 1 still loads.
#[test]
fn manifests_of_version_1_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(MethodConfig::plain());
    config.tasks.truncate(2);
    Model::new(&config, Device::Cpu, 1)
        .unwrap()
        .save(dir.path())
        .unwrap();
    let path = dir.path().join("camtl.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(manifest["format_version"], 2);
    manifest["format_version"] = json!(1);
    manifest["config"]["tasks"] = json!([
        {"name": "class", "num_outputs": 3, "regression": false},
        {"name": "score", "num_outputs": 1, "regression": true},
    ]);
    std::fs::write(&path, manifest.to_string()).unwrap();
    assert_eq!(
        Model::load(dir.path(), Device::Cpu).unwrap().config(),
        &config
    );
}

#[test]
fn every_kind_is_saved_counted_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let model = model();
    model.save(dir.path()).unwrap();
    let loaded = Model::load(dir.path(), Device::Cpu).unwrap();
    assert_eq!(loaded.config(), model.config());
    let pair = "decoders.6.model.weight";
    assert_eq!(model.parameters().tensor(pair).unwrap().size(), [2, 72]);
    let examples = mixed();
    assert_eq!(
        vector(&heads(&loaded, &examples, None).entropy),
        vector(&heads(&model, &examples, None).entropy)
    );
    // Weights of 3 + 1 + 1 + 4 + 2 + 2 rows of 24 and 2 of 72, and a bias for each row.
    let report = ParameterReport::new(model.config()).unwrap();
    assert_eq!(report.module(Module::Heads).total, 13 * 24 + 2 * 72 + 15);

    for (kind, expected) in [
        (
            HeadKind::MultipleChoice,
            "a multiple choice with 3 outputs; expected 1",
        ),
        (
            HeadKind::Span { no_answer: true },
            "a span with 3 outputs; expected 2",
        ),
        (
            HeadKind::Regression,
            "a regression with 3 outputs; expected 1",
        ),
    ] {
        let mut config = model.config().clone();
        config.tasks[0].kind = kind;
        let error = config.check().unwrap_err().to_string();
        assert!(
            error.contains("`class`") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn exports_name_the_class_with_such_a_head() {
    let model = Model::new(&config(MethodConfig::plain()), Device::Cpu, 6).unwrap();
    for (task, class, head) in [
        (CHOICE, "BertForMultipleChoice", Some("classifier")),
        (TAGGING, "BertForTokenClassification", Some("classifier")),
        (SPAN, "BertForQuestionAnswering", Some("qa_outputs")),
        (PAIR, "BertModel", None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let export = model.save_task_as_hf(task as usize, dir.path()).unwrap();
        let read = |file: &str| std::fs::read(dir.path().join(file)).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&read("config.json")).unwrap();
        assert_eq!(config["architectures"][0], class);
        let name = format!("decoders.{task}.model.weight");
        let ours = model.parameters().tensor(&name).unwrap();
        let (file, name) = match head {
            Some(head) => ("model.safetensors", format!("{head}.weight")),
            None => (TASK_TENSORS_FILE, "classifier.weight".to_owned()),
        };
        let file = WeightFile::open(&dir.path().join(file)).unwrap();
        assert_eq!(file.tensor(&name).unwrap(), ours);
        assert_eq!(export.exact, head.is_some());
        assert_eq!(
            export.beside.iter().any(|part| part.module == "head"),
            head.is_none()
        );
    }
}
