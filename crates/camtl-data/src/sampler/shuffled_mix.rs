//! Mixed-task batches from the shuffled concatenation of all data, each example once per epoch: what the released code
//! does without its sampling flag.

use serde::{Deserialize, Serialize};

use super::kind::SamplerKind;
use super::loader::Loader;
use super::state::{Progress, Setup};
use super::{ExampleRef, Sampler, SamplerError, Scorer, Selection};
use crate::random::Stream;

/// Batches of mixed tasks from the shuffled concatenation of all data, each example once per epoch; no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShuffledMix {}

impl SamplerKind for ShuffledMix {
    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        Ok(Box::new(Mix::new(setup)))
    }
}

struct Mix {
    /// With one loader, over the concatenation.
    progress: Progress,
    /// First position of every task in the concatenation.
    starts: Vec<u32>,
}

impl Mix {
    fn new(setup: Setup) -> Self {
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
            // Nothing but the order is drawn.
            progress: Progress::new(setup, vec![loader], None),
            starts,
        }
    }
}

impl Sampler for Mix {
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

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}
