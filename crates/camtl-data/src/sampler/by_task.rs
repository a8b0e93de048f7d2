//! Samplers that draw a task per step and train on one batch of it.

use super::state::{Progress, Setup};
use super::{ExampleRef, Sampler, SamplerError, Scorer, Selection};

/// The probability law of the tasks.
pub(super) trait TaskLaw: Send + 'static {
    /// Weight of a task of `size` examples at `step` (from 0); probabilities are weights over their sum.
    fn weight(&self, size: usize, step: u64) -> f64;
}

/// Draws a task by a [`TaskLaw`], then the next batch of that task's loader.
pub(super) struct ByTask<L> {
    progress: Progress,
    law: L,
}

impl<L: TaskLaw> ByTask<L> {
    pub(super) fn boxed(setup: Setup, law: L) -> Box<dyn Sampler> {
        let batches = vec![setup.batch_size; setup.tasks.len()];
        Box::new(Self {
            law,
            progress: Progress::by_task(setup, &batches, "sampler/task"),
        })
    }

    fn draw_task(&mut self) -> usize {
        let step = self.progress.usage.steps();
        let weights: Vec<f64> = self
            .progress
            .setup
            .tasks
            .iter()
            .map(|task| self.law.weight(task.train_size, step))
            .collect();
        draw_weighted(&weights, self.progress.draws.uniform())
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
    fn next_batch(&mut self, _scorer: &mut dyn Scorer) -> Result<Selection, SamplerError> {
        let task = self.draw_task();
        let examples: Vec<ExampleRef> = self.progress.loaders[task]
            .next_batch()
            .iter()
            .map(|index| ExampleRef {
                task: task as u32,
                index: *index,
            })
            .collect();
        Ok(self.progress.unscored(examples))
    }

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}
