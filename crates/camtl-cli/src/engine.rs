//! The inference engine: requests for any of a run's tasks in, answers in the same order out.
//!
//! `predict` and `serve` both ask here. Requests of different tasks share packed forward passes, which
//! is what the conditional encoder is for: one pass, each sequence modulated by its own task. The passes
//! are batch-invariant, so an answer has the same bits whatever else was asked with it.

use std::collections::BTreeMap;

use camtl_data::batch::BatchItem;
use camtl_data::encoded::EncodedSplit;
use camtl_data::reader::Example;
use camtl_trainer::predict_mixed;

use crate::failure::Failure;
use crate::prediction::{Prediction, predictions};
use crate::request::Request;
use crate::trained::TrainedRun;

/// A trained run that answers requests.
pub(crate) struct Engine {
    run: TrainedRun,
    batch_tokens: usize,
}

/// The answers to some requests.
pub(crate) struct Answers {
    /// One per request, in their order.
    pub(crate) predictions: Vec<Prediction>,
    /// Tokens that the model read for them.
    pub(crate) tokens: usize,
}

impl Engine {
    /// An engine on `run` whose forward passes have at most `eval.batch_tokens` tokens.
    pub(crate) fn new(mut run: TrainedRun) -> Self {
        // An answer must not depend on who asks at the same time.
        run.model.set_batch_invariant(true);
        Self {
            batch_tokens: run.config.eval.batch_tokens,
            run,
        }
    }

    /// The run.
    pub(crate) fn run(&self) -> &TrainedRun {
        &self.run
    }

    /// Answers all requests, in their order.
    ///
    /// # Errors
    /// A text cannot be tokenised, or the model fails.
    pub(crate) fn answer(&self, requests: Vec<Request>) -> Result<Answers, Failure> {
        let mut order = Vec::with_capacity(requests.len());
        let mut by_task = BTreeMap::<usize, Vec<Example>>::new();
        for Request { task, mut example } in requests {
            let examples = by_task.entry(task).or_default();
            example.id = examples.len() as u64;
            order.push((task, examples.len()));
            examples.push(example);
        }
        let max_length = self.run.config.data.max_length;
        let mut parts: Vec<(usize, EncodedSplit)> = Vec::with_capacity(by_task.len());
        for (task, examples) in by_task {
            let spec = &self.run.specs[task];
            let split = self.run.tokenizer.encode_for(spec, &examples, max_length)?;
            parts.push((task, split));
        }
        let items: Vec<BatchItem<'_>> = parts
            .iter()
            .flat_map(|(task, split)| {
                split.iter().map(|example| BatchItem {
                    task: *task as u32,
                    example,
                })
            })
            .collect();
        let answers = predict_mixed(&self.run.model, &items, self.batch_tokens)?;
        let mut rest = answers.as_slice();
        let mut found = BTreeMap::<usize, Vec<Option<Prediction>>>::new();
        for (task, split) in &parts {
            let (own, others) = rest.split_at(split.len().min(rest.len()));
            rest = others;
            let own = predictions(&self.run.specs[*task], split, own).map_err(Failure::work)?;
            found.insert(*task, own.into_iter().map(Some).collect());
        }
        let predictions = order
            .iter()
            .map(|(task, place)| found.get_mut(task)?.get_mut(*place)?.take())
            .collect::<Option<Vec<Prediction>>>()
            .ok_or_else(|| {
                Failure::work(anyhow::anyhow!("a request was left without an answer"))
            })?;
        Ok(Answers {
            predictions,
            tokens: parts.iter().map(|(_, split)| split.num_tokens()).sum(),
        })
    }
}
