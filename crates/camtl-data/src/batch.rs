//! Packed batches: sequences of several tasks laid end to end, without a single padding token.
//!
//! A batch is a flat list of tokens with the starts of its sequences in [`PackedBatch::cu_seqlens`]. Sequences are
//! sorted by task, so the work of one task is contiguous and its reductions have a fixed order. Every sequence
//! carries a loss weight that comes from the *whole* batch: the loss of a step is `Σ_i loss_weights[i] * loss_i`, and
//! a batch that is split into micro-batches accumulates exactly the same loss and gradient.
//!
//! ```
//! use camtl_data::{BatchItem, EncodedExample, LossReduction, PackedBatch};
//!
//! let ids = [2, 7, 8, 3];
//! let types = [0; 4];
//! let item = |task, id, length: usize| BatchItem {
//!     task,
//!     example: EncodedExample { id, input_ids: &ids[..length], token_type_ids: &types[..length], label: None },
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

/// How the losses of a batch's sequences become one number.
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

/// One sequence on its way into a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchItem<'a> {
    /// Index of its task.
    pub task: u32,
    /// The sequence.
    pub example: EncodedExample<'a>,
}

/// Sequences of several tasks, packed. `N` tokens in `B` sequences.
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
    /// First token of each sequence, and `N` at the end: `[B + 1]`.
    pub cu_seqlens: Vec<i64>,
    /// Tokens of the longest sequence.
    pub max_len: usize,
    /// Task of each sequence `[B]`, never decreasing.
    pub tasks: Vec<i64>,
    /// Label of each sequence `[B]`.
    pub labels: Vec<Option<Label>>,
    /// Identity of each sequence within its split `[B]`.
    pub example_ids: Vec<u64>,
    /// Weight of each sequence's loss `[B]`, taken from the whole batch.
    pub loss_weights: Vec<f32>,
}

/// The sequences of one task within a batch: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSegment {
    /// The task.
    pub task: i64,
    /// Its first sequence.
    pub start: usize,
    /// One past its last sequence.
    pub end: usize,
}

/// A batch that cannot be split as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A sequence alone is over the budget. The budget is a promise about memory, so it is not broken silently.
    #[error(
        "example {example_id} of task {task} has {tokens} tokens, more than the budget of {max_tokens} per micro-batch; raise the budget to the maximum sequence length at least"
    )]
    SequenceOverBudget {
        /// Task of the sequence.
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
    /// Packs sequences in a stable order by task: within a task they stay as given.
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
            batch.push_sequence(
                example.len(),
                i64::from(item.task),
                example.label,
                example.id,
                weight(item.task),
            );
        }
        batch
    }

    fn with_capacity(sequences: usize, tokens: usize) -> Self {
        let mut cu_seqlens = Vec::with_capacity(sequences + 1);
        cu_seqlens.push(0);
        Self {
            input_ids: Vec::with_capacity(tokens),
            token_type_ids: Vec::with_capacity(tokens),
            position_ids: Vec::with_capacity(tokens),
            cu_seqlens,
            max_len: 0,
            tasks: Vec::with_capacity(sequences),
            labels: Vec::with_capacity(sequences),
            example_ids: Vec::with_capacity(sequences),
            loss_weights: Vec::with_capacity(sequences),
        }
    }

    /// Ends a sequence whose token and segment ids have just been appended.
    fn push_sequence(
        &mut self,
        length: usize,
        task: i64,
        label: Option<Label>,
        id: u64,
        weight: f32,
    ) {
        self.position_ids.extend(0..length as i64);
        self.cu_seqlens.push(self.input_ids.len() as i64);
        self.max_len = self.max_len.max(length);
        self.tasks.push(task);
        self.labels.push(label);
        self.example_ids.push(id);
        self.loss_weights.push(weight);
    }

    /// Number of sequences `B`.
    #[must_use]
    pub fn num_sequences(&self) -> usize {
        self.tasks.len()
    }

    /// Number of tokens `N`.
    #[must_use]
    pub fn num_tokens(&self) -> usize {
        self.input_ids.len()
    }

    /// Whether there is no sequence.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The tokens of sequence `index`: a range into the token arrays.
    ///
    /// # Panics
    /// When `index` is not below [`PackedBatch::num_sequences`].
    #[must_use]
    pub fn tokens_of(&self, index: usize) -> std::ops::Range<usize> {
        self.cu_seqlens[index] as usize..self.cu_seqlens[index + 1] as usize
    }

    /// The tasks present, in order, each with its contiguous sequences.
    #[must_use]
    pub fn task_segments(&self) -> Vec<TaskSegment> {
        let mut segments: Vec<TaskSegment> = Vec::new();
        for (index, &task) in self.tasks.iter().enumerate() {
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
    /// Each takes as many sequences as fit. Loss weights are kept as they are, so the losses (and gradients) of the
    /// parts add up to those of the whole batch. An empty batch gives no part.
    ///
    /// # Errors
    /// When a single sequence is longer than `max_tokens`: the budget is there to bound memory, so it is not exceeded.
    pub fn split_by_tokens(&self, max_tokens: usize) -> Result<Vec<Self>, BatchError> {
        let mut parts = Vec::new();
        let mut start = 0;
        let mut tokens = 0;
        for index in 0..self.num_sequences() {
            let length = self.tokens_of(index).len();
            if length > max_tokens {
                return Err(BatchError::SequenceOverBudget {
                    task: self.tasks[index],
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
        if start < self.num_sequences() {
            parts.push(self.slice(start..self.num_sequences()));
        }
        Ok(parts)
    }

    fn slice(&self, sequences: std::ops::Range<usize>) -> Self {
        let first = self.cu_seqlens[sequences.start];
        let tokens = first as usize..self.cu_seqlens[sequences.end] as usize;
        let cu_seqlens: Vec<i64> = self.cu_seqlens[sequences.start..=sequences.end]
            .iter()
            .map(|at| at - first)
            .collect();
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
            tasks: self.tasks[sequences.clone()].to_vec(),
            labels: self.labels[sequences.clone()].to_vec(),
            example_ids: self.example_ids[sequences.clone()].to_vec(),
            loss_weights: self.loss_weights[sequences].to_vec(),
        }
    }
}
