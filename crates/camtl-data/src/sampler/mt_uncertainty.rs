//! MT-Uncertainty: score a batch of candidates of every task, train on the most uncertain (paper section 4).
//!
//! Per step every task's loader gives its next batch of b candidates, or of its share of them (fewer at the end of a
//! pass); loaders restart alone when exhausted. All candidates are scored and the k = min(b, candidates) with the largest
//! scores are selected ([`super::select`]); the others are gone until their task is reshuffled. Formulas:
//! [`super::score`].

use serde::{Deserialize, Serialize};

use super::borrow::resolve_borrowing;
use super::kind::SamplerKind;
use super::score;
use super::scorer::scores_of;
use super::select::Select;
use super::state::{Progress, Setup};
use super::{
    Borrow, CandidateShares, ExampleRef, RegressionUncertainty, Sampler, SamplerError, Scorer,
    Scoring, Selection, TaskInfo, UncertaintyForm,
};

/// The b most uncertain of b candidates per task (paper section 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MtUncertainty {
    /// The formula of the scores.
    pub form: UncertaintyForm,
    /// The uncertainty of regressions.
    pub regression: RegressionUncertainty,
    /// How the candidates are shared out among the tasks. There are b times the number of tasks in all.
    pub candidates: CandidateShares,
    /// Scales the number of steps per epoch, above 0.
    pub epoch_fraction: f64,
    /// Who lends scores to whom. `None` is the released rule: if there are an `mrpc` and a regression `sts-b` (or
    /// `stsb`), the latter borrows from the former. An empty list switches borrowing off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borrow: Option<Vec<Borrow>>,
    /// 0 takes the b largest scores; above 0 they are drawn, each with a chance proportional to
    /// score^(1/temperature).
    pub temperature: f64,
    /// Least share of each batch that goes to the tasks by `floor_shares`, whatever their scores.
    pub floor: f64,
    /// How the floor is shared out.
    pub floor_shares: CandidateShares,
}

impl Default for MtUncertainty {
    /// As in the authors' code.
    fn default() -> Self {
        Self {
            form: UncertaintyForm::Released,
            regression: RegressionUncertainty::Borrowed,
            candidates: CandidateShares::Equal,
            epoch_fraction: 1.0,
            borrow: None,
            temperature: 0.0,
            floor: 0.0,
            floor_shares: CandidateShares::Equal,
        }
    }
}

impl MtUncertainty {
    fn select(&self) -> Select {
        Select {
            temperature: self.temperature,
            floor: self.floor,
            floor_shares: self.floor_shares,
        }
    }

    /// Candidates of each task: `batch_size` times the number of tasks in all, up to rounding, and at least one of each.
    fn counts(&self, tasks: &[TaskInfo], batch_size: usize) -> Vec<usize> {
        let weights = self.candidates.weights(tasks);
        let all = (batch_size * tasks.len()) as f64;
        let sum: f64 = weights.iter().sum();
        let count = |weight: &f64| ((all * weight / sum).round() as usize).max(1);
        weights.iter().map(count).collect()
    }
}

impl SamplerKind for MtUncertainty {
    fn check(&self) -> Result<(), SamplerError> {
        if !(self.epoch_fraction.is_finite() && self.epoch_fraction > 0.0) {
            return Err(SamplerError::Option {
                option: "epoch_fraction",
                value: self.epoch_fraction.to_string(),
                expected: "a number above 0",
            });
        }
        if let (RegressionUncertainty::Own, Some(borrow)) = (self.regression, &self.borrow)
            && let Some(first) = borrow.first()
        {
            return Err(SamplerError::Borrow {
                from: first.from.clone(),
                to: first.to.clone(),
                reason: "nothing is borrowed with regression = \"own\"; remove one of the two options",
            });
        }
        self.select().check()
    }

    fn steps_per_epoch(&self, tasks: &[TaskInfo], batch_size: usize) -> u64 {
        let batches = tasks
            .iter()
            .map(|task| task.train_size.div_ceil(batch_size));
        let longest = batches.max().unwrap_or(0);
        (longest as f64 * tasks.len() as f64 * self.epoch_fraction) as u64
    }

    fn build(&self, setup: Setup) -> Result<Box<dyn Sampler>, SamplerError> {
        let borrowing = match self.regression {
            RegressionUncertainty::Own => Vec::new(),
            RegressionUncertainty::Borrowed => {
                resolve_borrowing(self.borrow.as_deref(), &setup.tasks)?
            }
        };
        let borrows = |position: usize| borrowing.iter().any(|(_, to)| *to as usize == position);
        for (position, task) in setup.tasks.iter().enumerate() {
            let has_none = self.regression == RegressionUncertainty::Borrowed;
            if has_none && task.regression && !borrows(position) {
                tracing::warn!(
                    task = %task.name,
                    "this regression borrows no scores, so MT-Uncertainty will practically never select it; add a \
                     `borrow` entry or set regression = \"own\""
                );
            }
        }
        let counts = self.counts(&setup.tasks, setup.batch_size);
        let draws = "sampler/mt-uncertainty/uninformative";
        Ok(Box::new(MtSampler {
            options: self.clone(),
            borrowing,
            progress: Progress::by_task(setup, &counts, draws),
        }))
    }
}

/// The sampler.
struct MtSampler {
    options: MtUncertainty,
    /// `(from, to)` positions in the task list.
    borrowing: Vec<(u32, u32)>,
    /// Its draws are those of batches that the scores alone do not decide.
    progress: Progress,
}

/// Scores of all candidates and the task means they came from.
struct Scored {
    scores: Vec<f64>,
    means: Vec<Option<f64>>,
    /// No task has any uncertainty, so the scores cannot rank the candidates.
    uninformative: bool,
}

impl MtSampler {
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
        task.regression && self.options.regression == RegressionUncertainty::Borrowed
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
                match self.options.form {
                    _ if info.regression => *value,
                    UncertaintyForm::Released | UncertaintyForm::Normalised => {
                        score::normalised_entropy(*value, info.num_outputs)
                    }
                    UncertaintyForm::Paper => value / (info.num_outputs as f64).ln(),
                }
            })
            .collect();
        let means = score::task_means(tasks, &normalised, infos.len());
        let mut scores = match self.options.form {
            UncertaintyForm::Released => score::released_scores(tasks, &normalised, &means),
            UncertaintyForm::Normalised => {
                let spreads = score::task_spreads(tasks, &normalised, &means);
                score::normalised_scores(tasks, &normalised, &means, &spreads)
            }
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
}

impl Sampler for MtSampler {
    fn next_batch(&mut self, scorer: &mut dyn Scorer) -> Result<Selection, SamplerError> {
        let candidates = self.draw_candidates();
        let raw = scores_of(scorer, &self.progress.setup.tasks, &candidates)?;
        let tasks: Vec<u32> = candidates.iter().map(|candidate| candidate.task).collect();
        let scored = self.combine(&tasks, &raw);
        let Progress { setup, draws, .. } = &mut self.progress;
        let (b, select) = (setup.batch_size, self.options.select());
        let selected = if scored.uninformative {
            let mut all: Vec<usize> = (0..candidates.len()).collect();
            draws.shuffle(&mut all);
            all.truncate(b);
            all
        } else {
            let least = select.least(&setup.tasks, b, draws);
            select.choose(&tasks, &scored.scores, &least, b, draws)
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

    fn scoring(&self) -> Option<Scoring> {
        Some(Scoring {
            regression: self.options.regression,
            observes: false,
        })
    }

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}
