//! The tasks in turn, some steps each.

use serde::{Deserialize, Serialize};

use crate::sampler::kind::SamplerKind;
use crate::sampler::state::{Progress, Setup};
use crate::sampler::{ExampleRef, Sampler, SamplerError, Scorer, Selection};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InTurn {
    pub(super) steps: u64,
}

impl SamplerKind for InTurn {
    fn check(&self) -> Result<(), SamplerError> {
        match self.steps {
            0 => Err(SamplerError::Option {
                option: "steps",
                value: "0".to_owned(),
                expected: "at least 1",
            }),
            _ => Ok(()),
        }
    }

    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        let batches = vec![setup.batch_size; setup.tasks.len()];
        let progress = Progress::by_task(setup, &batches, "sampler/in-turn");
        Ok(Box::new(Turns(self.steps, progress)))
    }
}

struct Turns(u64, Progress);

impl Sampler for Turns {
    fn next_batch(&mut self, _: &mut dyn Scorer) -> Result<Selection, SamplerError> {
        let task = self.1.usage.steps() / self.0 % self.1.loaders.len() as u64;
        let batch = self.1.loaders[task as usize].next_batch().iter();
        let task = task as u32;
        let examples = batch
            .map(|index| ExampleRef {
                task,
                index: *index,
            })
            .collect();
        Ok(self.1.unscored(examples))
    }

    fn progress(&self) -> &Progress {
        &self.1
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.1
    }
}
