//! Reading a case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use camtl_model::weights::WeightFile;
use camtl_model::{
    Activation, EncoderConfig, Freeze, MethodConfig, Model, ModelConfig, Preset, TaskHead, Variant,
};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::compare::Report;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) json: Value,
    pub(crate) config: ModelConfig,
    tensors: BTreeMap<String, Tensor>,
}

/// One batch of a case, on the CPU.
pub(crate) struct Batch {
    pub(crate) prefix: String,
    pub(crate) input_ids: Vec<Vec<i64>>,
    pub(crate) token_type_ids: Vec<Vec<i64>>,
    pub(crate) lengths: Vec<usize>,
    pub(crate) tasks: Vec<usize>,
    pub(crate) labels: Vec<f64>,
    pub(crate) length: usize,
}

impl Case {
    /// All model cases of a folder, by name. A JSON that describes an encoder must have its tensors.
    pub(crate) fn read_folder(folder: &Path) -> Vec<Case> {
        let entries = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
            .iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .filter_map(|path| {
                let json: Value =
                    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
                json.get("encoder")?;
                json.get("parameter_names")?;
                Some(Case::read(&path.with_extension("safetensors"), json))
            })
            .collect()
    }

    fn read(path: &Path, json: Value) -> Case {
        let file = WeightFile::open(path).unwrap_or_else(|error| panic!("{error}"));
        let tensors = file
            .tensors()
            .map(|(name, _)| (name.to_string(), file.tensor(name).unwrap()))
            .collect();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Case {
            config: config(&json),
            name,
            json,
            tensors,
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    pub(crate) fn expect(&self, name: &str) -> &Tensor {
        self.tensor(name)
            .unwrap_or_else(|| panic!("{} has no tensor {name}", self.name))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A list of strings in the JSON.
    pub(crate) fn strings(value: &Value) -> Vec<String> {
        value
            .as_array()
            .map(|list| {
                list.iter()
                    .map(|item| item.as_str().unwrap().to_string())
                    .collect()
            })
            .unwrap_or_default()
    }

    /// The model with the case's parameters.
    pub(crate) fn model(&self, freeze: Freeze) -> Model {
        let config = ModelConfig {
            freeze,
            ..self.config.clone()
        };
        let model = Model::new(&config, Device::Cpu, 0).unwrap_or_else(|error| panic!("{error}"));
        for entry in model.parameters().entries() {
            let values = self.expect(&format!("param.{}", entry.name));
            model
                .parameters()
                .set(&entry.name, values)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        model
    }

    /// The model has exactly the reference's parameters.
    pub(crate) fn check_parameters(&self, report: &mut Report) {
        let model = Model::new(&self.config, Device::Cpu, 0).unwrap();
        let ours: BTreeMap<String, Vec<i64>> = model
            .parameters()
            .entries()
            .iter()
            .map(|entry| (entry.name.clone(), entry.shape.clone()))
            .collect();
        let theirs: BTreeMap<String, Vec<i64>> = Case::strings(&self.json["parameter_names"])
            .into_iter()
            .map(|name| {
                let shape = self.expect(&format!("param.{name}")).size();
                (name, shape)
            })
            .collect();
        let stored: BTreeSet<&str> = self
            .names()
            .filter_map(|name| name.strip_prefix("param."))
            .collect();
        report.equal("parameter names and shapes", &ours, &theirs);
        report.equal(
            "stored parameters",
            &stored,
            &theirs.keys().map(String::as_str).collect(),
        );
    }

    pub(crate) fn batches(&self) -> Vec<Batch> {
        let names = self.json["batches"].as_object().expect("batches");
        assert!(!names.is_empty(), "{} has no batch", self.name);
        names.keys().map(|prefix| self.batch(prefix)).collect()
    }

    fn batch(&self, prefix: &str) -> Batch {
        let ids = self.expect(&format!("{prefix}.in.input_ids"));
        let length = ids.size()[1] as usize;
        let rows = |name: &str| -> Vec<Vec<i64>> {
            let tensor = self.expect(&format!("{prefix}.in.{name}"));
            Vec::<Vec<i64>>::try_from(tensor.to_kind(Kind::Int64)).unwrap()
        };
        let lengths = rows("attention_mask")
            .iter()
            .map(|mask| {
                let length = mask.iter().filter(|&&one| one == 1).count();
                assert!(
                    mask[..length].iter().all(|&one| one == 1),
                    "padding inside a sequence"
                );
                length
            })
            .collect();
        let tasks = Vec::<i64>::try_from(self.expect(&format!("{prefix}.in.task_id"))).unwrap();
        let labels = self
            .expect(&format!("{prefix}.in.labels"))
            .to_kind(Kind::Double);
        Batch {
            prefix: prefix.to_string(),
            input_ids: rows("input_ids"),
            token_type_ids: rows("token_type_ids"),
            lengths,
            tasks: tasks.into_iter().map(|task| task as usize).collect(),
            labels: Vec::<f64>::try_from(labels).unwrap(),
            length,
        }
    }
}

fn config(json: &Value) -> ModelConfig {
    let shapes = &json["config"];
    let size = |field: &str| {
        shapes[field]
            .as_i64()
            .unwrap_or_else(|| panic!("config.{field}"))
    };
    let activation = shapes["hidden_act"].as_str().unwrap_or("gelu");
    assert!(
        activation.starts_with("gelu") && !activation.contains("new"),
        "{activation}"
    );
    let names = Case::strings(&json["parameter_names"]);
    let layers: BTreeSet<i64> = names.iter().filter_map(|name| layer_of(name)).collect();
    let encoder = EncoderConfig {
        type_vocab_size: size("type_vocab_size"),
        layer_norm_eps: shapes["layer_norm_eps"].as_f64().unwrap(),
        hidden_act: Activation::Gelu,
        ..EncoderConfig::bert(
            size("vocab_size"),
            size("hidden_size"),
            layers.len() as i64,
            size("num_attention_heads"),
            size("intermediate_size"),
            size("max_position_embeddings"),
        )
    };
    let mut method = match json["encoder"].as_str().unwrap() {
        "base" => MethodConfig::new(Preset::Released, Variant::Base),
        "large" => MethodConfig::new(Preset::Released, Variant::Large),
        "bert" => MethodConfig::plain(),
        other => panic!("unknown encoder {other}"),
    };
    method.upper_half_from = names
        .iter()
        .filter(|name| name.contains("ln_weight_modulation"))
        .filter_map(|name| layer_of(name))
        .min();
    let tasks = Case::strings(&json["tasks"])
        .iter()
        .zip(json["num_labels"].as_array().unwrap())
        .map(|(name, labels)| match labels.as_u64().unwrap() as usize {
            1 => TaskHead::regression(name),
            classes => TaskHead::classification(name, classes),
        })
        .collect();
    let max_length = size("max_seq_length") as usize;
    ModelConfig {
        encoder,
        method,
        tasks,
        max_length,
        freeze: Freeze::None,
    }
}

pub(crate) fn layer_of(name: &str) -> Option<i64> {
    name.strip_prefix("bert.encoder.layer.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}
