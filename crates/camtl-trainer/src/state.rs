//! Everything a run has to remember besides weights and moments; `state.json` of a checkpoint.

use std::collections::BTreeMap;

use camtl_data::metrics::ScoreTable;
use serde::{Deserialize, Serialize};

use crate::event::{Event, TaskStep, Timing};
use crate::summary::EvaluatedExamples;

/// State of the loop between two updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainState {
    /// Updates made.
    pub(crate) step: u64,
    /// Updates the optimiser has counted.
    pub(crate) optimizer_step: i64,
    /// The sampler's own state; filled in when a checkpoint is taken.
    pub(crate) sampler: serde_json::Value,
    /// Whether the next selection is scored without dropout (`train.scoring_dropout = "released"`).
    pub(crate) next_scoring_is_deterministic: bool,
    /// Updates since the last `step` event.
    pub(crate) window: Window,
    /// The update after which the model was last evaluated on schedule.
    pub(crate) evaluated_at: Option<u64>,
    /// The update after which the last scheduled checkpoint was taken.
    pub(crate) saved_at: Option<u64>,
    /// The best evaluation so far.
    pub(crate) best: Option<Best>,
    /// Evaluations since the average last rose by `early_stopping.min_delta`.
    pub(crate) stale_evaluations: u64,
    /// Whether training ended before its planned length.
    pub(crate) stopped_early: bool,
    /// The last evaluation.
    pub(crate) evaluation: Option<Evaluation>,
    /// Whether the run is over and only its results remain to be written.
    pub(crate) finished: bool,
    /// Sums over the whole run.
    pub(crate) totals: Totals,
    /// Threads of the tensor operations.
    pub(crate) threads: i32,
    /// Checksum of the training data.
    pub(crate) data: String,
    /// Length of `events.jsonl`.
    pub(crate) events_bytes: u64,
    /// The TensorBoard file and its length.
    pub(crate) tensorboard: Option<(String, u64)>,
}

/// The best evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Best {
    pub(crate) step: u64,
    pub(crate) average: f64,
}

/// Results of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evaluation {
    pub(crate) step: u64,
    /// Whether all examples were used that the final evaluation uses.
    pub(crate) complete: bool,
    pub(crate) tasks: ScoreTable,
    pub(crate) losses: BTreeMap<String, f64>,
    /// By task and split. Checkpoints of older versions do not have it.
    #[serde(default)]
    pub(crate) examples: BTreeMap<String, BTreeMap<String, EvaluatedExamples>>,
    pub(crate) average: f64,
    pub(crate) task_sigma: f64,
}

/// Sums over the whole run, seconds included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Totals {
    pub(crate) examples: u64,
    pub(crate) tokens: u64,
    pub(crate) scored: u64,
    /// Seconds of updates, scoring included.
    pub(crate) update_s: f64,
    pub(crate) scoring_s: f64,
    /// Seconds of everything, evaluation and saving included.
    pub(crate) run_s: f64,
}

/// What one update did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Update {
    pub(crate) loss: f64,
    pub(crate) grad_norm: f64,
    pub(crate) learning_rate: f64,
    pub(crate) tokens: u64,
    pub(crate) candidates: u64,
    /// Per task: name, examples, sum of their losses, mean uncertainty of its candidates.
    pub(crate) tasks: Vec<(String, u64, f64, Option<f64>)>,
    pub(crate) seconds: f64,
    pub(crate) scoring_s: f64,
}

/// Updates summed up for the next `step` event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    updates: u64,
    loss: f64,
    grad_norm: f64,
    learning_rate: f64,
    examples: u64,
    tokens: u64,
    candidates: u64,
    tasks: BTreeMap<String, TaskWindow>,
    seconds: f64,
    scoring_s: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskWindow {
    examples: u64,
    loss: f64,
    uncertainties: u64,
    uncertainty: f64,
}

impl Window {
    pub(crate) fn add(&mut self, update: &Update) {
        self.updates += 1;
        self.loss += update.loss;
        self.grad_norm = self.grad_norm.max(update.grad_norm);
        self.learning_rate = update.learning_rate;
        self.tokens += update.tokens;
        self.candidates += update.candidates;
        self.seconds += update.seconds;
        self.scoring_s += update.scoring_s;
        for (name, examples, loss, uncertainty) in &update.tasks {
            self.examples += examples;
            let task = self.tasks.entry(name.clone()).or_default();
            task.examples += examples;
            task.loss += loss;
            if let Some(uncertainty) = uncertainty {
                task.uncertainties += 1;
                task.uncertainty += uncertainty;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.updates == 0
    }

    /// Empties the window into an event.
    pub(crate) fn take(&mut self, step: u64, epoch: f64, run_s: f64) -> Event {
        let window = std::mem::take(self);
        let mean = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        let tasks = window.tasks.iter().map(|(name, task)| {
            let step = TaskStep {
                examples: task.examples,
                loss: mean(task.loss, task.examples),
                uncertainty: mean(task.uncertainty, task.uncertainties),
            };
            (name.clone(), step)
        });
        let tasks = tasks.collect();
        Event::Step {
            step,
            updates: window.updates,
            epoch,
            learning_rate: window.learning_rate,
            loss: window.loss / window.updates.max(1) as f64,
            grad_norm: window.grad_norm,
            tokens: window.tokens,
            candidates: window.candidates,
            tasks,
            timing: timing(
                run_s,
                window.seconds,
                window.scoring_s,
                window.examples,
                window.tokens,
                window.candidates,
            ),
        }
    }
}

impl Update {
    /// Wall-clock figures of this update alone.
    pub(crate) fn timing(&self, run_s: f64) -> Timing {
        let examples = self.tasks.iter().map(|task| task.1).sum();
        timing(
            run_s,
            self.seconds,
            self.scoring_s,
            examples,
            self.tokens,
            self.candidates,
        )
    }
}

fn timing(
    run_s: f64,
    took_s: f64,
    scoring_s: f64,
    examples: u64,
    tokens: u64,
    scored: u64,
) -> Timing {
    let rate = |count: u64, seconds: f64| {
        if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        }
    };
    Timing {
        run_s,
        took_s,
        scoring_s,
        examples_per_s: rate(examples, took_s),
        tokens_per_s: rate(tokens, took_s),
        scored_examples_per_s: rate(scored, scoring_s),
    }
}
