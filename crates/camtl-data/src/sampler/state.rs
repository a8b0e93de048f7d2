//! What every sampler shares: what it was built from, and the form in which it is saved.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::loader::{Loader, LoaderState};
use super::{DataUsage, SamplerConfig, SamplerError, TaskInfo};
use crate::random::{Stream, StreamState};

/// What a sampler was built from.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) config: SamplerConfig,
    pub(super) tasks: Vec<TaskInfo>,
    pub(super) batch_size: usize,
    pub(super) steps_per_epoch: u64,
    pub(super) seed: u64,
}

/// The saved form of every sampler. What it was built from is in it, so that a state cannot continue a different run
/// unnoticed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedState {
    version: u32,
    config: SamplerConfig,
    tasks: Vec<TaskInfo>,
    batch_size: usize,
    pub(super) loaders: Vec<LoaderState>,
    /// The stream that draws tasks (or whole batches where there is no uncertainty); absent where there is none.
    pub(super) draws: Option<StreamState>,
    pub(super) usage: DataUsage,
}

const STATE_VERSION: u32 = 1;

impl Setup {
    /// One loader per task, each on its own stream.
    pub(super) fn task_loaders(&self) -> Vec<Loader> {
        self.tasks
            .iter()
            .map(|task| {
                let stream = Stream::new(self.seed, &format!("sampler/loader/{}", task.name));
                Loader::new(task.train_size as u32, self.batch_size, stream)
            })
            .collect()
    }

    pub(super) fn save(
        &self,
        loaders: &[Loader],
        draws: Option<&Stream>,
        usage: &DataUsage,
    ) -> Value {
        let saved = SavedState {
            version: STATE_VERSION,
            config: self.config.clone(),
            tasks: self.tasks.clone(),
            batch_size: self.batch_size,
            loaders: loaders.iter().map(Loader::state).collect(),
            draws: draws.map(Stream::state),
            usage: usage.clone(),
        };
        // Strings, integers and finite floats under string keys: there is nothing that JSON could refuse.
        serde_json::to_value(saved).unwrap_or(Value::Null)
    }

    /// Reads a state and checks that it belongs to this setup.
    pub(super) fn read(
        &self,
        state: &Value,
        usage: &DataUsage,
    ) -> Result<SavedState, SamplerError> {
        let error = |reason: String| SamplerError::State { reason };
        if state.is_null() {
            return Err(error(
                "it is empty; resume from an earlier checkpoint".to_owned(),
            ));
        }
        let saved = SavedState::deserialize(state)
            .map_err(|cause| error(format!("{cause}; resume from an earlier checkpoint")))?;
        if saved.version != STATE_VERSION {
            return Err(error(format!(
                "it has version {}, this program reads version {STATE_VERSION}",
                saved.version
            )));
        }
        if saved.config != self.config {
            return Err(error(format!(
                "it was saved by the sampler {:?}, this one is {:?}; resume with the configuration of the run",
                saved.config, self.config
            )));
        }
        if saved.batch_size != self.batch_size {
            return Err(error(format!(
                "it was saved with batch_size {}, this run has {}",
                saved.batch_size, self.batch_size
            )));
        }
        if saved.tasks.len() != self.tasks.len() {
            return Err(error(format!(
                "it has {} tasks, this run has {}",
                saved.tasks.len(),
                self.tasks.len()
            )));
        }
        for (position, (then, now)) in saved.tasks.iter().zip(&self.tasks).enumerate() {
            if then != now {
                return Err(error(format!(
                    "task {position} was {then:?} and is now {now:?}; tasks, their order and their training data must be those of the run"
                )));
            }
        }
        if !saved.usage.same_shape(usage) {
            return Err(error(
                "its data usage is of other tasks or sizes; resume from an earlier checkpoint"
                    .to_owned(),
            ));
        }
        Ok(saved)
    }

    /// The saved loaders, each made from the one in the same place.
    pub(super) fn loaders_at(
        &self,
        loaders: &[Loader],
        saved: &[LoaderState],
    ) -> Result<Vec<Loader>, SamplerError> {
        if saved.len() != loaders.len() {
            return Err(SamplerError::State {
                reason: format!(
                    "it has {} loaders, this sampler has {}",
                    saved.len(),
                    loaders.len()
                ),
            });
        }
        loaders
            .iter()
            .zip(saved)
            .enumerate()
            .map(|(position, (loader, state))| {
                let task = self
                    .tasks
                    .get(position)
                    .map_or("", |task| task.name.as_str());
                loader.at(state, &format!("loader {position} (`{task}`)"))
            })
            .collect()
    }

    /// The saved stream of draws, checked to be the same stream.
    pub(super) fn draws_at(
        &self,
        draws: &Stream,
        saved: Option<&StreamState>,
    ) -> Result<Stream, SamplerError> {
        let Some(saved) = saved else {
            return Err(SamplerError::State {
                reason: "it has no stream of draws; resume from an earlier checkpoint".to_owned(),
            });
        };
        if saved.key != draws.state().key {
            return Err(SamplerError::State {
                reason: "it was saved with another seed; resume with the seed of the run"
                    .to_owned(),
            });
        }
        Stream::from_state(saved).map_err(|cause| SamplerError::State {
            reason: cause.to_string(),
        })
    }
}
