//! Samplers that draw a task per step and train on one batch of it.

use serde_json::Value;

use super::loader::Loader;
use super::state::Setup;
use super::{DataUsage, ExampleRef, Sampler, SamplerError, Scorer, Selection};
use crate::random::Stream;

/// The probability law of the tasks.
pub(super) trait TaskLaw: Send {
    /// Weight of a task of `size` examples at `step` (from 0); probabilities are weights over their sum.
    fn weight(&self, size: usize, step: u64) -> f64;
}

/// Draws a task by a [`TaskLaw`], then the next batch of that task's loader.
pub(super) struct ByTask<L> {
    setup: Setup,
    law: L,
    loaders: Vec<Loader>,
    draws: Stream,
    usage: DataUsage,
}

impl<L: TaskLaw> ByTask<L> {
    pub(super) fn new(setup: Setup, law: L) -> Self {
        Self {
            loaders: setup.task_loaders(),
            draws: Stream::new(setup.seed, "sampler/task"),
            usage: DataUsage::new(&setup.tasks),
            law,
            setup,
        }
    }

    fn draw_task(&mut self) -> usize {
        let step = self.usage.steps();
        let weights: Vec<f64> = self
            .setup
            .tasks
            .iter()
            .map(|task| self.law.weight(task.train_size, step))
            .collect();
        draw_weighted(&weights, self.draws.uniform())
    }
}

/// The position whose share of the weights contains `point` in [0, 1).
fn draw_weighted(weights: &[f64], point: f64) -> usize {
    let target = point * weights.iter().sum::<f64>();
    let mut reached = 0.0;
    for (position, weight) in weights.iter().enumerate() {
        reached += weight;
        if target < reached {
            return position;
        }
    }
    weights.len() - 1
}

impl<L: TaskLaw> Sampler for ByTask<L> {
    fn name(&self) -> &'static str {
        self.setup.config.name()
    }

    fn next_batch(&mut self, _scorer: &mut dyn Scorer) -> Result<Selection, SamplerError> {
        let task = self.draw_task();
        let examples: Vec<ExampleRef> = self.loaders[task]
            .next_batch()
            .iter()
            .map(|index| ExampleRef {
                task: task as u32,
                index: *index,
            })
            .collect();
        self.usage.record(&examples, 0);
        Ok(Selection {
            examples,
            scores: None,
            candidates: 0,
            mean_uncertainty: vec![None; self.setup.tasks.len()],
        })
    }

    fn uses_scorer(&self) -> bool {
        false
    }

    fn steps_per_epoch(&self) -> u64 {
        self.setup.steps_per_epoch
    }

    fn usage(&self) -> &DataUsage {
        &self.usage
    }

    fn state(&self) -> Value {
        self.setup
            .save(&self.loaders, Some(&self.draws), &self.usage)
    }

    fn restore(&mut self, state: &Value) -> Result<(), SamplerError> {
        let saved = self.setup.read(state, &self.usage)?;
        let loaders = self.setup.loaders_at(&self.loaders, &saved.loaders)?;
        self.draws = self.setup.draws_at(&self.draws, saved.draws.as_ref())?;
        self.loaders = loaders;
        self.usage = saved.usage;
        Ok(())
    }
}
