//! The inference engine: requests for any of a run's tasks in, answers in the same order out.
//!
//! `predict` and `serve` both ask here. Requests of different tasks share packed forward passes, which
//! is what the conditional encoder is for: one pass, each sequence modulated by its own task. The passes
//! are batch-invariant, so an answer has the same bits whatever else was asked with it.

use camtl_data::answers::Answer;
use camtl_data::batch::BatchItem;
use camtl_data::reader::Example;
use camtl_trainer::predict_mixed;

use crate::failure::Failure;
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
    pub(crate) predictions: Vec<Answer>,
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
        let (tasks, examples): (Vec<usize>, Vec<Example>) = requests
            .into_iter()
            .map(|request| (request.task, request.example))
            .unzip();
        let encoded = self
            .run
            .tokenizer
            .encode_all(&examples, self.run.config.data.max_length)?;
        let items: Vec<BatchItem<'_>> = tasks
            .iter()
            .zip(encoded.iter())
            .map(|(&task, example)| BatchItem {
                task: task as u32,
                example,
            })
            .collect();
        Ok(Answers {
            predictions: predict_mixed(&self.run.model, &items, self.batch_tokens)?,
            tokens: encoded.num_tokens(),
        })
    }
}
