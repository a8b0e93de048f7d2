//! One more task for a trained model.
//!
//! A new task needs one row of the task embedding and one head (docs/method.md); everything else is
//! shared. [`Model::for_new_task`] makes a model of the new task alone on the shared parameters, which
//! is trained like any other; [`Model::joined`] puts its task behind those of the original. While the
//! shared parameters are frozen ([`freeze_shared`]) they stay those of the original, and the original
//! tasks' outputs keep every bit.
//!
//! ```
//! use camtl_model::adapt::{TaskStart, freeze_shared};
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, Preset, TaskHead, Variant};
//! use tch::Device;
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 48, 2, 4, 96, 32),
//!     method: MethodConfig::new(Preset::Recommended, Variant::Base),
//!     tasks: vec![TaskHead::classification("rte", 2), TaskHead::classification("mnli", 3)],
//!     max_length: 16,
//!     freeze: Default::default(),
//! };
//! let trained = Model::new(&config, Device::Cpu, 1).unwrap();
//! let new = TaskHead::classification("scitail", 2);
//! let start = TaskStart::Task("mnli".into());
//! let freeze = freeze_shared(&config).unwrap();
//! let alone = trained.for_new_task(&new, &start, freeze, 7).unwrap();
//! assert_eq!(alone.parameters().num_trained(), 48 + 2 * 48 + 2); // a row and a head
//!
//! let joined = trained.joined(&alone).unwrap();
//! assert_eq!(joined.config().tasks[2].name, "scitail");
//! ```

use std::collections::BTreeSet;

use tch::{Tensor, no_grad};

use camtl_files::did_you_mean;

use crate::config::{Freeze, ModelConfig, TaskHead};
use crate::error::ModelError;
use crate::model::Model;
use crate::parameters::Module;
use crate::parameters::init;
use crate::parameters::spec::ParameterSpec;
use crate::structure::parameter_specs;

/// Where the new task's row of the task embedding starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStart {
    /// At the row of this task.
    Task(String),
    /// At the mean of all rows.
    Mean,
    /// Where it would have started had the task been there from the beginning.
    Random,
}

/// The rule that freezes every parameter that tasks share: all but task embeddings and heads.
///
/// # Errors
/// The configuration is not valid.
pub fn freeze_shared(config: &ModelConfig) -> Result<Freeze, ModelError> {
    let specs = parameter_specs(config)?;
    let shared = specs.iter().filter(|spec| is_shared(spec));
    // Everything below the second part of a name is one pattern.
    let patterns: BTreeSet<String> = shared
        .map(|spec| {
            let mut parts = spec.name.splitn(3, '.');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(first), Some(second), Some(_)) => format!("{first}.{second}.*"),
                _ => spec.name.clone(),
            }
        })
        .collect();
    Ok(Freeze::Patterns(patterns.into_iter().collect()))
}

fn is_shared(spec: &ParameterSpec) -> bool {
    !spec.per_task && spec.module != Module::Heads
}

impl Model {
    /// A model of the task `head` alone that shares this model's other parameters (as copies), with a
    /// new head and a row of the task embedding that begins at `start`. `freeze` says what training
    /// leaves alone. A plain encoder has no task embedding; `start` then has no effect.
    ///
    /// # Errors
    /// The model has a task of this name already, or none of the name in `start` (the nearest is
    /// named); the rule does not fit the model; or libtorch refuses.
    pub fn for_new_task(
        &self,
        head: &TaskHead,
        start: &TaskStart,
        freeze: Freeze,
        seed: u64,
    ) -> Result<Model, ModelError> {
        let tasks = &self.config().tasks;
        if tasks.iter().any(|task| task.name == head.name) {
            return Err(ModelError::config(
                "tasks",
                format!(
                    "the model has a task `{}` already; give the new one another name",
                    head.name
                ),
            ));
        }
        let config = ModelConfig {
            tasks: vec![head.clone()],
            freeze,
            ..self.config().clone()
        };
        let model = Model::build(&config, self.device(), seed, |_| false)?;
        let new = tasks.len();
        for spec in parameter_specs(&config)? {
            let value = if spec.module == Module::Heads {
                // The name it has once joined, so that it starts unlike the first task's head.
                let name = spec.name.replacen(".0.", &format!(".{new}."), 1);
                let values = init::values(seed, &name, spec.numel() as usize, spec.init);
                Tensor::f_from_slice(&values)?.f_view(&spec.shape[..])?
            } else if spec.per_task {
                let numel = spec.numel() as usize;
                match start {
                    TaskStart::Random => {
                        let all = init::values(seed, &spec.name, (new + 1) * numel, spec.init);
                        Tensor::f_from_slice(&all[new * numel..])?.f_view(&spec.shape[..])?
                    }
                    TaskStart::Task(name) => {
                        let rows = self.parameters().tensor(&spec.name)?;
                        rows.f_narrow(0, self.task_at(name)?, 1)?
                    }
                    TaskStart::Mean => {
                        let rows = self.parameters().tensor(&spec.name)?;
                        rows.f_mean_dim(&[0i64][..], true, tch::Kind::Float)?
                    }
                }
            } else {
                self.parameters().tensor(&spec.name)?
            };
            model.parameters().set(&spec.name, &value)?;
        }
        // Without a task embedding nothing has looked at the name yet.
        if let TaskStart::Task(name) = start {
            self.task_at(name)?;
        }
        Ok(model)
    }

    /// This model's tasks and, behind them, the one of `adapted`, which [`Model::for_new_task`] made.
    /// Shared parameters are those of `adapted`; rows and heads are each task's own.
    ///
    /// # Errors
    /// `adapted` has several tasks or another shape, or libtorch refuses.
    pub fn joined(&self, adapted: &Model) -> Result<Model, ModelError> {
        let [head] = adapted.config().tasks.as_slice() else {
            return Err(ModelError::Input(format!(
                "a model with {} tasks cannot be joined; expected one",
                adapted.config().tasks.len()
            )));
        };
        let mut config = self.config().clone();
        config.tasks.push(head.clone());
        let last = config.tasks.len() - 1;
        let model = Model::build(&config, self.device(), 0, |_| false)?;
        for entry in model.parameters().entries() {
            let name = entry.name.as_str();
            let value = if entry.module == Module::Heads {
                match name.strip_prefix(&format!("decoders.{last}.")) {
                    Some(rest) => adapted.parameters().tensor(&format!("decoders.0.{rest}"))?,
                    None => self.parameters().tensor(name)?,
                }
            } else if entry.spec.per_task {
                let rows = [self, adapted].map(|model| model.parameters().tensor(name));
                let [known, new] = rows;
                no_grad(|| Tensor::f_cat(&[known?, new?], 0).map_err(ModelError::from))?
            } else {
                adapted.parameters().tensor(name)?
            };
            model.parameters().set(name, &value)?;
        }
        Ok(model)
    }

    /// Whether every parameter that tasks share has the same bits in `other`.
    ///
    /// # Errors
    /// `other` has another shape, or libtorch refuses.
    pub fn shares_parameters_with(&self, other: &Model) -> Result<bool, ModelError> {
        for entry in self.parameters().entries() {
            if is_shared(&entry.spec) {
                let here = self.parameters().tensor(&entry.name)?;
                let there = other.parameters().tensor(&entry.name)?;
                if !here.f_equal(&there)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn task_at(&self, name: &str) -> Result<i64, ModelError> {
        let tasks = &self.config().tasks;
        match tasks.iter().position(|task| task.name == name) {
            Some(at) => Ok(at as i64),
            None => {
                let names = || tasks.iter().map(|task| task.name.as_str());
                Err(ModelError::config(
                    "start of the new task",
                    format!(
                        "the model has no task `{name}`; it has {}{}",
                        names().collect::<Vec<_>>().join(", "),
                        did_you_mean(name, names())
                    ),
                ))
            }
        }
    }
}
