//! From a configuration to data sets and a model.
//!
//! ```
//! use camtl_data::task::TaskSpec;
//! use camtl_model::EncoderConfig;
//! use camtl_trainer::{RunConfig, setup};
//!
//! let spec = TaskSpec::from_toml(
//!     r#"
//!     name = "sentiment"
//!     kind = "classification"
//!     labels = ["negative", "positive"]
//!     metrics = ["accuracy"]
//!     format = "tsv"
//!     fields = { text_a = 0, label = 1 }
//!     [files]
//!     train = "train.tsv"
//!     "#,
//!     "sentiment.toml",
//! )?;
//! let mut config = RunConfig::new("models/tiny");
//! config.data.max_length = 16;
//! let model = setup::model_config(&config, &[&spec], EncoderConfig::bert(100, 32, 2, 2, 64, 16));
//! assert_eq!(model.tasks[0].num_outputs, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use camtl_data::load_task;
use camtl_data::task::TaskSpec;
use camtl_data::tokenize::TextTokenizer;
use camtl_data::{LoadOptions, TaskDataset};
use camtl_model::{EncoderConfig, LoadReport, Model, ModelConfig, TaskHead};
use tch::{Device, Kind};

use crate::config::{Precision, RunConfig};
use crate::error::TrainError;
use crate::scorer::TRAIN;

/// The model that `config` describes for these tasks on this encoder.
pub fn model_config(
    config: &RunConfig,
    specs: &[&TaskSpec],
    mut encoder: EncoderConfig,
) -> ModelConfig {
    if let Some(dropout) = config.model.dropout {
        encoder.hidden_dropout_prob = dropout;
        encoder.attention_probs_dropout_prob = dropout;
    }
    let head = |spec: &&TaskSpec| TaskHead {
        name: spec.name.clone(),
        num_outputs: spec.kind.num_outputs(),
        regression: spec.kind.is_regression(),
    };
    ModelConfig {
        encoder,
        method: config.model.method.clone(),
        tasks: specs.iter().map(head).collect(),
        max_length: config.data.max_length,
        freeze: config.model.freeze.clone(),
    }
}

/// The model at the start of training: the pretrained encoder of `encoder_dir` with new modules and
/// heads.
///
/// # Errors
/// The encoder's files are missing or damaged, or do not fit the configuration; `bfloat16` is asked
/// for without a GPU.
pub fn build_model(
    config: &RunConfig,
    specs: &[&TaskSpec],
    encoder_dir: &Path,
    device: Device,
) -> Result<(Model, LoadReport), TrainError> {
    let shape = model_config(config, specs, EncoderConfig::from_dir(encoder_dir)?);
    let (mut model, report) =
        Model::from_pretrained(&shape, encoder_dir, device, config.train.seed)?;
    set_precision(&mut model, config.train.precision)?;
    Ok((model, report))
}

/// Makes `model` compute in `precision`.
///
/// # Errors
/// `bfloat16` on a CPU, where it would only be slower.
pub fn set_precision(model: &mut Model, precision: Precision) -> Result<(), TrainError> {
    match (precision, model.device()) {
        (Precision::Float32, _) => model.set_autocast(None),
        (Precision::Bfloat16, Device::Cuda(_)) => model.set_autocast(Some(Kind::BFloat16)),
        (Precision::Bfloat16, _) => {
            return Err(TrainError::Device {
                device: "cuda",
                problem: "train.precision = \"bfloat16\" is for GPUs, and this run is on a CPU; set it to \"float32\""
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// The splits of `spec` that a run reads: `train` and those of `eval.splits` that the task file names.
pub fn splits_of(config: &RunConfig, spec: &TaskSpec) -> Vec<String> {
    let evaluated = config
        .eval
        .splits
        .iter()
        .filter(|split| spec.files.contains_key(*split));
    let mut splits = vec![TRAIN.to_owned()];
    splits.extend(evaluated.filter(|split| *split != TRAIN).cloned());
    splits
}

/// Reads and tokenises the tasks, `config.data` deciding from where.
///
/// # Errors
/// A file is missing or malformed; the message names file and line.
pub fn load_datasets(
    config: &RunConfig,
    specs: &[TaskSpec],
    tokenizer: &TextTokenizer,
) -> Result<Vec<TaskDataset>, TrainError> {
    let cache = &config.data.cache_dir;
    let mut datasets = Vec::with_capacity(specs.len());
    for spec in specs {
        let options = LoadOptions {
            data_dir: config.data.dir.clone(),
            cache_dir: (!cache.as_os_str().is_empty()).then(|| cache.clone()),
            max_length: config.data.max_length,
            splits: splits_of(config, spec),
            limit: config.data.train_limit,
        };
        let mut dataset = load_task(spec, tokenizer, &options)?;
        if let Some(fraction) = config.data.train_fraction
            && let Some(split) = dataset.splits.get_mut(TRAIN)
        {
            *split = split.sample(fraction, config.train.seed);
        }
        datasets.push(dataset);
    }
    Ok(datasets)
}
