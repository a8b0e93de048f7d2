//! One update: select, score, accumulate gradients, check, clip, step.

use std::time::Instant;

use camtl_data::batch::{BatchItem, PackedBatch};
use camtl_data::random::{Stream, derive_seed};
use camtl_data::sampler::{ExampleRef, RegressionUncertainty, SamplerError, Selection};
use camtl_model::{Gradients, StepModulation};
use camtl_ops::{grad_norm, upload};
use tch::{Kind, Tensor};

use super::Trainer;
use crate::answer::to_vec;
use crate::config::{RegressionUnit, ScoringDropout};
use crate::error::{Offenders, TrainError};
use crate::forward::{plain_batch, run};
use crate::scorer::{ModelScorer, RandomScorer, TRAIN, dropout_stream, train_split};
use crate::state::Update;

/// What a forward and backward pass over a batch gave, beside the gradient in the model.
struct Step {
    /// Of each example, in the batch's order.
    losses: Vec<f32>,
    /// How uncertain the model was about each, if the sampler asked and the pass can tell.
    uncertainties: Option<Vec<f32>>,
    /// The gradient's norm.
    norm: f64,
    /// The same, where the optimiser takes it.
    norm_on_device: Tensor,
}

impl Trainer {
    /// Makes the next update. After an error no parameter has changed.
    pub(crate) fn update(&mut self) -> Result<Update, TrainError> {
        let started = Instant::now();
        let index = self.state.step;
        let (selection, scoring_s) = self.select(index)?;
        let batch = self.pack(&selection.examples)?;
        let Step {
            losses,
            uncertainties,
            norm: norm_value,
            norm_on_device: norm,
        } = self.gradients(&batch, index)?;
        self.require_finite(&batch, &losses, "the loss is")?;
        if !norm_value.is_finite() {
            return Err(self.not_finite(
                "the gradient is",
                self.gradient_offenders(&selection.examples)?,
            ));
        }
        let learning_rate = self.schedule.learning_rate(index);
        self.optimizer.update(&self.model, learning_rate, &norm)?;
        self.tell_sampler(&selection.examples, uncertainties.as_deref());

        let loss = losses
            .iter()
            .zip(&batch.loss_weights)
            .map(|(loss, weight)| f64::from(*loss) * f64::from(*weight));
        let mut tasks: Vec<(String, u64, f64, Option<f64>)> = self
            .datasets
            .iter()
            .zip(&selection.mean_uncertainty)
            .map(|(dataset, uncertainty)| {
                (
                    dataset.spec.name.clone(),
                    0,
                    0.0,
                    uncertainty.map(f64::from),
                )
            })
            .collect();
        for segment in batch.task_segments() {
            let entry = &mut tasks[segment.task as usize];
            entry.1 = (segment.end - segment.start) as u64;
            entry.2 = losses[segment.start..segment.end]
                .iter()
                .map(|loss| f64::from(*loss))
                .sum();
        }
        Ok(Update {
            loss: loss.sum(),
            grad_norm: norm_value,
            learning_rate,
            tokens: batch.num_tokens() as u64,
            candidates: selection.candidates as u64,
            tasks,
            seconds: started.elapsed().as_secs_f64(),
            scoring_s,
        })
    }

    /// Asks the sampler for the examples of update `index`; returns the seconds of scoring too.
    fn select(&mut self, index: u64) -> Result<(Selection, f64), TrainError> {
        if self.explores(index) {
            let mut scorer = RandomScorer {
                datasets: &self.datasets,
                stream: Stream::new(
                    derive_seed(self.config.train.seed, "exploration", index),
                    "scores",
                ),
            };
            let mut selection = self
                .sampler
                .next_batch(&mut scorer)
                .map_err(|error| self.scoring_error(error))?;
            // Nothing was scored, and random numbers are nobody's uncertainty.
            selection.candidates = 0;
            selection.mean_uncertainty.fill(None);
            return Ok((selection, 0.0));
        }
        let train = &self.config.train;
        let with_dropout = train.scoring_dropout == ScoringDropout::Released
            && !self.state.next_scoring_is_deterministic;
        let own = (self.sampler.scoring())
            .is_some_and(|scoring| scoring.regression == RegressionUncertainty::Own);
        let seed = |name| derive_seed(train.seed, name, index);
        let mut scorer = ModelScorer {
            model: &self.model,
            graphs: self.graphs.as_ref(),
            datasets: &self.datasets,
            batch_tokens: train.scoring_batch_tokens,
            dropout_seed: with_dropout.then(|| seed("scoring dropout")),
            regression: own.then(|| (train.regression_passes, seed("regression uncertainty"))),
            seconds: 0.0,
        };
        let selection = self.sampler.next_batch(&mut scorer);
        let seconds = scorer.seconds;
        let selection = selection.map_err(|error| self.scoring_error(error))?;
        self.state.next_scoring_is_deterministic = false;
        Ok((selection, seconds))
    }

    /// Whether update `index` takes random candidates (`train.exploration`).
    fn explores(&self, index: u64) -> bool {
        let train = &self.config.train;
        train.exploration > 0.0
            && self.sampler.uses_scorer()
            && Stream::new(derive_seed(train.seed, "exploration", index), "whether").uniform()
                < train.exploration
    }

    /// A sampler's error, with the scorer's own errors taken out of it and the example's id put in.
    fn scoring_error(&self, error: SamplerError) -> TrainError {
        match error {
            SamplerError::Score {
                ref task,
                example,
                value,
                ..
            } if !value.is_finite() => {
                let dataset = self
                    .datasets
                    .iter()
                    .find(|dataset| &dataset.spec.name == task);
                let id = dataset
                    .and_then(|dataset| dataset.splits.get(TRAIN))
                    .map_or(u64::from(example), |split| split.get(example as usize).id);
                let offenders = vec![Offenders {
                    task: task.clone(),
                    example_ids: vec![id],
                }];
                self.not_finite("a score is", offenders)
            }
            SamplerError::Scorer(inner) => match inner.downcast::<TrainError>() {
                Ok(error) => *error,
                Err(other) => SamplerError::Scorer(other).into(),
            },
            other => other.into(),
        }
    }

    fn pack(&self, examples: &[ExampleRef]) -> Result<PackedBatch, TrainError> {
        let mut items = Vec::with_capacity(examples.len());
        for example in examples {
            let split = train_split(&self.datasets, example.task)?;
            items.push(BatchItem {
                task: example.task,
                example: split.get(example.index as usize),
            });
        }
        let mut batch = PackedBatch::pack(&items, self.config.train.loss_reduction);
        if !self.config.train.loss_weights.is_empty() {
            for segment in batch.task_segments() {
                let name = &self.datasets[segment.task as usize].spec.name;
                let factor = self.config.train.loss_weights.get(name).copied();
                for weight in &mut batch.loss_weights[segment.start..segment.end] {
                    *weight *= factor.unwrap_or(1.0) as f32;
                }
            }
        }
        if self.config.train.regression_unit == RegressionUnit::HalfRange {
            for segment in batch.task_segments() {
                let Some([min, max]) = self.datasets[segment.task as usize].spec.kind.range()
                else {
                    continue;
                };
                let unit = (max - min) / 2.0;
                for weight in &mut batch.loss_weights[segment.start..segment.end] {
                    *weight /= unit * unit;
                }
            }
        }
        Ok(batch)
    }

    /// Puts the batch's gradient into the model.
    fn gradients(&self, batch: &PackedBatch, index: u64) -> Result<Step, TrainError> {
        if let Some(graphs) = &self.graphs {
            let budget = self.config.train.micro_batch_tokens;
            if let Some(plain) = plain_batch(batch, &self.model, budget) {
                let dropout = dropout_stream(&self.model, self.dropout_seed(index, 0));
                let Gradients {
                    losses,
                    grad_norm,
                    grad_norm_on_device,
                } = graphs
                    .borrow_mut()
                    .gradients(&self.model, &plain, Some(dropout))?;
                return Ok(Step {
                    losses,
                    uncertainties: None,
                    norm: grad_norm,
                    norm_on_device: grad_norm_on_device,
                });
            }
        }
        let (losses, uncertainties) = self.accumulate(batch, index)?;
        let norm = grad_norm(&self.model.parameters().flat_grad())?;
        Ok(Step {
            losses,
            uncertainties,
            norm: norm.f_double_value(&[])?,
            norm_on_device: norm,
        })
    }

    /// Seed of the masks of micro-batch `number` of update `index`.
    fn dropout_seed(&self, index: u64, number: usize) -> u64 {
        let seed = derive_seed(self.config.train.seed, "dropout", index);
        derive_seed(seed, "micro-batch", number as u64)
    }

    /// Tells the sampler how uncertain the model was about the batch, whose order is that of the tasks.
    fn tell_sampler(&mut self, examples: &[ExampleRef], uncertainties: Option<&[f32]>) {
        let Some(uncertainties) = uncertainties else {
            return;
        };
        let mut packed = examples.to_vec();
        packed.sort_by_key(|example| example.task);
        self.sampler.observe(&packed, uncertainties);
    }

    /// Puts the batch's gradient into the model and returns each example's loss and, if the sampler
    /// wants to know it, its uncertainty. Loss weights come from the whole batch, so micro-batches add
    /// up to its gradient.
    fn accumulate(
        &self,
        batch: &PackedBatch,
        index: u64,
    ) -> Result<(Vec<f32>, Option<Vec<f32>>), TrainError> {
        let device = self.model.device();
        self.model.parameters().zero_grad()?;
        let mut losses = Vec::with_capacity(batch.num_examples());
        let observes = (self.sampler.scoring()).is_some_and(|scoring| scoring.observes);
        let mut uncertainties = observes.then(Vec::new);
        // The generators are evaluated once per step, whatever the number of micro-batches.
        let step = StepModulation::new(&self.model)?;
        for (number, part) in batch
            .split_by_tokens(self.config.train.micro_batch_tokens)?
            .iter()
            .enumerate()
        {
            let mut dropout = dropout_stream(&self.model, self.dropout_seed(index, number));
            let heads = run(
                &self.model,
                part,
                Some(step.modulation()),
                true,
                Some(&mut dropout),
            )?;
            let Some(loss) = heads.loss else {
                return Err(TrainError::Mismatch(
                    "the heads gave no loss although there are targets".to_owned(),
                ));
            };
            let weights = upload(&part.loss_weights, device)?;
            loss.f_mul(&weights)?.f_sum(Kind::Float)?.f_backward()?;
            losses.extend(to_vec(&loss.f_detach()?)?);
            if let Some(uncertainties) = &mut uncertainties {
                uncertainties.extend(to_vec(&heads.entropy.f_detach()?)?);
            }
        }
        step.backward()?;
        Ok((losses, uncertainties))
    }

    fn require_finite(
        &self,
        batch: &PackedBatch,
        losses: &[f32],
        what: &'static str,
    ) -> Result<(), TrainError> {
        let mut offenders: Vec<Offenders> = Vec::new();
        for segment in batch.task_segments() {
            let ids: Vec<u64> = (segment.start..segment.end)
                .filter(|&example| !losses[example].is_finite())
                .map(|example| batch.example_ids[example])
                .collect();
            if !ids.is_empty() {
                offenders.push(Offenders {
                    task: self.task_name(segment.task),
                    example_ids: ids,
                });
            }
        }
        match offenders.is_empty() {
            true => Ok(()),
            false => Err(self.not_finite(what, offenders)),
        }
    }

    /// The examples whose own gradient is not finite, found by running each alone; the whole batch
    /// if there is none. Only after a failure, so its cost does not matter.
    fn gradient_offenders(&self, examples: &[ExampleRef]) -> Result<Vec<Offenders>, TrainError> {
        let mut alone = Vec::new();
        for example in examples {
            let batch = self.pack(&[*example])?;
            self.accumulate(&batch, self.state.step)?;
            let norm = grad_norm(&self.model.parameters().flat_grad())?.f_double_value(&[])?;
            if !norm.is_finite() {
                alone.push(*example);
            }
        }
        let batch = self.pack(if alone.is_empty() { examples } else { &alone })?;
        let offenders = batch.task_segments().into_iter().map(|segment| Offenders {
            task: self.task_name(segment.task),
            example_ids: batch.example_ids[segment.start..segment.end].to_vec(),
        });
        Ok(offenders.collect())
    }

    fn not_finite(&self, what: &'static str, offenders: Vec<Offenders>) -> TrainError {
        TrainError::NonFinite {
            step: self.state.step + 1,
            what,
            offenders,
        }
    }

    fn task_name(&self, task: i64) -> String {
        self.datasets.get(task as usize).map_or_else(
            || format!("number {task}"),
            |dataset| dataset.spec.name.clone(),
        )
    }
}
