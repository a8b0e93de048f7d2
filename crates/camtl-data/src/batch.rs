//! Packed batches: sequences of several tasks laid end to end, without a single padding token.
//!
//! A batch is a flat list of tokens with the starts of its sequences in [`PackedBatch::cu_seqlens`]. An example is one
//! sequence, or several for a multiple choice; [`PackedBatch::cu_examples`] says which. Examples are sorted by task, so
//! the work of one task is contiguous and its reductions have a fixed order. Every example carries a loss weight that
//! comes from the *whole* batch: the loss of a step is `Σ_i loss_weights[i] * loss_i`, and a batch that is split into
//! micro-batches accumulates exactly the same loss and gradient.
//!
//! ```
//! use camtl_data::{BatchItem, EncodedExample, LossReduction, PackedBatch};
//!
//! let ids = [2, 7, 8, 3];
//! let types = [0; 4];
//! let item = |task, id, length: usize| BatchItem {
//!     task,
//!     example: EncodedExample {
//!         id, input_ids: &ids[..length], token_type_ids: &types[..length], label: None, extra: &[], sequences: 1,
//!     },
//! };
//! let batch = PackedBatch::pack(&[item(1, 10, 4), item(0, 20, 3), item(1, 11, 2)], LossReduction::MeanOfTaskMeans);
//!
//! assert_eq!(batch.tasks, [0, 1, 1]);
//! assert_eq!(batch.example_ids, [20, 10, 11]);
//! assert_eq!(batch.cu_seqlens, [0, 3, 7, 9]);
//! assert_eq!(batch.loss_weights, [0.5, 0.25, 0.25]);
//!
//! let parts = batch.split_by_tokens(6)?;
//! assert_eq!(parts.len(), 2);
//! assert_eq!(parts[1].loss_weights, [0.25, 0.25]);
//! # Ok::<(), camtl_data::BatchError>(())
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::encoded::EncodedExample;
use crate::reader::Label;

/// How the losses of a batch's examples become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LossReduction {
    /// Mean over the tasks present of each task's mean loss (the released code): `1 / (T n_t)`. A task with one
    /// example weighs as much as one with thirty-one.
    #[default]
    MeanOfTaskMeans,
    /// Sum over the tasks present of each task's mean loss (the paper's objective): `1 / n_t`.
    SumOfTaskMeans,
    /// Mean over the examples: `1 / B`.
    ExampleMean,
}

/// One example on its way into a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchItem<'a> {
    /// Index of its task.
    pub task: u32,
    /// The example.
    pub example: EncodedExample<'a>,
}

/// Examples of several tasks, packed: `N` tokens in `S` sequences of `E` examples. `S` and `E` are the same unless there
/// are multiple choices.
///
/// The fields are public so that a model can read them without copies; [`PackedBatch::pack`] is what keeps them
/// consistent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PackedBatch {
    /// Token ids `[N]`.
    pub input_ids: Vec<i64>,
    /// Segment of each token `[N]`, 0 or 1.
    pub token_type_ids: Vec<i64>,
    /// Position of each token within its sequence `[N]`, from 0.
    pub position_ids: Vec<i64>,
    /// First token of each sequence, and `N` at the end: `[S + 1]`.
    pub cu_seqlens: Vec<i64>,
    /// Tokens of the longest sequence.
    pub max_len: usize,
    /// Task of each sequence `[S]`, never decreasing.
    pub tasks: Vec<i64>,
    /// First sequence of each example, and `S` at the end: `[E + 1]`.
    pub cu_examples: Vec<i64>,
    /// Label of each example `[E]`.
    pub labels: Vec<Option<Label>>,
    /// Identity of each example within its split `[E]`.
    pub example_ids: Vec<u64>,
    /// Weight of each example's loss `[E]`, taken from the whole batch.
    pub loss_weights: Vec<f32>,
    /// What the examples' kinds add, end to end: see [`EncodedExample::extra`].
    pub extra: Vec<i64>,
    /// Where the values of each example begin in `extra`, and their number at the end: `[E + 1]`.
    pub cu_extra: Vec<i64>,
}

/// The examples of one task within a batch: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSegment {
    /// The task.
    pub task: i64,
    /// Its first example.
    pub start: usize,
    /// One past its last example.
    pub end: usize,
}

/// A batch that cannot be split as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// An example alone is over the budget. The budget is a promise about memory, so it is not broken silently.
    #[error(
        "example {example_id} of task {task} has {tokens} tokens, more than the budget of {max_tokens} per micro-batch; raise the budget to the maximum sequence length at least, and for a multiple choice to as many times of it as there are options"
    )]
    ExampleOverBudget {
        /// Task of the example.
        task: i64,
        /// Its identity within the split.
        example_id: u64,
        /// Its length.
        tokens: usize,
        /// The budget.
        max_tokens: usize,
    },
}

impl PackedBatch {
    /// Packs examples in a stable order by task: within a task they stay as given.
    ///
    /// No item gives an empty batch (`cu_seqlens = [0]`).
    #[must_use]
    pub fn pack(items: &[BatchItem<'_>], reduction: LossReduction) -> Self {
        let mut order: Vec<&BatchItem<'_>> = items.iter().collect();
        order.sort_by_key(|item| item.task);

        let mut per_task: BTreeMap<u32, usize> = BTreeMap::new();
        for item in items {
            *per_task.entry(item.task).or_default() += 1;
        }
        let weight = |task: u32| -> f32 {
            let in_task = per_task.get(&task).copied().unwrap_or(1) as f64;
            let weight = match reduction {
                LossReduction::MeanOfTaskMeans => 1.0 / (per_task.len() as f64 * in_task),
                LossReduction::SumOfTaskMeans => 1.0 / in_task,
                LossReduction::ExampleMean => 1.0 / items.len() as f64,
            };
            weight as f32
        };

        let tokens = items.iter().map(|item| item.example.len()).sum();
        let mut batch = Self::with_capacity(items.len(), tokens);
        for item in order {
            let example = &item.example;
            batch
                .input_ids
                .extend(example.input_ids.iter().map(|id| i64::from(*id)));
            batch
                .token_type_ids
                .extend(example.token_type_ids.iter().map(|id| i64::from(*id)));
            batch.push_example(i64::from(item.task), example, weight(item.task));
        }
        batch
    }

    fn with_capacity(examples: usize, tokens: usize) -> Self {
        let starts = || {
            let mut starts = Vec::with_capacity(examples + 1);
            starts.push(0);
            starts
        };
        Self {
            input_ids: Vec::with_capacity(tokens),
            token_type_ids: Vec::with_capacity(tokens),
            position_ids: Vec::with_capacity(tokens),
            cu_seqlens: starts(),
            max_len: 0,
            tasks: Vec::with_capacity(examples),
            cu_examples: starts(),
            labels: Vec::with_capacity(examples),
            example_ids: Vec::with_capacity(examples),
            loss_weights: Vec::with_capacity(examples),
            extra: Vec::new(),
            cu_extra: starts(),
        }
    }

    /// Ends an example whose token and segment ids have just been appended.
    fn push_example(&mut self, task: i64, example: &EncodedExample<'_>, weight: f32) {
        for length in example.sequence_lengths() {
            self.position_ids.extend(0..length as i64);
            self.cu_seqlens.push(self.position_ids.len() as i64);
            self.max_len = self.max_len.max(length);
            self.tasks.push(task);
        }
        self.cu_examples.push(self.tasks.len() as i64);
        self.labels.push(example.label);
        self.example_ids.push(example.id);
        self.loss_weights.push(weight);
        self.extra
            .extend(example.extra.iter().map(|value| i64::from(*value)));
        self.cu_extra.push(self.extra.len() as i64);
    }

    /// Number of sequences `S`.
    #[must_use]
    pub fn num_sequences(&self) -> usize {
        self.tasks.len()
    }

    /// Number of examples `E`.
    #[must_use]
    pub fn num_examples(&self) -> usize {
        self.labels.len()
    }

    /// Number of tokens `N`.
    #[must_use]
    pub fn num_tokens(&self) -> usize {
        self.input_ids.len()
    }

    /// Whether there is no example.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Task of each example `[E]`, never decreasing.
    #[must_use]
    pub fn example_tasks(&self) -> Vec<i64> {
        (0..self.num_examples())
            .map(|example| self.tasks[self.cu_examples[example] as usize])
            .collect()
    }

    /// The sequences of example `index`: a range of sequence numbers.
    ///
    /// # Panics
    /// When `index` is not below [`PackedBatch::num_examples`].
    #[must_use]
    pub fn sequences_of(&self, index: usize) -> std::ops::Range<usize> {
        self.cu_examples[index] as usize..self.cu_examples[index + 1] as usize
    }

    /// What the kind of example `index` adds: see [`EncodedExample::extra`].
    ///
    /// # Panics
    /// When `index` is not below [`PackedBatch::num_examples`].
    #[must_use]
    pub fn extra_of(&self, index: usize) -> &[i64] {
        &self.extra[self.cu_extra[index] as usize..self.cu_extra[index + 1] as usize]
    }

    /// The tokens of sequence `index`: a range into the token arrays.
    ///
    /// # Panics
    /// When `index` is not below [`PackedBatch::num_sequences`].
    #[must_use]
    pub fn tokens_of(&self, index: usize) -> std::ops::Range<usize> {
        self.cu_seqlens[index] as usize..self.cu_seqlens[index + 1] as usize
    }

    /// The tasks present, in order, each with its contiguous examples.
    #[must_use]
    pub fn task_segments(&self) -> Vec<TaskSegment> {
        let mut segments: Vec<TaskSegment> = Vec::new();
        for (index, task) in self.example_tasks().into_iter().enumerate() {
            match segments.last_mut() {
                Some(segment) if segment.task == task => segment.end = index + 1,
                _ => segments.push(TaskSegment {
                    task,
                    start: index,
                    end: index + 1,
                }),
            }
        }
        segments
    }

    /// Cuts the batch into micro-batches of at most `max_tokens` tokens, in order.
    ///
    /// Each takes as many examples as fit; an example is never cut. Loss weights are kept as they are, so the losses
    /// (and gradients) of the parts add up to those of the whole batch. An empty batch gives no part.
    ///
    /// # Errors
    /// When a single example is longer than `max_tokens`: the budget is there to bound memory, so it is not exceeded.
    pub fn split_by_tokens(&self, max_tokens: usize) -> Result<Vec<Self>, BatchError> {
        let mut parts = Vec::new();
        let mut start = 0;
        let mut tokens = 0;
        for index in 0..self.num_examples() {
            let sequences = self.sequences_of(index);
            let length =
                (self.cu_seqlens[sequences.end] - self.cu_seqlens[sequences.start]) as usize;
            if length > max_tokens {
                return Err(BatchError::ExampleOverBudget {
                    task: self.tasks[sequences.start],
                    example_id: self.example_ids[index],
                    tokens: length,
                    max_tokens,
                });
            }
            if index > start && tokens + length > max_tokens {
                parts.push(self.slice(start..index));
                start = index;
                tokens = 0;
            }
            tokens += length;
        }
        if start < self.num_examples() {
            parts.push(self.slice(start..self.num_examples()));
        }
        Ok(parts)
    }

    fn slice(&self, examples: std::ops::Range<usize>) -> Self {
        // Starts counted from the first that is kept.
        let rebased = |starts: &[i64], kept: std::ops::Range<usize>| -> Vec<i64> {
            let first = starts[kept.start];
            starts[kept.start..=kept.end]
                .iter()
                .map(|at| at - first)
                .collect()
        };
        let within = |starts: &[i64], kept: &std::ops::Range<usize>| {
            starts[kept.start] as usize..starts[kept.end] as usize
        };
        let sequences = within(&self.cu_examples, &examples);
        let tokens = within(&self.cu_seqlens, &sequences);
        let extra = within(&self.cu_extra, &examples);
        let cu_seqlens = rebased(&self.cu_seqlens, sequences.clone());
        Self {
            input_ids: self.input_ids[tokens.clone()].to_vec(),
            token_type_ids: self.token_type_ids[tokens.clone()].to_vec(),
            position_ids: self.position_ids[tokens].to_vec(),
            max_len: cu_seqlens
                .windows(2)
                .map(|pair| (pair[1] - pair[0]) as usize)
                .max()
                .unwrap_or(0),
            cu_seqlens,
            tasks: self.tasks[sequences].to_vec(),
            cu_examples: rebased(&self.cu_examples, examples.clone()),
            labels: self.labels[examples.clone()].to_vec(),
            example_ids: self.example_ids[examples.clone()].to_vec(),
            loss_weights: self.loss_weights[examples.clone()].to_vec(),
            extra: self.extra[extra].to_vec(),
            cu_extra: rebased(&self.cu_extra, examples),
        }
    }
}
