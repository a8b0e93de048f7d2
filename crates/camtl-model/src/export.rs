//! Export of one task as a plain Hugging Face folder.
//!
//! With the task fixed, most modules are affine in front of or behind an affine parameter and fold
//! into it exactly; each says how in its own file, under `modules/`.
//!
//! The attention bias and the bottleneck adapter have no place in a plain encoder. Where the model
//! has them they go into `camtl_task.safetensors` beside it, and `camtl_task.json` says how each is
//! applied; without them the folder alone is the whole model.
//!
//! The head becomes that of Hugging Face's class for its kind: sequence classification (regressions
//! too), multiple choice, token classification, question answering. A span pair has no such class;
//! its head goes beside a plain encoder.
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, Preset, TaskHead, Variant};
//! use tch::Device;
//!
//! let mut method = MethodConfig::new(Preset::Released, Variant::Base);
//! method.conditional_attention = false;
//! method.conditional_bottleneck = false;
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 48, 2, 4, 96, 32),
//!     method,
//!     tasks: vec![TaskHead::classification("rte", 2)],
//!     max_length: 16,
//!     freeze: Default::default(),
//! };
//! let model = Model::new(&config, Device::Cpu, 1).unwrap();
//! let dir = tempfile::tempdir().unwrap();
//! let export = model.save_task_as_hf(0, dir.path()).unwrap();
//! assert!(export.exact && export.beside.is_empty());
//! assert!(dir.path().join("config.json").exists());
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Tensor, no_grad};

use crate::arch::architecture;
use crate::config::{EncoderConfig, HeadKind};
use crate::error::ModelError;
use crate::folding::{BesideModule, Folding};
use crate::manifest::{WEIGHTS_FILE, write_json};
use crate::model::Model;
use crate::parameters::spec::{LinearId, Module};
use crate::parameters::store::ParameterStore;
use crate::weights::write_tensors;

/// Tensors that a plain encoder has no place for.
pub const TASK_TENSORS_FILE: &str = "camtl_task.safetensors";

/// How they are applied.
pub const TASK_MANIFEST_FILE: &str = "camtl_task.json";

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HfExport {
    /// Always `camtl-task`.
    pub format: String,
    /// Version of the format.
    pub format_version: u32,
    /// The task.
    pub task: String,
    /// Whether the plain encoder alone computes what the model computes.
    pub exact: bool,
    /// Modules folded into the encoder.
    pub folded: Vec<String>,
    /// Modules stored beside it, each with the equation that applies it.
    pub beside: Vec<BesideModule>,
    /// Longest sequence the attention bias was made for.
    pub max_length: usize,
}

impl Model {
    /// Exports task number `task` into `dir` as the model class of Hugging Face's library that has
    /// such a head, with labels `LABEL_0`, `LABEL_1`, ... See the [module](crate::export) for what
    /// folds.
    ///
    /// # Errors
    /// There is no such task, or a file cannot be written.
    pub fn save_task_as_hf(&self, task: usize, dir: &Path) -> Result<HfExport, ModelError> {
        let outputs = self
            .config()
            .tasks
            .get(task)
            .map_or(0, |head| head.num_outputs);
        let labels: Vec<String> = (0..outputs).map(|label| format!("LABEL_{label}")).collect();
        self.save_task_as_hf_with_labels(task, dir, &labels)
    }

    /// [`Model::save_task_as_hf`] with the labels' names.
    ///
    /// # Errors
    /// As there, or the number of labels is not the head's.
    pub fn save_task_as_hf_with_labels(
        &self,
        task: usize,
        dir: &Path,
        labels: &[String],
    ) -> Result<HfExport, ModelError> {
        let Some(head) = self.config().tasks.get(task) else {
            return Err(ModelError::Input(format!(
                "there is no task {task}; the model has {}",
                self.config().tasks.len()
            )));
        };
        if labels.len() != head.num_outputs {
            return Err(ModelError::Input(format!(
                "task `{}` has {} outputs, but {} labels were given",
                head.name,
                head.num_outputs,
                labels.len()
            )));
        }
        std::fs::create_dir_all(dir)
            .map_err(|source| ModelError::io("make the folder", dir, source))?;
        let modulation = no_grad(|| self.modulation())?;
        let structure = self.structure();
        let (store, encoder) = (self.parameters(), &structure.encoder);
        let mut folding = Folding::new(store, encoder, &modulation, task as i64);
        for module in &structure.conditions.modules {
            module.fold(&mut folding)?;
        }
        let family = architecture(self.config().encoder.model_type);
        let names = family.head_names(head.kind);
        let mut plain = Vec::new();
        for (at, entry) in store.entries().iter().enumerate() {
            // A head may have no place for a pooler, or another than the encoder's.
            if let (Some(name), false) = (&entry.spec.plain, entry.module == Module::Pooler) {
                plain.push((
                    format!("{}{name}", family.prefix()),
                    folding.parameter(store.at(at))?,
                ));
            }
        }
        if let Some(name) = names.pooler {
            let inside = names.decoder.is_none_or(|decoder| !decoder.contains('.'));
            let prefix = if inside { family.prefix() } else { "" };
            push(
                &mut plain,
                store,
                encoder.pooler,
                &format!("{prefix}{name}"),
            )?;
        }
        let decoder = structure.heads[task];
        if let Some(name) = names.decoder {
            push(&mut plain, store, decoder, name)?;
        } else {
            let mut tensors = Vec::new();
            push(&mut tensors, store, decoder, "classifier")?;
            let equation = "logits = classifier(concatenation of the first token's last hidden \
                            state, the mean of the first stretch's, the mean of the second's)";
            folding.beside("head", tensors, equation);
        }
        let export = HfExport {
            format: "camtl-task".into(),
            format_version: 1,
            task: head.name.clone(),
            exact: folding.beside.is_empty(),
            folded: folding.folded,
            beside: folding.beside,
            max_length: self.config().max_length,
        };
        let class = format!("{}{}", family.class(), names.class);
        let config = hf_config(&self.config().encoder, &class, head.kind, labels);
        write_tensors(&dir.join(WEIGHTS_FILE), &plain)?;
        write_json(&dir.join("config.json"), &config)?;
        if !folding.tensors.is_empty() {
            write_tensors(&dir.join(TASK_TENSORS_FILE), &folding.tensors)?;
        }
        write_json(&dir.join(TASK_MANIFEST_FILE), &export)?;
        Ok(export)
    }

    /// Saves a plain encoder (`variant = "none"`) without its heads as a Hugging Face folder that
    /// [`Model::from_pretrained`] reads.
    ///
    /// # Errors
    /// The model is conditional, or a file cannot be written.
    pub fn save_encoder_as_hf(&self, dir: &Path) -> Result<(), ModelError> {
        if self.config().method.is_conditional() {
            return Err(ModelError::Input(
                "the encoder of a conditional model depends on the task; export one task with \
                 save_task_as_hf"
                    .into(),
            ));
        }
        std::fs::create_dir_all(dir)
            .map_err(|source| ModelError::io("make the folder", dir, source))?;
        let family = architecture(self.config().encoder.model_type);
        let mut tensors = Vec::new();
        for (at, entry) in self.parameters().entries().iter().enumerate() {
            if let Some(name) = &entry.spec.plain {
                let value = self.parameters().value(self.parameters().at(at))?;
                tensors.push((format!("{}{name}", family.prefix()), value));
            }
        }
        write_tensors(&dir.join(WEIGHTS_FILE), &tensors)?;
        let mut config = serde_json::to_value(&self.config().encoder).unwrap_or_default();
        config["architectures"] = json!([format!("{}Model", family.class())]);
        write_json(&dir.join("config.json"), &config)
    }
}

/// Adds a linear layer called `name`.
fn push(
    tensors: &mut Vec<(String, Tensor)>,
    store: &ParameterStore,
    id: LinearId,
    name: &str,
) -> Result<(), ModelError> {
    tensors.push((format!("{name}.weight"), store.value(id.weight)?));
    tensors.push((format!("{name}.bias"), store.value(id.bias)?));
    Ok(())
}

/// `config.json` of the exported model.
fn hf_config(
    encoder: &EncoderConfig,
    class: &str,
    kind: HeadKind,
    labels: &[String],
) -> serde_json::Value {
    let mut config = serde_json::to_value(encoder).unwrap_or_default();
    let id2label: serde_json::Map<String, serde_json::Value> = labels
        .iter()
        .enumerate()
        .map(|(id, label)| (id.to_string(), json!(label)))
        .collect();
    let label2id: serde_json::Map<String, serde_json::Value> = labels
        .iter()
        .enumerate()
        .map(|(id, label)| (label.clone(), json!(id)))
        .collect();
    config["architectures"] = json!([class]);
    match kind {
        HeadKind::Regression => config["problem_type"] = json!("regression"),
        HeadKind::Classification => {
            config["problem_type"] = json!("single_label_classification");
        }
        HeadKind::MultipleChoice
        | HeadKind::Tagging
        | HeadKind::Span { .. }
        | HeadKind::SpanPair => {}
    }
    config["num_labels"] = json!(labels.len());
    config["id2label"] = id2label.into();
    config["label2id"] = label2id.into();
    config["position_embedding_type"] = json!("absolute");
    config["torch_dtype"] = json!("float32");
    config
}
