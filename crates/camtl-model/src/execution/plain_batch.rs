//! A batch on the host, and filled up to its bucket.

use camtl_ops::IGNORED_CLASS;

use crate::execution::bucket::Bucket;

/// A batch of classifications and regressions on the host, one sequence per example, sorted by task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlainBatch {
    /// Token ids `[N]`.
    pub input_ids: Vec<i64>,
    /// Segment of each token `[N]`.
    pub token_type_ids: Vec<i64>,
    /// Position of each token within its sequence `[N]`, from 0.
    pub position_ids: Vec<i64>,
    /// First token of each sequence, and `N` at the end: `[B + 1]`.
    pub cu_seqlens: Vec<i64>,
    /// Task of each sequence `[B]`.
    pub tasks: Vec<i64>,
    /// Class of each sequence `[B]`; [`IGNORED_CLASS`] for none. Not read for regressions.
    pub classes: Vec<i64>,
    /// Score of each sequence `[B]`; NaN for none. Not read for classifications.
    pub scores: Vec<f32>,
    /// Weight of each sequence's loss `[B]`.
    pub weights: Vec<f32>,
}

impl PlainBatch {
    pub(crate) fn longest(&self) -> i64 {
        self.cu_seqlens
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or(0)
    }

    /// The bucket of this batch; none if there is none for it.
    pub fn bucket(&self, max_length: usize) -> Option<Bucket> {
        Bucket::holding(
            self.input_ids.len() as i64,
            self.tasks.len() as i64,
            self.longest(),
            max_length as i64,
        )
    }

    /// The batch and the fillers of its bucket, which belong to the last task so that the order stays.
    pub(crate) fn filled(&self, bucket: &Bucket) -> Self {
        let mut batch = self.clone();
        let task = self.tasks.last().copied().unwrap_or(0);
        for length in bucket.filler(self.input_ids.len() as i64, self.tasks.len() as i64) {
            let to = batch.input_ids.len() + length as usize;
            batch.input_ids.resize(to, 0);
            batch.token_type_ids.resize(to, 0);
            batch.position_ids.extend(0..length);
            batch.cu_seqlens.push(to as i64);
            batch.tasks.push(task);
            batch.classes.push(IGNORED_CLASS);
            batch.scores.push(f32::NAN);
            batch.weights.push(0.0);
        }
        batch
    }
}
