//! Mixed-task batches from the shuffled concatenation of all data, each example once per epoch: what the released code
//! does without its sampling flag.

use serde_json::Value;

use super::loader::Loader;
use super::state::{Progress, Setup};
use super::{DataUsage, ExampleRef, Sampler, SamplerError, Scorer, Selection};
use crate::random::Stream;

pub(super) struct ShuffledMix {
    /// With one loader, over the concatenation.
    progress: Progress,
    /// First position of every task in the concatenation.
    starts: Vec<u32>,
}

impl ShuffledMix {
    pub(super) fn new(setup: Setup) -> Self {
        let mut starts = Vec::with_capacity(setup.tasks.len());
        let mut total = 0u32;
        for task in &setup.tasks {
            starts.push(total);
            total += task.train_size as u32;
        }
        let stream = Stream::new(setup.seed, "sampler/mix");
        let name = "the loader of the mixed data".to_owned();
        let loader = Loader::new(name, total, setup.batch_size, stream);
        Self {
            progress: Progress::new(setup, vec![loader]),
            starts,
        }
    }
}

impl Sampler for ShuffledMix {
    fn name(&self) -> &'static str {
        self.progress.setup.config.name()
    }

    fn next_batch(&mut self, _scorer: &mut dyn Scorer) -> Result<Selection, SamplerError> {
        let starts = &self.starts;
        let examples: Vec<ExampleRef> = self.progress.loaders[0]
            .next_batch()
            .iter()
            .map(|position| {
                let task = starts.partition_point(|start| start <= position) - 1;
                ExampleRef {
                    task: task as u32,
                    index: position - starts[task],
                }
            })
            .collect();
        Ok(self.progress.unscored(examples))
    }

    fn uses_scorer(&self) -> bool {
        false
    }

    fn steps_per_epoch(&self) -> u64 {
        self.progress.setup.steps_per_epoch
    }

    fn usage(&self) -> &DataUsage {
        &self.progress.usage
    }

    fn state(&self) -> Value {
        self.progress.state(None)
    }

    fn restore(&mut self, state: &Value) -> Result<(), SamplerError> {
        self.progress.restore(state, None)
    }
}
