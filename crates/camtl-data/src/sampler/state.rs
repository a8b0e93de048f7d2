//! What every sampler shares: what it was built from, how far it has come, and the form in which it is saved.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::loader::{Loader, LoaderState};
use super::{DataUsage, ExampleRef, SamplerError, Selection, TaskInfo};
use crate::random::{Stream, StreamState};

/// What a sampler was built from.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// The `kind`, as spelled in the configuration.
    pub(super) kind: &'static str,
    /// The configuration as it is saved.
    pub(super) config: Value,
    /// Brings a saved configuration into the form of `config`.
    pub(super) in_todays_form: fn(&Value) -> Result<Value, serde_json::Error>,
    pub(super) tasks: Vec<TaskInfo>,
    pub(super) batch_size: usize,
    pub(super) steps_per_epoch: u64,
    pub(super) total_epochs: f64,
    pub(super) seed: u64,
}

/// How far a sampler has come.
#[derive(Clone, Debug)]
pub struct Progress {
    pub(super) setup: Setup,
    pub(super) loaders: Vec<Loader>,
    /// The stream that draws tasks, or whole batches where there is no uncertainty.
    pub(super) draws: Stream,
    /// Whether there is anything to draw beside the loaders' orders.
    has_draws: bool,
    pub(super) usage: DataUsage,
}

impl Progress {
    /// The beginning; `draws` names the stream of draws, if there are any.
    pub(super) fn new(setup: Setup, loaders: Vec<Loader>, draws: Option<&str>) -> Self {
        Self {
            usage: DataUsage::new(&setup.tasks),
            draws: Stream::new(setup.seed, draws.unwrap_or_default()),
            has_draws: draws.is_some(),
            loaders,
            setup,
        }
    }

    /// The beginning, with one loader per task, each on its own stream, with batches of these sizes.
    pub(super) fn by_task(setup: Setup, batches: &[usize], draws: &str) -> Self {
        let tasks = setup.tasks.iter().zip(batches).enumerate();
        let loaders = tasks.map(|(position, (task, batch_size))| {
            let name = format!("loader {position} (`{}`)", task.name);
            let stream = Stream::new(setup.seed, &format!("sampler/loader/{}", task.name));
            Loader::new(name, task.train_size as u32, *batch_size, stream)
        });
        let loaders = loaders.collect();
        Self::new(setup, loaders, Some(draws))
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

    /// The state, with what the sampler has of its own.
    pub(super) fn save(&self, own: Value) -> Value {
        let saved = SavedState {
            version: STATE_VERSION,
            config: self.setup.config.clone(),
            tasks: self.setup.tasks.clone(),
            batch_size: self.setup.batch_size,
            loaders: self.loaders.iter().map(Loader::state).collect(),
            draws: self.has_draws.then(|| self.draws.state()),
            usage: self.usage.clone(),
            own,
        };
        // Strings, integers and finite floats under string keys: there is nothing that JSON could refuse.
        serde_json::to_value(saved).unwrap_or(Value::Null)
    }

    /// The progress of a state that belongs to this sampler, and what the sampler has of its own.
    pub(super) fn read(&self, state: &Value) -> Result<(Self, Value), SamplerError> {
        let saved = self.saved(state)?;
        if saved.loaders.len() != self.loaders.len() {
            return Err(error(format!(
                "it has {} loaders, this sampler has {}",
                saved.loaders.len(),
                self.loaders.len()
            )));
        }
        let pairs = self.loaders.iter().zip(&saved.loaders);
        let loaders = pairs
            .map(|(loader, state)| loader.at(state))
            .collect::<Result<_, _>>()?;
        let progress = Self {
            setup: self.setup.clone(),
            loaders,
            draws: self.draws_at(saved.draws.as_ref())?,
            has_draws: self.has_draws,
            usage: saved.usage,
        };
        Ok((progress, saved.own))
    }

    /// The saved stream of draws, checked to be the same stream.
    fn draws_at(&self, saved: Option<&StreamState>) -> Result<Stream, SamplerError> {
        if !self.has_draws {
            return Ok(self.draws.clone());
        }
        let Some(saved) = saved else {
            return Err(error(
                "it has no stream of draws; resume from an earlier checkpoint".to_owned(),
            ));
        };
        if saved.key != self.draws.state().key {
            return Err(error(
                "it was saved with another seed; resume with the seed of the run".to_owned(),
            ));
        }
        Stream::from_state(saved).map_err(|cause| error(cause.to_string()))
    }

    /// Reads a state and checks that it belongs to this setup.
    fn saved(&self, state: &Value) -> Result<SavedState, SamplerError> {
        if state.is_null() {
            return Err(error(
                "it is empty; resume from an earlier checkpoint".to_owned(),
            ));
        }
        let damaged =
            |cause: serde_json::Error| error(format!("{cause}; resume from an earlier checkpoint"));
        let saved = SavedState::deserialize(state).map_err(damaged)?;
        let setup = &self.setup;
        if saved.version != STATE_VERSION {
            return Err(error(format!(
                "it has version {}, this program reads version {STATE_VERSION}",
                saved.version
            )));
        }
        if (setup.in_todays_form)(&saved.config).map_err(damaged)? != setup.config {
            return Err(error(format!(
                "it was saved by the sampler {}, this one is {}; resume with the configuration of the run",
                saved.config, setup.config
            )));
        }
        if saved.batch_size != setup.batch_size {
            return Err(error(format!(
                "it was saved with batch_size {}, this run has {}",
                saved.batch_size, setup.batch_size
            )));
        }
        if saved.tasks.len() != setup.tasks.len() {
            return Err(error(format!(
                "it has {} tasks, this run has {}",
                saved.tasks.len(),
                setup.tasks.len()
            )));
        }
        for (position, (then, now)) in saved.tasks.iter().zip(&setup.tasks).enumerate() {
            if then != now {
                return Err(error(format!(
                    "task {position} was {then:?} and is now {now:?}; tasks, their order and their training data must be those of the run"
                )));
            }
        }
        if !saved.usage.same_shape(&self.usage) {
            return Err(error(
                "its data usage is of other tasks or sizes; resume from an earlier checkpoint"
                    .to_owned(),
            ));
        }
        Ok(saved)
    }
}

/// The saved form of every sampler. What it was built from is in it, so that a state cannot continue a different run
/// unnoticed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedState {
    version: u32,
    config: Value,
    tasks: Vec<TaskInfo>,
    batch_size: usize,
    loaders: Vec<LoaderState>,
    /// Absent where nothing is drawn beside the loaders' orders.
    draws: Option<StreamState>,
    usage: DataUsage,
    /// What the kind of sampler has beside this.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    own: Value,
}

const STATE_VERSION: u32 = 1;

/// A state that does not fit.
pub(super) fn error(reason: String) -> SamplerError {
    SamplerError::State { reason }
}
