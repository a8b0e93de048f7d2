//! What every sampler shares: what it was built from, how far it has come, and the form in which it is saved.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::loader::{Loader, LoaderState};
use super::{DataUsage, ExampleRef, SamplerConfig, SamplerError, Selection, TaskInfo};
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

/// How far a sampler has come.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) setup: Setup,
    pub(super) loaders: Vec<Loader>,
    pub(super) usage: DataUsage,
}

impl Progress {
    /// The beginning.
    pub(super) fn new(setup: Setup, loaders: Vec<Loader>) -> Self {
        Self {
            usage: DataUsage::new(&setup.tasks),
            loaders,
            setup,
        }
    }

    /// The beginning, with one loader per task, each on its own stream.
    pub(super) fn new_by_task(setup: Setup) -> Self {
        let batches = vec![setup.batch_size; setup.tasks.len()];
        Self::new_with_batches(setup, &batches)
    }

    /// The same with batches of these sizes, by task.
    pub(super) fn new_with_batches(setup: Setup, batches: &[usize]) -> Self {
        let loaders = setup.task_loaders(batches);
        Self::new(setup, loaders)
    }

    /// Counts examples that were chosen without asking a scorer.
    pub(super) fn unscored(&mut self, examples: Vec<ExampleRef>) -> Selection {
        self.usage.record(&examples, 0);
        Selection {
            examples,
            scores: None,
            candidates: 0,
            mean_uncertainty: vec![None; self.setup.tasks.len()],
        }
    }

    /// The state, with that of the stream that the sampler draws from.
    pub(super) fn state(&self, draws: Option<&Stream>) -> Value {
        self.setup.save(&self.loaders, draws, &self.usage)
    }

    /// Continues from a state; nothing is changed if it does not belong here.
    pub(super) fn restore(
        &mut self,
        state: &Value,
        draws: Option<&mut Stream>,
    ) -> Result<(), SamplerError> {
        let saved = self.setup.read(state, &self.usage)?;
        let loaders = loaders_at(&self.loaders, &saved.loaders)?;
        if let Some(draws) = draws {
            *draws = draws_at(draws, saved.draws.as_ref())?;
        }
        self.loaders = loaders;
        self.usage = saved.usage;
        Ok(())
    }
}

/// The saved form of every sampler. What it was built from is in it, so that a state cannot continue a different run
/// unnoticed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedState {
    version: u32,
    config: SamplerConfig,
    tasks: Vec<TaskInfo>,
    batch_size: usize,
    loaders: Vec<LoaderState>,
    /// The stream that draws tasks (or whole batches where there is no uncertainty); absent where there is none.
    draws: Option<StreamState>,
    usage: DataUsage,
}

const STATE_VERSION: u32 = 1;

impl Setup {
    fn task_loaders(&self, batches: &[usize]) -> Vec<Loader> {
        self.tasks
            .iter()
            .zip(batches)
            .enumerate()
            .map(|(position, (task, batch_size))| {
                let name = format!("loader {position} (`{}`)", task.name);
                let stream = Stream::new(self.seed, &format!("sampler/loader/{}", task.name));
                Loader::new(name, task.train_size as u32, *batch_size, stream)
            })
            .collect()
    }

    fn save(&self, loaders: &[Loader], draws: Option<&Stream>, usage: &DataUsage) -> Value {
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
    fn read(&self, state: &Value, usage: &DataUsage) -> Result<SavedState, SamplerError> {
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
}

/// The saved loaders, each made from the one in the same place.
fn loaders_at(loaders: &[Loader], saved: &[LoaderState]) -> Result<Vec<Loader>, SamplerError> {
    if saved.len() != loaders.len() {
        return Err(SamplerError::State {
            reason: format!(
                "it has {} loaders, this sampler has {}",
                saved.len(),
                loaders.len()
            ),
        });
    }
    let pairs = loaders.iter().zip(saved);
    pairs.map(|(loader, state)| loader.at(state)).collect()
}

/// The saved stream of draws, checked to be the same stream.
fn draws_at(draws: &Stream, saved: Option<&StreamState>) -> Result<Stream, SamplerError> {
    let Some(saved) = saved else {
        return Err(SamplerError::State {
            reason: "it has no stream of draws; resume from an earlier checkpoint".to_owned(),
        });
    };
    if saved.key != draws.state().key {
        return Err(SamplerError::State {
            reason: "it was saved with another seed; resume with the seed of the run".to_owned(),
        });
    }
    Stream::from_state(saved).map_err(|cause| SamplerError::State {
        reason: cause.to_string(),
    })
}
