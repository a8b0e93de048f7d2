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

use std::path::{Path, PathBuf};

use camtl_data::load_task;
use camtl_data::sampler::TaskInfo;
use camtl_data::task::{TaskKind, TaskSpec};
use camtl_data::tokenize::TextTokenizer;
use camtl_data::{HOLDOUT, LoadOptions, TaskDataset};
use camtl_model::{EncoderConfig, LoadReport, Model, ModelConfig, StepGraphs, TaskHead};
use tch::{Device, Kind};

use crate::config::{Precision, RunConfig, TrainOptions};
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
    ModelConfig {
        encoder,
        method: config.model.method.clone(),
        tasks: specs.iter().map(|spec| task_head(spec)).collect(),
        max_length: config.data.max_length,
        freeze: config.model.freeze.clone(),
    }
}

/// The head that a task needs.
pub fn task_head(spec: &TaskSpec) -> TaskHead {
    let (name, outputs) = (spec.name.as_str(), spec.kind.num_outputs());
    match &spec.kind {
        TaskKind::Classification(_) => TaskHead::classification(name, outputs),
        TaskKind::Regression(_) => TaskHead::regression(name),
        TaskKind::MultipleChoice(_) => TaskHead::multiple_choice(name),
        TaskKind::Tagging(_) => TaskHead::tagging(name, outputs),
        TaskKind::Span(span) => TaskHead::span(name, span.no_answer),
        TaskKind::SpanPair(_) => TaskHead::span_pair(name, outputs),
    }
}

/// Takes tasks without a training file, and splits to evaluate without a file, out of `specs` and
/// `config`, if `data.skip_missing` is set (it is not set afterwards: what is left is needed). Returns
/// what was left out, a sentence each.
///
/// # Errors
/// No task has a training file.
pub fn leave_out_missing(
    config: &mut RunConfig,
    specs: &mut Vec<TaskSpec>,
) -> Result<Vec<String>, TrainError> {
    if !std::mem::take(&mut config.data.skip_missing) {
        return Ok(Vec::new());
    }
    let mut left_out = Vec::new();
    let dir = config.data.dir.clone();
    let missing =
        |spec: &TaskSpec, split: &str| spec.split_path(&dir, split).filter(|path| !path.is_file());
    let mut kept = Vec::new();
    for (at, mut spec) in std::mem::take(specs).into_iter().enumerate() {
        if !spec.files.contains_key(TRAIN) {
            left_out.push(format!(
                "task `{}` is left out: it has no training split",
                spec.name
            ));
            continue;
        }
        if let Some(path) = missing(&spec, TRAIN) {
            left_out.push(format!(
                "task `{}` is left out: {} is not there",
                spec.name,
                path.display()
            ));
            continue;
        }
        for split in splits_of(config, &spec) {
            if let Some(path) = missing(&spec, &split) {
                left_out.push(format!(
                    "task `{}` is trained without its split `{split}`: {} is not there",
                    spec.name,
                    path.display()
                ));
                spec.files.remove(&split);
            }
        }
        kept.push(at);
        specs.push(spec);
    }
    if specs.is_empty() {
        return Err(TrainError::Mismatch(format!(
            "no task has a training file below {}: {}",
            dir.display(),
            left_out.join("; ")
        )));
    }
    config.keep_loss_weights(specs.iter().map(|spec| spec.name.as_str()));
    config.data.tasks = kept
        .into_iter()
        .filter_map(|at| config.data.tasks.get(at).cloned())
        .collect();
    Ok(left_out)
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
    set_device_options(&mut model, &config.train)?;
    Ok((model, report))
}

/// Makes `model` compute in `train.precision`, and sees to it that what the options ask of the device is
/// there.
///
/// # Errors
/// `bfloat16` on a CPU, where it would only be slower; CUDA graphs on a CPU, or of a model that cannot be
/// captured.
pub fn set_device_options(model: &mut Model, train: &TrainOptions) -> Result<(), TrainError> {
    match (train.precision, model.device()) {
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
    if !train.cuda_graphs {
        return Ok(());
    }
    if model.device() == Device::Cpu {
        return Err(TrainError::Device {
            device: "cuda",
            problem:
                "train.cuda_graphs = true is for GPUs, and this run is on a CPU; set it to false"
                    .to_owned(),
        });
    }
    Ok(StepGraphs::check(model)?)
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

/// Whether a run has this split of `spec`: the task file names it, or the run holds it out.
pub fn has_split(config: &RunConfig, spec: &TaskSpec, split: &str) -> bool {
    spec.files.contains_key(split) || (split == HOLDOUT && config.data.holdout_fraction > 0.0)
}

/// Takes `data.holdout_fraction` of the training split out of it, as a split of its own.
fn hold_out(config: &RunConfig, dataset: &mut TaskDataset) -> Result<(), TrainError> {
    let data = &config.data;
    let name = dataset.spec.name.clone();
    if data.holdout_fraction == 0.0 {
        return Ok(());
    }
    if dataset.spec.files.contains_key(HOLDOUT) {
        return Err(TrainError::Mismatch(format!(
            "task `{name}` has a split `{HOLDOUT}` of its own; rename it in the task file, or set \
             data.holdout_fraction = 0 and evaluate on it"
        )));
    }
    let Some(train) = dataset.splits.get_mut(TRAIN) else {
        return Ok(());
    };
    let parts = train.hold_out(data.holdout_fraction, data.holdout_seed, &name);
    let Some((rest, held_out)) = parts else {
        return Err(TrainError::Mismatch(format!(
            "task `{name}` has too few training examples ({}) to hold any of them out; set \
             data.holdout_fraction = 0",
            train.len()
        )));
    };
    *train = rest;
    dataset.splits.insert(HOLDOUT.to_owned(), held_out);
    Ok(())
}

/// Reads and tokenises these splits of one task as a run with `config` has them, whole: `holdout` is
/// what the run held out of its training split.
///
/// # Errors
/// As [`load_datasets`].
pub fn load_splits(
    config: &RunConfig,
    spec: &TaskSpec,
    tokenizer: &TextTokenizer,
    splits: &[String],
) -> Result<TaskDataset, TrainError> {
    let held_out = |split: &String| split == HOLDOUT && !spec.files.contains_key(split);
    let options = |splits: Vec<String>, limit| LoadOptions {
        data_dir: config.data.dir.clone(),
        cache_dir: cache_dir(config),
        max_length: config.data.max_length,
        splits,
        limit,
    };
    let named: Vec<String> = (splits.iter().filter(|split| !held_out(split)).cloned()).collect();
    let mut dataset = TaskDataset {
        spec: spec.clone(),
        splits: Default::default(),
    };
    if !named.is_empty() {
        dataset = load_task(spec, tokenizer, &options(named, None))?;
    }
    if splits.iter().any(held_out) {
        let trained = options(vec![TRAIN.to_owned()], config.data.train_limit);
        let mut trained = load_task(spec, tokenizer, &trained)?;
        hold_out(config, &mut trained)?;
        let Some(part) = trained.splits.remove(HOLDOUT) else {
            return Err(TrainError::Mismatch(format!(
                "nothing was held out of task `{}`: the run has data.holdout_fraction = 0",
                spec.name
            )));
        };
        dataset.splits.insert(HOLDOUT.to_owned(), part);
    }
    Ok(dataset)
}

fn cache_dir(config: &RunConfig) -> Option<PathBuf> {
    let cache = &config.data.cache_dir;
    (!cache.as_os_str().is_empty()).then(|| cache.clone())
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
    let mut datasets = Vec::with_capacity(specs.len());
    for spec in specs {
        let options = LoadOptions {
            data_dir: config.data.dir.clone(),
            cache_dir: cache_dir(config),
            max_length: config.data.max_length,
            splits: splits_of(config, spec),
            limit: config.data.train_limit,
        };
        let mut dataset = load_task(spec, tokenizer, &options)?;
        hold_out(config, &mut dataset)?;
        if let Some(fraction) = config.data.train_fraction
            && let Some(split) = dataset.splits.get_mut(TRAIN)
        {
            *split = split.sample(fraction, config.train.seed);
        }
        datasets.push(dataset);
    }
    Ok(datasets)
}

/// Updates that a run with this configuration makes on these data sets.
///
/// # Errors
/// A training split is missing, empty or has examples without a label, or the sampler does not suit it.
pub fn planned_steps(config: &RunConfig, datasets: &[TaskDataset]) -> Result<u64, TrainError> {
    Ok(steps_of(config, &task_infos(datasets)?)?.1)
}

/// Updates in one epoch of the sampler, and in the whole run.
pub(crate) fn steps_of(config: &RunConfig, infos: &[TaskInfo]) -> Result<(u64, u64), TrainError> {
    let train = &config.train;
    let per_epoch = camtl_data::sampler::steps_per_epoch(&config.sampler, infos, train.batch_size)?;
    let total = match train.max_steps {
        Some(steps) => steps,
        None => ((per_epoch as f64 * train.epochs) as u64).max(1),
    };
    Ok((per_epoch, total))
}

/// What the sampler needs to know of the tasks.
pub(crate) fn task_infos(datasets: &[TaskDataset]) -> Result<Vec<TaskInfo>, TrainError> {
    let info = |dataset: &TaskDataset| {
        let split = crate::evaluate::find_split(dataset, TRAIN)?;
        if let Some(example) = split.iter().find(|example| example.label.is_none()) {
            return Err(TrainError::Mismatch(format!(
                "task `{}`: example {} of the training split has no label",
                dataset.spec.name, example.id
            )));
        }
        Ok(TaskInfo {
            name: dataset.spec.name.clone(),
            train_size: split.len(),
            num_outputs: dataset.spec.kind.num_alternatives(),
            regression: dataset.spec.kind.is_regression(),
        })
    };
    datasets.iter().map(info).collect()
}
