//! How uncertain the model is about candidates: one forward pass without gradient.
//!
//! All candidates of all tasks are scored together, in packed batches of bounded size with
//! sequences of like length, against one table of modulations.

use std::cell::RefCell;
use std::time::Instant;

use camtl_data::batch::{BatchItem, LossReduction, PackedBatch};
use camtl_data::encoded::{EncodedSplit, TaskDataset};
use camtl_data::random::{Stream, derive_seed};
use camtl_data::sampler::{BoxError, ExampleRef, Scorer};
use camtl_model::{Bucket, Model, StepGraphs};
use camtl_ops::DropoutStream;
use tch::no_grad;

use crate::answer::to_vec;
use crate::error::TrainError;
use crate::forward::{batches_by_length, plain_batch, run};

/// Name of the training split.
pub(crate) const TRAIN: &str = "train";

/// The training split of a task; present by [`crate::Trainer::new`]'s checks.
pub(crate) fn train_split(
    datasets: &[TaskDataset],
    task: u32,
) -> Result<&EncodedSplit, TrainError> {
    datasets
        .get(task as usize)
        .and_then(|dataset| dataset.splits.get(TRAIN))
        .ok_or_else(|| TrainError::Mismatch(format!("task number {task} has no training split")))
}

/// Scores candidates with the model as it is.
pub(crate) struct ModelScorer<'a> {
    pub(crate) model: &'a Model,
    /// Captured passes, if there are any.
    pub(crate) graphs: Option<&'a RefCell<StepGraphs>>,
    pub(crate) datasets: &'a [TaskDataset],
    /// Most tokens in one pass.
    pub(crate) batch_tokens: usize,
    /// Seed of the dropout masks of this step's scoring; none scores without dropout.
    pub(crate) dropout_seed: Option<u64>,
    /// Passes and seed of the spread of regressions; none leaves their uncertainty at 0.
    pub(crate) regression: Option<(usize, u64)>,
    /// Seconds spent so far.
    pub(crate) seconds: f64,
}

impl Scorer for ModelScorer<'_> {
    fn score(&mut self, candidates: &[ExampleRef]) -> Result<Vec<f32>, BoxError> {
        let started = Instant::now();
        let scores = no_grad(|| self.entropies(candidates));
        self.seconds += started.elapsed().as_secs_f64();
        Ok(scores?)
    }
}

impl ModelScorer<'_> {
    fn entropies(&self, candidates: &[ExampleRef]) -> Result<Vec<f32>, TrainError> {
        let all: Vec<usize> = (0..candidates.len()).collect();
        let mut scores = vec![0.0f32; candidates.len()];
        self.pass(
            candidates,
            &all,
            self.dropout_seed,
            &mut |places, batch, model, dropout| {
                let entropy = self.entropies_of(batch, model, dropout)?;
                for (place, value) in places.iter().zip(entropy) {
                    scores[*place] = value;
                }
                Ok(())
            },
        )?;
        if let Some((passes, seed)) = self.regression {
            self.spreads(candidates, passes, seed, &mut scores)?;
        }
        Ok(scores)
    }

    fn entropies_of(
        &self,
        batch: &PackedBatch,
        model: &Model,
        dropout: &mut Option<DropoutStream>,
    ) -> Result<Vec<f32>, TrainError> {
        if let Some(graphs) = self.graphs
            && let Some(plain) = plain_batch(batch, model, self.batch_tokens)
        {
            return Ok(graphs
                .borrow_mut()
                .uncertainties(model, &plain, dropout.take())?);
        }
        to_vec(&run(model, batch, None, false, dropout.as_mut())?.entropy)
    }

    /// Twice the standard deviation of a regression's prediction over dropout passes, as a share of
    /// the task's range: 0 when dropout does not move it, 1 when it jumps from end to end.
    fn spreads(
        &self,
        candidates: &[ExampleRef],
        passes: usize,
        seed: u64,
        scores: &mut [f32],
    ) -> Result<(), TrainError> {
        let range = |candidate: &ExampleRef| {
            let [min, max] = self
                .datasets
                .get(candidate.task as usize)?
                .spec
                .kind
                .range()?;
            Some(f64::from(max) - f64::from(min))
        };
        let places: Vec<usize> = (0..candidates.len())
            .filter(|&at| range(&candidates[at]).is_some())
            .collect();
        let mut sums = vec![(0.0f64, 0.0f64); candidates.len()];
        for pass in 0..passes as u64 {
            let seed = Some(derive_seed(seed, "pass", pass));
            self.pass(
                candidates,
                &places,
                seed,
                &mut |places, batch, model, dropout| {
                    let heads = run(model, batch, None, false, dropout.as_mut())?;
                    let mut values = Vec::with_capacity(places.len());
                    for said in &heads.logits {
                        values.extend(to_vec(&said.logits)?);
                    }
                    for (place, value) in places.iter().zip(values) {
                        let value = f64::from(value);
                        sums[*place].0 += value;
                        sums[*place].1 += value * value;
                    }
                    Ok(())
                },
            )?;
        }
        let count = passes as f64;
        for place in places {
            let (sum, squares) = sums[place];
            let variance = (squares / count - (sum / count).powi(2)).max(0.0);
            let range = range(&candidates[place]).unwrap_or(1.0);
            let spread = if range > 0.0 {
                2.0 * variance.sqrt() / range
            } else {
                0.0
            };
            // `min` would turn a NaN into 1 and hide a broken model from the sampler.
            scores[place] = if spread > 1.0 { 1.0 } else { spread as f32 };
        }
        Ok(())
    }

    /// Calls `visit` with batches of the candidates at `places`; it is told the place of each
    /// example of the batch.
    fn pass(
        &self,
        candidates: &[ExampleRef],
        places: &[usize],
        dropout_seed: Option<u64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), TrainError> {
        let mut examples = Vec::with_capacity(places.len());
        for &place in places {
            let ExampleRef { task, index } = candidates[place];
            examples.push((
                place,
                task,
                train_split(self.datasets, task)?.get(index as usize),
            ));
        }
        let lengths: Vec<usize> = examples
            .iter()
            .map(|(_, _, example)| example.len())
            .collect();
        // What fills a bucket up counts as well.
        let filler = match self.graphs {
            Some(_) => 2 * Bucket::TOKENS as usize,
            None => 0,
        };
        let budget = self.batch_tokens.saturating_sub(filler).max(1);
        for (number, mut members) in batches_by_length(&lengths, budget).into_iter().enumerate() {
            // The order that `pack` gives its examples.
            members.sort_by_key(|&member| examples[member].1);
            let items: Vec<BatchItem<'_>> = members
                .iter()
                .map(|&member| BatchItem {
                    task: examples[member].1,
                    example: examples[member].2,
                })
                .collect();
            let batch = PackedBatch::pack(&items, LossReduction::ExampleMean);
            let places: Vec<usize> = members.iter().map(|&member| examples[member].0).collect();
            let mut dropout = dropout_seed
                .map(|seed| dropout_stream(self.model, derive_seed(seed, "batch", number as u64)));
            visit(&places, &batch, self.model, &mut dropout)?;
        }
        Ok(())
    }
}

/// Scores that say nothing: every candidate has the same chance to be chosen.
pub(crate) struct RandomScorer<'a> {
    pub(crate) datasets: &'a [TaskDataset],
    pub(crate) stream: Stream,
}

impl Scorer for RandomScorer<'_> {
    fn score(&mut self, candidates: &[ExampleRef]) -> Result<Vec<f32>, BoxError> {
        let mut scores = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let kind = self
                .datasets
                .get(candidate.task as usize)
                .map(|dataset| &dataset.spec.kind);
            // A sampler divides an entropy by ln C; this makes it uniform in [0, 1) for every task.
            let largest = match kind {
                Some(kind) if !kind.is_regression() => (kind.num_alternatives() as f64).ln(),
                _ => 1.0,
            };
            scores.push((self.stream.uniform() * largest) as f32);
        }
        Ok(scores)
    }
}

type Visit<'a> = dyn FnMut(&[usize], &PackedBatch, &Model, &mut Option<DropoutStream>) -> Result<(), TrainError>
    + 'a;

/// A stream of masks for one forward pass. The probabilities come from the encoder's configuration;
/// that of the stream only says whether there is dropout at all.
pub(crate) fn dropout_stream(model: &Model, seed: u64) -> DropoutStream {
    let encoder = &model.config().encoder;
    DropoutStream::new(
        encoder
            .hidden_dropout_prob
            .max(encoder.attention_probs_dropout_prob),
        seed,
    )
}
