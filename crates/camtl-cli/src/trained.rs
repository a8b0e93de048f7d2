//! A trained run, opened for use: its configuration, tasks, model and tokenizer.
//!
//! `train` keeps a copy of the encoder's tokenizer in the run folder, so that a run can be moved or
//! used after its encoder is gone.

use std::path::{Path, PathBuf};

use camtl_data::encoded::TaskDataset;
use camtl_data::task::TaskSpec;
use camtl_data::tokenize::TextTokenizer;
use camtl_model::Model;
use camtl_trainer::run_folder::{CONFIG_FILE, MODEL_FILE, SUMMARY_FILE};
use camtl_trainer::setup::load_splits;
use camtl_trainer::{Precision, RunConfig, Summary, TrainError, resolve_device};

use crate::cli::{self, WeightsArgs};
use crate::failure::{Failure, OrFail};
use crate::output;

/// The folder of the tokenizer inside a run folder.
const TOKENIZER: &str = "tokenizer";
/// What may make up a tokenizer in a Hugging Face folder.
const TOKENIZER_FILES: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
];

/// A run whose weights are loaded.
pub(crate) struct TrainedRun {
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// Its resolved configuration.
    pub(crate) config: RunConfig,
    /// Its tasks, in the order of the model's heads.
    pub(crate) specs: Vec<TaskSpec>,
    /// The model, on the device of the configuration or of `--device`.
    pub(crate) model: Model,
    /// The tokenizer it was trained with.
    pub(crate) tokenizer: TextTokenizer,
    /// The folder of that tokenizer.
    pub(crate) tokenizer_dir: PathBuf,
}

impl TrainedRun {
    /// Opens the run in `dir` with its final weights, or those of a checkpoint.
    ///
    /// # Errors
    /// There is no run, it is not finished and no checkpoint was named, or its files cannot be used.
    pub(crate) fn open(dir: &Path, weights: &WeightsArgs) -> Result<Self, Failure> {
        let mut config = read_config(dir)?;
        if let Some(device) = weights.device {
            config.train.device = device.into();
        }
        let specs = config.task_specs()?;
        if let Some(threads) = config.train.threads {
            camtl_ops::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX))?;
        }
        camtl_ops::set_fused(config.ops.fused);
        camtl_ops::set_deterministic(config.ops.deterministic)?;
        let device = resolve_device(config.train.device).map_err(|error| {
            Failure::usage(error).hint("--device cpu computes on this machine's processor")
        })?;
        if weights.device == Some(cli::Device::Cpu) {
            // What a run on a GPU asks of one; a processor, asked for by name, computes in float32.
            config.train.precision = Precision::Float32;
            config.train.cuda_graphs = false;
        }
        let folder = weights_folder(dir, weights)?;
        let model = Model::load(&folder, device)
            .or_work(|| format!("cannot load the weights in {}", folder.display()))?;
        check_heads(dir, &specs, &model)?;
        let tokenizer_dir = tokenizer_dir(dir, &config)?;
        let tokenizer = TextTokenizer::from_dir(&tokenizer_dir)?;
        Ok(Self {
            dir: dir.to_path_buf(),
            config,
            specs,
            model,
            tokenizer,
            tokenizer_dir,
        })
    }

    /// The place of the task called `name`.
    ///
    /// # Errors
    /// The run has no such task; the nearest is named.
    pub(crate) fn task_index(&self, name: &str) -> Result<usize, Failure> {
        self.specs
            .iter()
            .position(|spec| spec.name == name)
            .ok_or_else(|| {
                let known = || self.specs.iter().map(|spec| spec.name.as_str());
                let hint = match camtl_files::nearest(name, known()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "use one of these names".to_owned(),
                };
                Failure::usage(anyhow::anyhow!(
                    "{} has no task `{name}`; it has {}",
                    self.dir.display(),
                    known().collect::<Vec<_>>().join(", ")
                ))
                .hint(hint)
            })
    }

    /// The places of the named tasks, or of all if none is named.
    ///
    /// # Errors
    /// As [`TrainedRun::task_index`].
    pub(crate) fn task_indices(&self, names: &[String]) -> Result<Vec<usize>, Failure> {
        if names.is_empty() {
            return Ok((0..self.specs.len()).collect());
        }
        let mut indices = names
            .iter()
            .map(|name| self.task_index(name))
            .collect::<Result<Vec<_>, _>>()?;
        indices.sort_unstable();
        indices.dedup();
        Ok(indices)
    }

    /// Reads and encodes some splits of a task.
    ///
    /// # Errors
    /// A file is missing or malformed.
    pub(crate) fn load(
        &self,
        task: usize,
        splits: &[String],
        data_dir: Option<&Path>,
    ) -> Result<TaskDataset, Failure> {
        let mut config = self.config.clone();
        if let Some(dir) = data_dir {
            config.data.dir = dir.to_path_buf();
        }
        load_splits(&config, &self.specs[task], &self.tokenizer, splits).map_err(|error| {
            Failure::work(error).hint(
                "the data folder is data.dir of the run's config.toml; --data-dir names another",
            )
        })
    }
}

/// The configuration of the run in `dir`.
///
/// # Errors
/// There is none: bad usage. It cannot be read: the work failed.
pub(crate) fn read_config(dir: &Path) -> Result<RunConfig, Failure> {
    let path = dir.join(CONFIG_FILE);
    if !path.is_file() {
        let what = if dir.is_dir() {
            "holds no run"
        } else {
            "does not exist"
        };
        return Err(Failure::usage(anyhow::anyhow!(
            "{} {what} (no {CONFIG_FILE})",
            dir.display()
        ))
        .hint(format!(
            "a run folder is what `{} train CONFIG --run DIR` makes",
            output::command()
        )));
    }
    RunConfig::from_file(&path, &[] as &[&str]).map_err(Failure::work)
}

/// The summary of the run in `dir`; none if it has not finished or its summary cannot be read.
pub(crate) fn read_summary(dir: &Path) -> Option<Summary> {
    let text = std::fs::read(dir.join(SUMMARY_FILE)).ok()?;
    match serde_json::from_slice(&text) {
        Ok(summary) => Some(summary),
        Err(error) => {
            tracing::warn!(
                "{SUMMARY_FILE} of {} cannot be read: {error}",
                dir.display()
            );
            None
        }
    }
}

/// Which failures of the trainer are the user's to mend in what was asked for.
pub(crate) fn classify(error: TrainError) -> Failure {
    match error {
        TrainError::Config(_)
        | TrainError::Device { .. }
        | TrainError::RunExists { .. }
        | TrainError::NoRun { .. }
        | TrainError::Finished { .. }
        | TrainError::ChangedConfig { .. }
        | TrainError::Locked { .. } => Failure::usage(error),
        other => Failure::work(other),
    }
}

/// Copies the tokenizer of `encoder` into the run folder, unless it is there already.
///
/// # Errors
/// A file cannot be copied.
pub(crate) fn copy_tokenizer(encoder: &Path, run_dir: &Path) -> Result<(), Failure> {
    let destination = run_dir.join(TOKENIZER);
    if destination.is_dir() {
        return Ok(());
    }
    let context = || {
        format!(
            "cannot copy the tokenizer of {} into {}",
            encoder.display(),
            run_dir.display()
        )
    };
    let staged = camtl_files::StagedFolder::create(&destination).or_work(context)?;
    for name in TOKENIZER_FILES {
        let source = encoder.join(name);
        if source.is_file() {
            std::fs::copy(&source, staged.path().join(name)).or_work(context)?;
        }
    }
    staged.commit().or_work(context)
}

/// The run's own copy of the tokenizer, or the encoder's.
fn tokenizer_dir(dir: &Path, config: &RunConfig) -> Result<PathBuf, Failure> {
    let own = dir.join(TOKENIZER);
    match own.is_dir() {
        true => Ok(own),
        false => Ok(config.encoder_dir()?),
    }
}

/// Where the weights lie: the checkpoint asked for, relative to the current folder or to the run, or
/// the run itself.
fn weights_folder(dir: &Path, weights: &WeightsArgs) -> Result<PathBuf, Failure> {
    if let Some(checkpoint) = &weights.checkpoint {
        let inside = dir.join(checkpoint);
        return [checkpoint.clone(), inside]
            .into_iter()
            .find(|path| path.join(MODEL_FILE).is_file())
            .ok_or_else(|| {
                Failure::usage(anyhow::anyhow!(
                    "{} holds no {MODEL_FILE}",
                    checkpoint.display()
                ))
                .hint(format!(
                    "checkpoints of the run are in {}",
                    dir.join("checkpoints").display()
                ))
            });
    }
    if dir.join(MODEL_FILE).is_file() {
        return Ok(dir.to_path_buf());
    }
    let steps = camtl_trainer::checkpoint::CheckpointStore::new(dir)
        .steps()
        .unwrap_or_default();
    let use_checkpoint = match steps.last() {
        Some(step) => {
            format!(", or use its last checkpoint with --checkpoint checkpoints/step-{step}")
        }
        None => String::new(),
    };
    Err(Failure::usage(anyhow::anyhow!(
        "{} is not finished: it has no {MODEL_FILE} yet",
        dir.display()
    ))
    .hint(format!(
        "finish it with `{} train --resume --run {}`{use_checkpoint}",
        output::command(),
        dir.display()
    )))
}

/// The model's heads must be the configuration's tasks, in the same order.
fn check_heads(dir: &Path, specs: &[TaskSpec], model: &Model) -> Result<(), Failure> {
    let heads: Vec<(&str, usize)> = model
        .config()
        .tasks
        .iter()
        .map(|head| (head.name.as_str(), head.num_outputs))
        .collect();
    let tasks: Vec<(&str, usize)> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), spec.kind.num_outputs()))
        .collect();
    if heads == tasks {
        return Ok(());
    }
    Err(Failure::work(anyhow::anyhow!(
        "the weights do not belong to {}: they have the heads {heads:?}, its {CONFIG_FILE} the tasks {tasks:?}",
        dir.display()
    )))
}
