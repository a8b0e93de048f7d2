//! MT-Uncertainty: score a batch of candidates of every task, train on the most uncertain (paper section 4).
//!
//! Per step every task's loader gives its next batch of b candidates, or of its share of them (fewer at the end of a
//! pass); loaders restart alone when exhausted. All candidates are scored and the k = min(b, candidates) with the largest scores are selected; the
//! others are gone until their task is reshuffled. Formulas: [`super::score`].

use serde_json::Value;

use super::candidates;
use super::config::resolve_borrowing;
use super::score;
use super::state::{Progress, Setup};
use super::{
    DataUsage, ExampleRef, RegressionUncertainty, Sampler, SamplerConfig, SamplerError, Scorer,
    Selection, TaskInfo, UncertaintyForm,
};
use crate::random::Stream;

pub(super) struct MtUncertainty {
    progress: Progress,
    form: UncertaintyForm,
    regression: RegressionUncertainty,
    /// `(from, to)` positions in the task list.
    borrowing: Vec<(u32, u32)>,
    /// Draws the batch where no candidate has any uncertainty.
    draws: Stream,
}

/// Scores of all candidates and the task means they came from.
struct Scored {
    scores: Vec<f64>,
    means: Vec<Option<f64>>,
    /// No task has any uncertainty, so the scores cannot rank the candidates.
    uninformative: bool,
}

impl MtUncertainty {
    pub(super) fn new(setup: Setup) -> Result<Self, SamplerError> {
        let (form, regression, shares, borrow) = match &setup.config {
            SamplerConfig::MtUncertainty {
                form,
                regression,
                candidates,
                borrow,
                ..
            } => (*form, *regression, *candidates, borrow.as_deref()),
            _ => Default::default(),
        };
        let borrowing = resolve_borrowing(regression, borrow, &setup.tasks)?;
        if regression == RegressionUncertainty::Borrowed {
            for (position, task) in setup.tasks.iter().enumerate() {
                if task.regression && !borrowing.iter().any(|(_, to)| *to as usize == position) {
                    tracing::warn!(
                        task = %task.name,
                        "this regression borrows no scores, so MT-Uncertainty will practically never select it; add a \
                         `borrow` entry or set regression = \"own\""
                    );
                }
            }
        }
        Ok(Self {
            form,
            regression,
            borrowing,
            draws: Stream::new(setup.seed, "sampler/mt-uncertainty/uninformative"),
            progress: {
                let counts = candidates::counts(shares, &setup.tasks, setup.batch_size);
                Progress::new_with_batches(setup, &counts)
            },
        })
    }

    fn draw_candidates(&mut self) -> Vec<ExampleRef> {
        let mut candidates =
            Vec::with_capacity(self.progress.setup.batch_size * self.progress.loaders.len());
        for (task, loader) in self.progress.loaders.iter_mut().enumerate() {
            candidates.extend(loader.next_batch().iter().map(|index| ExampleRef {
                task: task as u32,
                index: *index,
            }));
        }
        candidates
    }

    fn has_no_uncertainty(&self, task: &TaskInfo) -> bool {
        task.regression && self.regression == RegressionUncertainty::Borrowed
    }

    /// Applies the formula to checked raw scores.
    fn combine(&self, tasks: &[u32], raw: &[f32]) -> Scored {
        let infos = &self.progress.setup.tasks;
        // What a regression without uncertainty of its own is given must not enter any mean.
        let raw: Vec<f64> = tasks
            .iter()
            .zip(raw)
            .map(|(task, value)| {
                if self.has_no_uncertainty(&infos[*task as usize]) {
                    0.0
                } else {
                    f64::from(*value)
                }
            })
            .collect();
        let normalised: Vec<f64> = tasks
            .iter()
            .zip(&raw)
            .map(|(task, value)| {
                let info = &infos[*task as usize];
                match self.form {
                    _ if info.regression => *value,
                    UncertaintyForm::Released => {
                        score::normalised_entropy(*value, info.num_outputs)
                    }
                    UncertaintyForm::Paper => value / (info.num_outputs as f64).ln(),
                }
            })
            .collect();
        let means = score::task_means(tasks, &normalised, infos.len());
        let mut scores = match self.form {
            UncertaintyForm::Released => score::released_scores(tasks, &normalised, &means),
            UncertaintyForm::Paper => {
                let maxima: Vec<f64> = infos
                    .iter()
                    .map(|info| {
                        if info.regression {
                            1.0
                        } else {
                            (info.num_outputs as f64).ln()
                        }
                    })
                    .collect();
                let entropy_means = score::task_means(tasks, &raw, infos.len());
                score::paper_scores(tasks, &raw, &entropy_means, &maxima)
            }
        };
        for (from, to) in &self.borrowing {
            score::borrow_scores(tasks, &mut scores, *from, *to);
        }
        Scored {
            uninformative: score::largest_mean(&means) == 0.0,
            scores,
            means,
        }
    }

    fn check_scores(&self, candidates: &[ExampleRef], raw: &[f32]) -> Result<(), SamplerError> {
        let name = |candidate: &ExampleRef| {
            self.progress.setup.tasks[candidate.task as usize]
                .name
                .clone()
        };
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
            let info = &self.progress.setup.tasks[candidate.task as usize];
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
}

impl Sampler for MtUncertainty {
    fn name(&self) -> &'static str {
        self.progress.setup.config.name()
    }

    fn next_batch(&mut self, scorer: &mut dyn Scorer) -> Result<Selection, SamplerError> {
        let candidates = self.draw_candidates();
        let raw = scorer.score(&candidates).map_err(SamplerError::Scorer)?;
        self.check_scores(&candidates, &raw)?;
        let tasks: Vec<u32> = candidates.iter().map(|candidate| candidate.task).collect();
        let scored = self.combine(&tasks, &raw);
        let selected = if scored.uninformative {
            let mut all: Vec<usize> = (0..candidates.len()).collect();
            self.draws.shuffle(&mut all);
            all.truncate(self.progress.setup.batch_size);
            all
        } else {
            score::top_b(&scored.scores, self.progress.setup.batch_size)
        };
        let examples: Vec<ExampleRef> = selected
            .iter()
            .map(|position| candidates[*position])
            .collect();
        self.progress.usage.record(&examples, candidates.len());
        Ok(Selection {
            scores: Some(
                selected
                    .iter()
                    .map(|position| scored.scores[*position] as f32)
                    .collect(),
            ),
            examples,
            candidates: candidates.len(),
            mean_uncertainty: self
                .progress
                .setup
                .tasks
                .iter()
                .zip(&scored.means)
                .map(|(info, mean)| {
                    if self.has_no_uncertainty(info) {
                        None
                    } else {
                        mean.map(|m| m as f32)
                    }
                })
                .collect(),
        })
    }

    fn uses_scorer(&self) -> bool {
        true
    }

    fn steps_per_epoch(&self) -> u64 {
        self.progress.setup.steps_per_epoch
    }

    fn usage(&self) -> &DataUsage {
        &self.progress.usage
    }

    fn state(&self) -> Value {
        self.progress.state(Some(&self.draws))
    }

    fn restore(&mut self, state: &Value) -> Result<(), SamplerError> {
        self.progress.restore(state, Some(&mut self.draws))
    }
}
