//! Mixed-task batches from the shuffled concatenation of all data, each example once per epoch: what the released code
//! does without its sampling flag.

use serde_json::Value;

use super::loader::Loader;
use super::state::Setup;
use super::{DataUsage, ExampleRef, Sampler, SamplerError, Scorer, Selection};
use crate::random::Stream;

pub(super) struct ShuffledMix {
    setup: Setup,
    loaders: [Loader; 1],
    /// First position of every task in the concatenation.
    starts: Vec<u32>,
    usage: DataUsage,
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
        Self {
            loaders: [Loader::new(total, setup.batch_size, stream)],
            starts,
            usage: DataUsage::new(&setup.tasks),
            setup,
        }
    }
}

impl Sampler for ShuffledMix {
    fn name(&self) -> &'static str {
        self.setup.config.name()
    }

    fn next_batch(&mut self, _scorer: &mut dyn Scorer) -> Result<Selection, SamplerError> {
        let starts = &self.starts;
        let examples: Vec<ExampleRef> = self.loaders[0]
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
        self.setup.save(&self.loaders, None, &self.usage)
    }

    fn restore(&mut self, state: &Value) -> Result<(), SamplerError> {
        let saved = self.setup.read(state, &self.usage)?;
        let [loader_state] = saved.loaders.as_slice() else {
            return Err(SamplerError::State {
                reason: format!("it has {} loaders, this sampler has 1", saved.loaders.len()),
            });
        };
        self.loaders = [self.loaders[0].at(loader_state, "the loader of the mixed data")?];
        self.usage = saved.usage;
        Ok(())
    }
}
