//! The folder of a run: what is written where, and whether an old run may be continued.
//!
//! ```text
//! run/
//!   config.toml          the resolved configuration, every key written out
//!   tasks/NAME.toml      the task files as they were when the run began
//!   events.jsonl         see camtl_trainer::Event
//!   tb/                  TensorBoard events
//!   checkpoints/step-N/  see camtl_trainer::checkpoint
//!   model.safetensors    the final model, with camtl.json beside it
//!   summary.json         see camtl_trainer::Summary
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use camtl_data::task::TaskSpec;
use camtl_model::Model;
use toml::Value;

use crate::checkpoint::CheckpointStore;
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::event::Event;
use crate::event_log::EventLog;
use crate::lock::RunLock;
use crate::state::TrainState;
use crate::summary::Summary;
use crate::tensorboard::ScalarWriter;

/// The resolved configuration.
pub const CONFIG_FILE: &str = "config.toml";
/// The events.
pub const EVENTS_FILE: &str = "events.jsonl";
/// The results.
pub const SUMMARY_FILE: &str = "summary.json";
/// The final weights.
pub const MODEL_FILE: &str = "model.safetensors";
const TENSORBOARD: &str = "tb";
const TASKS: &str = "tasks";

/// Keys that say where things are, not what they are; a resumed run may have others.
const LOCATIONS: [&str; 5] = [
    "data.dir",
    "data.cache_dir",
    "data.tasks",
    "model.encoder",
    "model.encoder_source",
];

/// An open run folder.
#[derive(Debug)]
pub(crate) struct RunFolder {
    pub(crate) dir: PathBuf,
    pub(crate) store: CheckpointStore,
    log: EventLog,
    scalars: ScalarWriter,
    _lock: RunLock,
}

impl RunFolder {
    /// Starts a run in `dir`, which must not hold one.
    pub(crate) fn create(
        dir: &Path,
        config: &RunConfig,
        specs: &[&TaskSpec],
    ) -> Result<Self, TrainError> {
        fs::create_dir_all(dir)
            .map_err(|source| TrainError::io("make the run folder", dir, source))?;
        let lock = RunLock::take(dir)?;
        for found in [
            CONFIG_FILE,
            SUMMARY_FILE,
            EVENTS_FILE,
            crate::checkpoint::CHECKPOINTS,
        ] {
            if dir.join(found).exists() {
                return Err(TrainError::RunExists {
                    run_dir: dir.to_path_buf(),
                    found,
                });
            }
        }
        write_config(dir, config, specs)?;
        Self::begin(dir, lock)
    }

    /// Opens the run in `dir` to continue it, after checking that it was started with `config` and
    /// these tasks. Returns the lock; [`RunFolder::begin`] or [`RunFolder::continue_at`] follow.
    pub(crate) fn lock_existing(
        dir: &Path,
        config: &RunConfig,
        specs: &[&TaskSpec],
    ) -> Result<RunLock, TrainError> {
        let path = dir.join(CONFIG_FILE);
        if !path.is_file() {
            return Err(TrainError::NoRun {
                run_dir: dir.to_path_buf(),
            });
        }
        let lock = RunLock::take(dir)?;
        let stored = RunConfig::from_file(&path, &[] as &[&str])?;
        let differences = differences(&stored, config, &stored.task_specs()?, specs)?;
        match differences.is_empty() {
            true => Ok(lock),
            false => Err(TrainError::ChangedConfig {
                run_dir: dir.to_path_buf(),
                differences,
            }),
        }
    }

    /// Empty events, no checkpoints.
    pub(crate) fn begin(dir: &Path, lock: RunLock) -> Result<Self, TrainError> {
        let store = CheckpointStore::new(dir);
        store.prepare()?;
        let events = dir.join(EVENTS_FILE);
        let log =
            EventLog::create(&events).map_err(|source| TrainError::io("write", &events, source))?;
        let tensorboard = dir.join(TENSORBOARD);
        remove_old_scalars(&tensorboard).map_err(|source| {
            TrainError::io("clear the TensorBoard folder", &tensorboard, source)
        })?;
        let scalars = ScalarWriter::create(&tensorboard, now()).map_err(|source| {
            TrainError::io("write TensorBoard events into", &tensorboard, source)
        })?;
        Ok(Self {
            dir: dir.to_path_buf(),
            store,
            log,
            scalars,
            _lock: lock,
        })
    }

    /// Events cut back to where they were when the checkpoint of `state` was taken.
    pub(crate) fn continue_at(
        dir: &Path,
        lock: RunLock,
        store: CheckpointStore,
        state: &TrainState,
    ) -> Result<Self, TrainError> {
        let events = dir.join(EVENTS_FILE);
        let log = EventLog::reopen(&events, state.events_bytes)
            .map_err(|source| TrainError::io("continue", &events, source))?;
        let tensorboard = dir.join(TENSORBOARD);
        // TensorBoard's file repeats events.jsonl; losing it must not stop a run.
        let reopened = state
            .tensorboard
            .as_ref()
            .map(|(name, position)| ScalarWriter::reopen(&tensorboard.join(name), *position));
        let scalars = match reopened {
            Some(Ok(writer)) => writer,
            other => {
                if let Some(Err(error)) = other {
                    tracing::warn!(%error, "the TensorBoard file cannot be continued; a new one is begun");
                }
                ScalarWriter::create(&tensorboard, now()).map_err(|source| {
                    TrainError::io("write TensorBoard events into", &tensorboard, source)
                })?
            }
        };
        Ok(Self {
            dir: dir.to_path_buf(),
            store,
            log,
            scalars,
            _lock: lock,
        })
    }

    /// Writes an event to `events.jsonl` and its numbers to TensorBoard.
    pub(crate) fn write(&mut self, event: &Event) -> Result<(), TrainError> {
        if !event.is_written() {
            return Ok(());
        }
        self.log
            .write(event)
            .map_err(|source| TrainError::io("write", &self.dir.join(EVENTS_FILE), source))?;
        let values = scalars_of(event);
        let values: Vec<(&str, f64)> = values
            .iter()
            .map(|(tag, value)| (tag.as_str(), *value))
            .collect();
        self.scalars
            .scalars(now(), event.step().unwrap_or(0), &values)
            .map_err(|source| TrainError::io("write", self.scalars.path(), source))
    }

    /// Flushes events to the disk and notes their lengths in `state`.
    pub(crate) fn note_positions(&self, state: &mut TrainState) -> Result<(), TrainError> {
        self.log
            .sync()
            .and_then(|()| self.scalars.sync())
            .map_err(|source| TrainError::io("flush the events in", &self.dir, source))?;
        state.events_bytes = self.log.position();
        let name = self
            .scalars
            .path()
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        state.tensorboard = name.map(|name| (name, self.scalars.position()));
        Ok(())
    }

    /// Puts the final model in place: `fill` writes its files into the folder it is given.
    pub(crate) fn export(
        &self,
        fill: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        export(&self.dir, fill)
    }

    /// Writes `summary.json`.
    pub(crate) fn write_summary(&self, summary: &Summary) -> Result<(), TrainError> {
        write_summary(&self.dir, summary)
    }
}

/// Writes a run that is over and was not trained in `dir` itself: task files, weights, summary and
/// last `config.toml`, which marks the folder as a run. `model`'s tasks are `specs`, in order.
///
/// # Errors
/// The folder holds a run already, or a file cannot be written.
pub fn write_finished(
    dir: &Path,
    config: &RunConfig,
    specs: &[&TaskSpec],
    model: &Model,
    summary: &Summary,
) -> Result<(), TrainError> {
    fs::create_dir_all(dir).map_err(|source| TrainError::io("make the run folder", dir, source))?;
    let _lock = RunLock::take(dir)?;
    if dir.join(CONFIG_FILE).exists() {
        return Err(TrainError::RunExists {
            run_dir: dir.to_path_buf(),
            found: CONFIG_FILE,
        });
    }
    export(dir, |staged| Ok(model.save(staged).map(|_| ())?))?;
    write_summary(dir, summary)?;
    write_config(dir, config, specs)
}

/// What came out of the run in `dir`; none if there is no run or it is not over.
///
/// # Errors
/// The run was made with another configuration or with other task files ([`TrainError::ChangedConfig`]), or
/// a file of it cannot be read.
pub fn finished_run(
    dir: &Path,
    config: &RunConfig,
    specs: &[&TaskSpec],
) -> Result<Option<Summary>, TrainError> {
    let path = dir.join(CONFIG_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let stored = RunConfig::from_file(&path, &[] as &[&str])?;
    let differences = differences(&stored, config, &stored.task_specs()?, specs)?;
    if !differences.is_empty() {
        return Err(TrainError::ChangedConfig {
            run_dir: dir.to_path_buf(),
            differences,
        });
    }
    let path = dir.join(SUMMARY_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TrainError::io("read", &path, source)),
    };
    let summary = serde_json::from_slice(&text)
        .map_err(|source| TrainError::io("read", &path, std::io::Error::other(source)))?;
    Ok(Some(summary))
}

fn export(
    dir: &Path,
    fill: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let fail = |source| TrainError::io("write the final model into", dir, source);
    let staged = camtl_files::StagedFolder::create(&dir.join("model")).map_err(fail)?;
    fill(staged.path())?;
    let mut names: Vec<_> = fs::read_dir(staged.path())
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
        .map_err(fail)?;
    // The weights come last: where they are, what describes them is too.
    names.sort_by_key(|name| (name == MODEL_FILE, name.clone()));
    for name in names {
        let source = staged.path().join(&name);
        fs::File::open(&source)
            .and_then(|file| file.sync_all())
            .map_err(fail)?;
        fs::rename(&source, dir.join(&name)).map_err(fail)?;
    }
    camtl_files::sync_folder(dir).map_err(fail)
}

fn write_summary(dir: &Path, summary: &Summary) -> Result<(), TrainError> {
    let path = dir.join(SUMMARY_FILE);
    let fail = |source| TrainError::io("write", &path, source);
    let mut text = serde_json::to_vec_pretty(summary).map_err(|error| fail(error.into()))?;
    text.push(b'\n');
    camtl_files::write(&path, &text).map_err(fail)
}

/// Removes event files of an attempt that never reached a checkpoint.
fn remove_old_scalars(folder: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("events.out.tfevents.") && name.ends_with(".camtl") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// Writes the task files and then `config.toml`, which marks the folder as a run.
fn write_config(dir: &Path, config: &RunConfig, specs: &[&TaskSpec]) -> Result<(), TrainError> {
    let folder = dir.join(TASKS);
    fs::create_dir_all(&folder).map_err(|source| TrainError::io("make", &folder, source))?;
    let mut config = config.clone();
    config.data.tasks.clear();
    for spec in specs {
        let name = PathBuf::from(TASKS).join(format!("{}.toml", spec.name));
        let path = dir.join(&name);
        let text = toml::to_string(spec).map_err(|error| {
            TrainError::Mismatch(format!(
                "task `{}` cannot be written as TOML: {error}",
                spec.name
            ))
        })?;
        camtl_files::write(&path, text.as_bytes())
            .map_err(|source| TrainError::io("write", &path, source))?;
        config.data.tasks.push(name);
    }
    let path = dir.join(CONFIG_FILE);
    let text = format!(
        "# The resolved configuration of this run (camtl {}).\n{}",
        env!("CARGO_PKG_VERSION"),
        config.to_toml()?
    );
    camtl_files::write(&path, text.as_bytes())
        .map_err(|source| TrainError::io("write", &path, source))
}

/// What differs between the configuration a run was started with and that it shall go on with.
fn differences(
    stored: &RunConfig,
    given: &RunConfig,
    stored_specs: &[TaskSpec],
    given_specs: &[&TaskSpec],
) -> Result<Vec<String>, TrainError> {
    let (old, new) = (flatten(stored)?, flatten(given)?);
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let show = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
    let mut lines = Vec::new();
    for key in keys {
        let (old, new) = (old.get(key), new.get(key));
        if old != new && !LOCATIONS.contains(&key.as_str()) {
            lines.push(format!(
                "{key}: the run has {}, now {}",
                show(old),
                show(new)
            ));
        }
    }
    let names = |specs: &mut dyn Iterator<Item = &TaskSpec>| {
        specs
            .map(|spec| spec.name.clone())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let old_names = names(&mut stored_specs.iter());
    let new_names = names(&mut given_specs.iter().copied());
    if old_names != new_names {
        lines.push(format!(
            "data.tasks: the run has {old_names}, now {new_names}"
        ));
    } else {
        for (old, new) in stored_specs.iter().zip(given_specs) {
            if &old != new {
                lines.push(format!(
                    "data.tasks: the task file of `{}` has changed since the run began",
                    old.name
                ));
            }
        }
    }
    Ok(lines)
}

/// Every key with its dotted name.
fn flatten(config: &RunConfig) -> Result<BTreeMap<String, Value>, TrainError> {
    fn visit(prefix: &str, value: Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    let path = if prefix.is_empty() {
                        key
                    } else {
                        format!("{prefix}.{key}")
                    };
                    visit(&path, value, into);
                }
            }
            other => {
                into.insert(prefix.to_owned(), other);
            }
        }
    }
    let value = Value::try_from(config).map_err(|error| {
        TrainError::Mismatch(format!("the configuration cannot be compared: {error}"))
    })?;
    let mut flat = BTreeMap::new();
    visit("", value, &mut flat);
    Ok(flat)
}

/// The numbers of an event, by TensorBoard tag.
fn scalars_of(event: &Event) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    let mut add = |tag: String, value: f64| values.push((tag, value));
    match event {
        Event::Step {
            epoch,
            learning_rate,
            loss,
            grad_norm,
            tasks,
            timing,
            ..
        } => {
            add("train/loss".to_owned(), *loss);
            add("train/learning_rate".to_owned(), *learning_rate);
            add("train/grad_norm".to_owned(), *grad_norm);
            add("train/epoch".to_owned(), *epoch);
            add(
                "throughput/examples_per_s".to_owned(),
                timing.examples_per_s,
            );
            add("throughput/tokens_per_s".to_owned(), timing.tokens_per_s);
            for (name, task) in tasks {
                add(format!("examples/{name}"), task.examples as f64);
                task.loss
                    .iter()
                    .for_each(|loss| add(format!("loss/{name}"), *loss));
                task.uncertainty
                    .iter()
                    .for_each(|value| add(format!("uncertainty/{name}"), *value));
            }
        }
        Event::Evaluated {
            tasks,
            losses,
            average,
            task_sigma,
            ..
        } => {
            add("eval/average".to_owned(), *average);
            add("eval/task_sigma".to_owned(), *task_sigma);
            for (name, metrics) in tasks {
                metrics
                    .iter()
                    .for_each(|(metric, value)| add(format!("eval/{name}/{metric}"), *value));
            }
            losses
                .iter()
                .for_each(|(name, loss)| add(format!("eval/{name}/loss"), *loss));
        }
        _ => {}
    }
    values
}
