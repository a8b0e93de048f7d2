//! Who says how uncertain the model is, and what a sampler asks of it.

use serde::{Deserialize, Serialize};

use super::{BoxError, ExampleRef, SamplerError, TaskInfo};

/// How uncertain a regression is taken to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegressionUncertainty {
    /// It has none of its own: score 0, or the scores of another task (see [`Borrow`](super::Borrow)).
    #[default]
    Borrowed,
    /// The scorer's own value in `[0, 1]` takes the place of the normalised entropy.
    Own,
}

/// What a sampler asks of the trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scoring {
    /// Whether the scores of regressions are used: only then they have to be found.
    pub regression: RegressionUncertainty,
    /// Whether [`Sampler::observe`](super::Sampler::observe) wants to know the uncertainties of what was trained on.
    pub observes: bool,
}

/// Says how uncertain the model is about candidates. Implemented by the trainer with a forward pass; closures that take
/// the candidates and return the scores are scorers as well.
pub trait Scorer {
    /// One score per candidate, in order.
    ///
    /// For a classification the score is the entropy of the softmax in nats, not normalised, `0 ≤ H ≤ ln C`. For a
    /// regression it is an uncertainty in `[0, 1]` of the scorer's own making, 0 if it has none; it is used only with
    /// [`RegressionUncertainty::Own`].
    ///
    /// # Errors
    /// Whatever stops the scorer; the sampler passes it on as [`SamplerError::Scorer`].
    fn score(&mut self, candidates: &[ExampleRef]) -> Result<Vec<f32>, BoxError>;
}

impl<F> Scorer for F
where
    F: FnMut(&[ExampleRef]) -> Result<Vec<f32>, BoxError>,
{
    fn score(&mut self, candidates: &[ExampleRef]) -> Result<Vec<f32>, BoxError> {
        self(candidates)
    }
}

/// The scorer's checked scores of these candidates.
pub(super) fn scores_of(
    scorer: &mut dyn Scorer,
    tasks: &[TaskInfo],
    candidates: &[ExampleRef],
) -> Result<Vec<f32>, SamplerError> {
    let raw = scorer.score(candidates).map_err(SamplerError::Scorer)?;
    check_scores(tasks, candidates, &raw)?;
    Ok(raw)
}

fn check_scores(
    tasks: &[TaskInfo],
    candidates: &[ExampleRef],
    raw: &[f32],
) -> Result<(), SamplerError> {
    let name = |candidate: &ExampleRef| tasks[candidate.task as usize].name.clone();
    if raw.len() != candidates.len() {
        let affected = &candidates[raw.len().min(candidates.len() - 1)];
        return Err(SamplerError::ScoreCount {
            expected: candidates.len(),
            got: raw.len(),
            task: name(affected),
            example: affected.index,
        });
    }
    for (candidate, value) in candidates.iter().zip(raw) {
        let info = &tasks[candidate.task as usize];
        let limit = if info.regression {
            1.0
        } else {
            (info.num_outputs as f32).ln()
        };
        // Half-precision softmaxes overshoot ln C by under a hundredth; bits instead of nats would by 44 %.
        let slack = 0.01 * limit;
        if !(-slack..=limit + slack).contains(value) {
            let expected = if info.regression {
                "an uncertainty from 0 to 1".to_owned()
            } else {
                format!(
                    "an entropy in nats from 0 to ln {} = {limit:.4}",
                    info.num_outputs
                )
            };
            return Err(SamplerError::Score {
                task: name(candidate),
                example: candidate.index,
                value: *value,
                expected,
            });
        }
    }
    Ok(())
}
