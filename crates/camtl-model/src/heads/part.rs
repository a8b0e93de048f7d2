//! One task's examples of a batch, as its head gets them, and what the head says.

use std::ops::Range;

use camtl_ops::{Packing, upload};
use tch::Tensor;

use crate::config::TaskHead;
use crate::error::ModelError;
use crate::execution::invariance as tiles;
use crate::heads::{ExampleLayout, TaskLogits, score};

/// A head and the examples it is for.
pub(crate) struct Part<'a> {
    pub(crate) task: usize,
    pub(crate) head: &'a TaskHead,
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    /// Height of the tiles that products are computed in, in a batch-invariant pass.
    pub(crate) tile: Option<i64>,
    /// The examples' places in the batch; never none.
    pub(crate) members: &'a [usize],
    pub(crate) examples: &'a ExampleLayout,
    /// Layout of all tokens of the batch.
    pub(crate) packing: &'a Packing,
    /// Class of each member, `[n]`, if losses are asked for.
    pub(crate) classes: Option<Tensor>,
}

/// What a head says about its examples, in their order.
pub(crate) struct Scored {
    pub(crate) logits: TaskLogits,
    /// `[n]`
    pub(crate) loss: Option<Tensor>,
    /// `[n]`
    pub(crate) entropy: Tensor,
}

impl Part<'_> {
    pub(crate) fn with_loss(&self) -> bool {
        self.classes.is_some()
    }

    pub(crate) fn linear(&self, rows: &Tensor) -> Result<Tensor, ModelError> {
        tiles::linear(rows, &self.weight, Some(&self.bias), self.tile)
    }

    pub(crate) fn rows_of(&self, values: &Tensor, rows: &[i64]) -> Result<Tensor, ModelError> {
        let index = upload(rows, self.packing.device())?;
        Ok(values.f_index_select(0, &index)?)
    }

    /// Rows of the one sequence of `example` among all tokens.
    pub(crate) fn tokens_of(&self, example: usize) -> Range<i64> {
        let (sequence, _) = self.examples.sequences(example);
        let starts = self.packing.cu_seqlens();
        starts[sequence as usize]..starts[sequence as usize + 1]
    }

    pub(crate) fn logits(&self, logits: Tensor, counts: Vec<usize>) -> TaskLogits {
        TaskLogits {
            task: self.task,
            examples: self.members.to_vec(),
            counts,
            logits,
        }
    }

    /// One of several alternatives per example: `logits` are [n, alternatives].
    pub(crate) fn one_of(&self, logits: Tensor) -> Result<Scored, ModelError> {
        let log_p = score::log_probabilities(&logits)?;
        let loss = match &self.classes {
            Some(classes) => Some(score::cross_entropy(&log_p, classes)?),
            None => None,
        };
        Ok(Scored {
            entropy: score::entropy(&log_p)?,
            loss,
            logits: self.logits(logits, vec![1; self.members.len()]),
        })
    }

    /// An error about one example.
    pub(crate) fn problem(&self, example: usize, problem: String) -> ModelError {
        ModelError::Input(format!(
            "example {example} of the batch, task `{}`: {problem}",
            self.head.name
        ))
    }
}
