//! Export of one task as a plain Hugging Face folder.
//!
//! With the task fixed, most modules are affine in front of or behind an affine parameter and fold
//! into it exactly:
//!
//! * alignment: `(1+γ)⊙(x̂⊙w + b) + β = x̂⊙((1+γ)⊙w) + ((1+γ)⊙b + β)`, a layer norm again;
//! * conditional layer norm: the task's weight and bias;
//! * bottleneck: `W((1+γ)⊙x + β) + b = (W diag(1+γ))x + (Wβ + b)`, a down-projection again.
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

use crate::config::HeadKind;
use crate::config::{BottleneckResidual, block_width};
use crate::config::{EncoderConfig, ModelType};
use crate::error::ModelError;
use crate::manifest::{WEIGHTS_FILE, write_json};
use crate::model::Model;
use crate::modules::{Film, Modulation, NormRows};
use crate::parameters::LayerNames;
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

/// A module stored beside the plain encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BesideModule {
    /// `attention-bias`, `bottleneck` or `head`.
    pub module: String,
    /// Its tensors in `camtl_task.safetensors`.
    pub tensors: Vec<String>,
    /// How it is applied.
    pub equation: String,
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
        let mut folding = Folding {
            model: self,
            task: task as i64,
            plain: Vec::new(),
            beside: Vec::new(),
        };
        let mut export = folding.run(&modulation)?;
        if let Some(beside) = folding.head(task, head.kind)? {
            export.exact = false;
            export.beside.push(beside);
        }
        let config = hf_config(&self.config().encoder, head.kind, labels);
        write_tensors(&dir.join(WEIGHTS_FILE), &folding.plain)?;
        write_json(&dir.join("config.json"), &config)?;
        if !folding.beside.is_empty() {
            write_tensors(&dir.join(TASK_TENSORS_FILE), &folding.beside)?;
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
        let prefix = prefix(&self.config().encoder);
        let tensors: Vec<(String, Tensor)> = self
            .named_tensors()?
            .into_iter()
            .filter_map(|(name, tensor)| {
                let rest = name.strip_prefix("bert.")?;
                Some((format!("{prefix}{rest}"), tensor))
            })
            .collect();
        write_tensors(&dir.join(WEIGHTS_FILE), &tensors)?;
        let mut config = serde_json::to_value(&self.config().encoder).unwrap_or_default();
        config["architectures"] = json!([match self.config().encoder.model_type {
            ModelType::Bert => "BertModel",
            ModelType::Roberta => "RobertaModel",
        }]);
        write_json(&dir.join("config.json"), &config)
    }
}

fn prefix(encoder: &EncoderConfig) -> &'static str {
    match encoder.model_type {
        ModelType::Bert => "bert.",
        ModelType::Roberta => "roberta.",
    }
}

/// The architecture of Hugging Face's library with a head of this kind, without the family's name.
fn hf_class(kind: HeadKind) -> &'static str {
    match kind {
        HeadKind::Classification | HeadKind::Regression => "ForSequenceClassification",
        HeadKind::MultipleChoice => "ForMultipleChoice",
        HeadKind::Tagging => "ForTokenClassification",
        HeadKind::Span { .. } => "ForQuestionAnswering",
        HeadKind::SpanPair => "Model",
    }
}

/// `config.json` of the exported model.
fn hf_config(encoder: &EncoderConfig, kind: HeadKind, labels: &[String]) -> serde_json::Value {
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
    let family = match encoder.model_type {
        ModelType::Bert => "Bert",
        ModelType::Roberta => "Roberta",
    };
    config["architectures"] = json!([format!("{family}{}", hf_class(kind))]);
    match kind {
        HeadKind::Regression => config["problem_type"] = json!("regression"),
        HeadKind::Classification => {
            config["problem_type"] = json!("single_label_classification");
        }
        _ => {}
    }
    config["num_labels"] = json!(labels.len());
    config["id2label"] = id2label.into();
    config["label2id"] = label2id.into();
    config["position_embedding_type"] = json!("absolute");
    config["torch_dtype"] = json!("float32");
    config
}

struct Folding<'a> {
    model: &'a Model,
    task: i64,
    plain: Vec<(String, Tensor)>,
    beside: Vec<(String, Tensor)>,
}

impl Folding<'_> {
    fn run(&mut self, modulation: &Modulation) -> Result<HfExport, ModelError> {
        let config = self.model.config();
        let (method, encoder) = (&config.method, &config.encoder);
        let mut folded = Vec::new();
        for part in ["word", "position", "token_type"] {
            let name = format!("embeddings.{part}_embeddings.weight");
            self.copy(&format!("bert.{name}"), &name)?;
        }
        self.embedding_norm(modulation.alignment.as_ref())?;
        if modulation.alignment.is_some() {
            folded.push("alignment".to_string());
        }
        let mut biases = Vec::new();
        let mut adapters = Vec::new();
        for (index, layer) in modulation.layers.iter().enumerate() {
            let names = LayerNames::new(method, encoder, index as i64);
            let plain = format!("encoder.layer.{index}");
            for part in ["self.query", "self.key", "self.value", "output.dense"] {
                let source = format!("{}.{part}", names.attention);
                self.linear(&source, &format!("{plain}.attention.{part}"))?;
            }
            self.linear(&names.intermediate, &format!("{plain}.intermediate.dense"))?;
            self.linear(
                &format!("{}.dense", names.output),
                &format!("{plain}.output.dense"),
            )?;
            let source = format!("{}.output.LayerNorm", names.attention);
            let target = format!("{plain}.attention.output.LayerNorm");
            self.norm(&source, &target, layer.attention_norm.as_ref(), false)?;
            let source = format!("{}.LayerNorm", names.output);
            let target = format!("{plain}.output.LayerNorm");
            self.norm(&source, &target, layer.output_norm.as_ref(), false)?;
            if let Some(band) = &layer.band {
                let name = format!("{plain}.attention.self.bias_band");
                self.beside
                    .push((name.clone(), band.f_select(0, self.task)?));
                biases.push(name);
            }
            if let Some(film) = &layer.bottleneck {
                let (source, target) = if method.has_skip_path() {
                    let source = format!("bert.encoder.adapter_layer.{index}");
                    (source, format!("encoder.adapter_layer.{index}"))
                } else {
                    (
                        format!("{}.bottleneck", names.adapter),
                        format!("{plain}.adapter"),
                    )
                };
                adapters.extend(self.bottleneck(&source, &target, film)?);
                if method.has_base_bottleneck(encoder, index as i64)
                    && method.bottleneck_residual == BottleneckResidual::Released
                {
                    let source = format!("{}.condlayernorm", names.adapter);
                    let target = format!("{target}.LayerNorm");
                    self.norm(&source, &target, layer.adapter_norm.as_ref(), true)?;
                    adapters.extend([format!("{target}.weight"), format!("{target}.bias")]);
                }
            }
        }
        if method.conditional_layer_norm {
            folded.push("layer-norm".to_string());
        }
        let mut beside = Vec::new();
        if !biases.is_empty() {
            let width = block_width(encoder, config.max_length);
            beside.push(BesideModule {
                module: "attention-bias".into(),
                tensors: biases,
                equation: format!(
                    "score[i, floor(i/{width})*{width} + c] += bias_band[i, c], for every head, \
                     after the division by sqrt(head size) and before the softmax"
                ),
            });
        }
        if !adapters.is_empty() {
            folded.push("bottleneck modulation".to_string());
            beside.push(BesideModule {
                module: "bottleneck".into(),
                tensors: adapters,
                equation: adapter_equation(method.has_skip_path(), method.bottleneck_residual)
                    .into(),
            });
        }
        Ok(HfExport {
            format: "camtl-task".into(),
            format_version: 1,
            task: config.tasks[self.task as usize].name.clone(),
            exact: beside.is_empty(),
            folded,
            beside,
            max_length: config.max_length,
        })
    }

    fn source(&self, name: &str) -> Result<Tensor, ModelError> {
        self.model.parameters().tensor(name)
    }

    fn put(&mut self, name: &str, tensor: Tensor) {
        let name = format!("{}{name}", prefix(&self.model.config().encoder));
        self.plain.push((name, tensor));
    }

    fn copy(&mut self, source: &str, target: &str) -> Result<(), ModelError> {
        let tensor = self.source(source)?;
        self.put(target, tensor);
        Ok(())
    }

    fn linear(&mut self, source: &str, target: &str) -> Result<(), ModelError> {
        self.copy(&format!("{source}.weight"), &format!("{target}.weight"))?;
        self.copy(&format!("{source}.bias"), &format!("{target}.bias"))
    }

    fn embedding_norm(&mut self, alignment: Option<&Film>) -> Result<(), ModelError> {
        let name = "embeddings.LayerNorm";
        let mut weight = self.source(&format!("bert.{name}.weight"))?;
        let mut bias = self.source(&format!("bert.{name}.bias"))?;
        if let Some(film) = alignment {
            let gain = film.gamma.f_select(0, self.task)?.f_add_scalar(1.0)?;
            weight = weight.f_mul(&gain)?;
            bias = bias
                .f_mul(&gain)?
                .f_add(&film.beta.f_select(0, self.task)?)?;
        }
        self.put(&format!("{name}.weight"), weight);
        self.put(&format!("{name}.bias"), bias);
        Ok(())
    }

    fn norm(
        &mut self,
        source: &str,
        target: &str,
        rows: Option<&NormRows>,
        beside: bool,
    ) -> Result<(), ModelError> {
        let (weight, bias) = match rows {
            Some(rows) => {
                let bias = if rows.bias.dim() == 2 {
                    rows.bias.f_select(0, self.task)?
                } else {
                    rows.bias.shallow_clone()
                };
                (rows.weight.f_select(0, self.task)?, bias)
            }
            None => (
                self.source(&format!("{source}.weight"))?,
                self.source(&format!("{source}.bias"))?,
            ),
        };
        if beside {
            self.beside.push((format!("{target}.weight"), weight));
            self.beside.push((format!("{target}.bias"), bias));
        } else {
            self.put(&format!("{target}.weight"), weight);
            self.put(&format!("{target}.bias"), bias);
        }
        Ok(())
    }

    /// The two projections with the FiLM folded into the first.
    fn bottleneck(
        &mut self,
        source: &str,
        target: &str,
        film: &Film,
    ) -> Result<Vec<String>, ModelError> {
        let gain = film.gamma.f_select(0, self.task)?.f_add_scalar(1.0)?;
        let beta = film.beta.f_select(0, self.task)?;
        let down = self.source(&format!("{source}.down_proj_layer.weight"))?;
        let bias = self
            .source(&format!("{source}.down_proj_layer.bias"))?
            .f_add(&down.f_mv(&beta)?)?;
        let tensors = [
            ("down.weight", down.f_mul(&gain)?),
            ("down.bias", bias),
            (
                "up.weight",
                self.source(&format!("{source}.up_proj_layer.weight"))?,
            ),
            (
                "up.bias",
                self.source(&format!("{source}.up_proj_layer.bias"))?,
            ),
        ];
        let mut names = Vec::new();
        for (part, tensor) in tensors {
            let name = format!("{target}.{part}");
            self.beside.push((name.clone(), tensor));
            names.push(name);
        }
        Ok(names)
    }

    /// Pooler and decoder under the names of the family's class, or the decoder beside it.
    fn head(&mut self, task: usize, kind: HeadKind) -> Result<Option<BesideModule>, ModelError> {
        let decoder = format!("decoders.{task}.model");
        let pooler = "bert.pooler.dense";
        let family = self.model.config().encoder.model_type;
        match (kind, family) {
            (HeadKind::Classification | HeadKind::Regression, ModelType::Roberta) => {
                self.linear_as(pooler, "classifier.dense")?;
                self.linear_as(&decoder, "classifier.out_proj")?;
            }
            (HeadKind::Classification | HeadKind::Regression | HeadKind::MultipleChoice, _) => {
                self.linear(pooler, "pooler.dense")?;
                self.linear_as(&decoder, "classifier")?;
            }
            (HeadKind::Tagging, _) => self.linear_as(&decoder, "classifier")?,
            (HeadKind::Span { .. }, _) => self.linear_as(&decoder, "qa_outputs")?,
            (HeadKind::SpanPair, _) => {
                self.linear(pooler, "pooler.dense")?;
                let mut tensors = Vec::new();
                for part in ["weight", "bias"] {
                    let name = format!("classifier.{part}");
                    let tensor = self.source(&format!("{decoder}.{part}"))?;
                    self.beside.push((name.clone(), tensor));
                    tensors.push(name);
                }
                return Ok(Some(BesideModule {
                    module: "head".into(),
                    tensors,
                    equation: "logits = classifier(concatenation of the first token's last hidden \
                               state, the mean of the first stretch's, the mean of the second's)"
                        .into(),
                }));
            }
        }
        Ok(None)
    }

    /// [`Folding::linear`] outside the encoder.
    fn linear_as(&mut self, source: &str, target: &str) -> Result<(), ModelError> {
        for part in ["weight", "bias"] {
            let tensor = self.source(&format!("{source}.{part}"))?;
            self.plain.push((format!("{target}.{part}"), tensor));
        }
        Ok(())
    }
}

fn adapter_equation(skip_path: bool, residual: BottleneckResidual) -> &'static str {
    match (skip_path, residual) {
        (false, BottleneckResidual::Released) => {
            "last hidden state = LayerNorm(up(down(layer output)) + attention output) with \
             adapter.LayerNorm; attention output = output of the last layer's attention block"
        }
        (false, BottleneckResidual::LayerOutput) => {
            "last hidden state = layer output + up(down(layer output))"
        }
        (true, BottleneckResidual::Released) => {
            "s = 0; for every layer j: s = up_j(down_j(hidden state j + s)); last hidden state = s"
        }
        (true, BottleneckResidual::LayerOutput) => {
            "s = 0; for every layer j: s = up_j(down_j(hidden state j + s)); last hidden state = \
             hidden state of the last layer + s"
        }
    }
}
