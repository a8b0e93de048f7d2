//! When the trainer evaluates, and what follows from the result.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use camtl_data::encoded::EncodedSplit;
use camtl_data::metrics::{MetricError, ScoreTable, task_sigma};
use camtl_data::task::TaskSpec;

use super::Trainer;
use crate::config::EvalOptions;
use crate::error::TrainError;
use crate::evaluate::{Place, TaskScores, add_scores, evaluate_indices};
use crate::event::{Event, Timing};
use crate::state::{Best, Evaluation};
use crate::summary::{EvaluatedExamples, average};

impl Trainer {
    /// Whether the model is to be evaluated after the current update, by schedule.
    pub(crate) fn evaluation_is_due(&self) -> bool {
        let step = self.state.step;
        let scheduled = self
            .config
            .eval
            .every_steps
            .is_some_and(|every| step > 0 && step.is_multiple_of(every));
        // The evaluation at the end takes the place of one that falls on the last update.
        let covered = self.config.eval.at_end && step >= self.total_steps();
        scheduled && !covered && self.state.evaluated_at != Some(step)
    }

    /// Evaluates by schedule; false if `stop` was set before the end.
    pub(crate) fn scheduled_evaluation(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
        stop: &AtomicBool,
    ) -> Result<bool, TrainError> {
        let eval = &self.config.eval;
        let limit = [eval.limit, eval.max_examples].into_iter().flatten().min();
        if !self.evaluation(on_event, stop, limit, false)? {
            return Ok(false);
        }
        self.state.evaluated_at = Some(self.state.step);
        self.state.next_scoring_is_deterministic = true;
        self.stop_early(on_event)?;
        Ok(true)
    }

    /// Evaluates the finished model, unless the last evaluation did so already; false if `stop` was
    /// set before the end.
    pub(crate) fn final_evaluation(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
        stop: &AtomicBool,
    ) -> Result<bool, TrainError> {
        let step = self.state.step;
        let known = self
            .state
            .evaluation
            .as_ref()
            .is_some_and(|last| last.step == step && last.complete);
        if !self.config.eval.at_end || known {
            return Ok(true);
        }
        self.evaluation(on_event, stop, self.config.eval.max_examples, true)
    }

    /// Ends the run when the average has not risen for `patience` evaluations.
    fn stop_early(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<(), TrainError> {
        let Some(patience) = self.config.early_stopping.patience else {
            return Ok(());
        };
        let Some(best) = self.state.best else {
            return Ok(());
        };
        if self.state.stale_evaluations < patience {
            return Ok(());
        }
        self.state.stopped_early = true;
        let event = Event::EarlyStopped {
            step: self.state.step,
            best_step: best.step,
            best_average: best.average,
            timing: Timing {
                run_s: self.run_s(),
                ..Timing::default()
            },
        };
        self.emit(on_event, event)
    }

    /// Evaluates every split of every task and tells about it. False if `stop` was set before the end.
    fn evaluation(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
        stop: &AtomicBool,
        limit: Option<usize>,
        at_end: bool,
    ) -> Result<bool, TrainError> {
        let started = Instant::now();
        let Some(results) = self.scores(on_event, stop, limit)? else {
            return Ok(false);
        };
        if results.is_empty() {
            return Err(TrainError::Mismatch(format!(
                "no task has any of the splits in eval.splits = {:?}; name splits of the task files \
                 (or \"holdout\" with data.holdout_fraction above 0), or set eval.at_end = false and leave out eval.every_steps",
                self.config.eval.splits
            )));
        }
        let complete = limit == self.config.eval.max_examples;
        let evaluation = self.summarise(results, complete)?;
        // Averages over smaller and over larger samples are not compared with each other.
        let comparable = evaluation.complete != samples(&self.config.eval);
        let best = comparable
            && self
                .state
                .best
                .is_none_or(|best| evaluation.average > best.average);
        if comparable {
            let needed = self
                .state
                .best
                .map(|best| best.average + self.config.early_stopping.min_delta);
            match needed.is_none_or(|needed| evaluation.average > needed) {
                true => self.state.stale_evaluations = 0,
                false => self.state.stale_evaluations += 1,
            }
        }
        if best {
            self.state.best = Some(Best {
                step: evaluation.step,
                average: evaluation.average,
            });
        }
        let event = Event::Evaluated {
            step: evaluation.step,
            at_end,
            tasks: evaluation.tasks.clone(),
            losses: evaluation.losses.clone(),
            average: evaluation.average,
            task_sigma: evaluation.task_sigma,
            best,
            timing: Timing {
                run_s: self.run_s(),
                took_s: started.elapsed().as_secs_f64(),
                ..Timing::default()
            },
        };
        self.state.evaluation = Some(evaluation);
        self.emit(on_event, event)?;
        Ok(true)
    }

    /// Scores of every split of every task, in order.
    fn scores(
        &self,
        on_event: &mut dyn FnMut(&Event),
        stop: &AtomicBool,
        limit: Option<usize>,
    ) -> Result<Option<Vec<TaskScores>>, TrainError> {
        let mut work = Vec::new();
        for (task_index, dataset) in self.datasets.iter().enumerate() {
            for split in &self.config.eval.splits {
                if let Some(examples) = dataset.splits.get(split) {
                    let place = Place {
                        dataset,
                        task_index,
                        split,
                    };
                    work.push((place, sample(examples.len(), examples.groups(), limit)));
                }
            }
        }
        let total = work.iter().map(|(_, indices)| indices.len()).sum();
        let mut done = 0;
        let mut results = Vec::with_capacity(work.len());
        for (place, indices) in &work {
            let task = &place.dataset.spec.name;
            let scores = evaluate_indices(
                &self.model,
                place,
                indices,
                self.config.eval.batch_tokens,
                &mut |count| {
                    done += count;
                    on_event(&Event::Evaluating {
                        done,
                        total,
                        task: task.clone(),
                    });
                    !stop.load(Ordering::Relaxed)
                },
            )?;
            let Some(scores) = scores else {
                return Ok(None);
            };
            results.push(scores);
        }
        Ok(Some(results))
    }

    fn summarise(
        &self,
        results: Vec<TaskScores>,
        complete: bool,
    ) -> Result<Evaluation, TrainError> {
        let mut tasks = ScoreTable::new();
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        let mut examples: BTreeMap<String, BTreeMap<String, EvaluatedExamples>> = BTreeMap::new();
        for scores in &results {
            let first = first
                .entry(scores.task.clone())
                .or_insert_with(|| scores.split.clone());
            add_scores(&mut tasks, scores, first);
            let sum = sums.entry(scores.task.clone()).or_default();
            sum.0 += scores.loss * scores.examples as f64;
            sum.1 += scores.examples as f64;
            let total = self
                .datasets
                .iter()
                .filter(|dataset| dataset.spec.name == scores.task)
                .find_map(|dataset| dataset.splits.get(&scores.split))
                .map_or(scores.examples, EncodedSplit::len);
            let count = EvaluatedExamples {
                evaluated: scores.examples as u64,
                total: total as u64,
            };
            let splits = examples.entry(scores.task.clone()).or_default();
            splits.insert(scores.split.clone(), count);
        }
        let losses = sums
            .into_iter()
            .map(|(task, (sum, count))| (task, sum / count.max(1.0)))
            .collect();
        let specs: Vec<&TaskSpec> = self.datasets.iter().map(|dataset| &dataset.spec).collect();
        let table_error = |source: MetricError| TrainError::Metric {
            task: "all".to_owned(),
            split: "all".to_owned(),
            source: source.into(),
        };
        let average = average(&tasks, &specs, self.config.eval.glue_average)
            .ok_or_else(|| TrainError::Mismatch("no task has a metric to average".to_owned()))?;
        let task_sigma = task_sigma(&tasks).map_err(table_error)?;
        Ok(Evaluation {
            step: self.state.step,
            complete,
            tasks,
            losses,
            examples,
            average,
            task_sigma,
        })
    }
}

/// `limit` places spread evenly over `0..length`, or all.
fn spread(length: usize, limit: Option<usize>) -> Vec<usize> {
    match limit {
        Some(limit) if limit < length => (0..limit).map(|at| at * length / limit).collect(),
        _ => (0..length).collect(),
    }
}

/// Whether evaluations while training use fewer examples than the one at the end.
fn samples(eval: &EvalOptions) -> bool {
    eval.limit
        .is_some_and(|limit| eval.max_examples.is_none_or(|most| limit < most))
}

/// About `limit` of `length` examples spread evenly over them, or all. Examples that are scored
/// together (`groups` has the group of each) are taken together, so of groups there is at least one.
fn sample(length: usize, groups: Option<&[u64]>, limit: Option<usize>) -> Vec<usize> {
    let (Some(groups), Some(limit)) = (groups, limit) else {
        return spread(length, limit);
    };
    let mut members: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut order = Vec::new();
    for (at, &group) in groups.iter().enumerate() {
        let members = members.entry(group).or_default();
        if members.is_empty() {
            order.push(group);
        }
        members.push(at);
    }
    let wanted = (order.len() * limit / length.max(1)).max(1);
    let mut taken: Vec<usize> = spread(order.len(), Some(wanted))
        .into_iter()
        .filter_map(|at| members.remove(&order[at]))
        .flatten()
        .collect();
    taken.sort_unstable();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_the_split() {
        assert_eq!(spread(10, Some(5)), [0, 2, 4, 6, 8]);
        assert_eq!(spread(3, Some(5)), [0, 1, 2]);
        assert_eq!(spread(3, None), [0, 1, 2]);
        let indices = spread(1_000_003, Some(777));
        assert_eq!(indices.len(), 777);
        assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_limit_above_the_most_examples_is_none() {
        let with = |limit, max_examples| {
            samples(&EvalOptions {
                limit,
                max_examples,
                ..EvalOptions::default()
            })
        };
        assert!(with(Some(5), None) && with(Some(5), Some(9)));
        assert!(!with(None, None) && !with(None, Some(9)));
        // Or no evaluation would ever count as the best.
        assert!(!with(Some(9), Some(9)) && !with(Some(500), Some(9)));
    }

    #[test]
    fn groups_are_taken_whole() {
        let groups = [7, 7, 7, 1, 1, 3, 7, 9, 9, 9];
        assert_eq!(sample(10, Some(&groups), Some(5)), [0, 1, 2, 5, 6]);
        assert_eq!(sample(10, Some(&groups), Some(1)), [0, 1, 2, 6]);
        assert_eq!(
            sample(10, Some(&groups), Some(50)),
            (0..10).collect::<Vec<_>>()
        );
        assert_eq!(sample(10, Some(&groups), None).len(), 10);
        assert_eq!(sample(10, None, Some(2)), [0, 5]);
    }
}
