//! Progress of training and evaluation on standard error: bars on a terminal, plain lines elsewhere.
//!
//! The plain lines are sparse (about twenty for a run, plus evaluations and checkpoints), so that a
//! log file of a long run stays readable.

use std::io::IsTerminal as _;
use std::time::Duration;

use camtl_trainer::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;
use crate::table::{score, thousands};

/// Plain progress lines per run.
const LINES_PER_RUN: u64 = 20;

/// Shows what the trainer reports.
#[derive(Debug)]
pub(crate) struct Progress {
    label: String,
    shown: Shown,
    total_steps: u64,
    last_line: u64,
    first_step: u64,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

impl Progress {
    /// Progress of one run. `label` precedes every line, empty for none.
    pub(crate) fn new(label: &str, quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            Shown::Bar(bar())
        } else {
            Shown::Lines
        };
        let label = if label.is_empty() {
            String::new()
        } else {
            format!("{label}: ")
        };
        Self {
            label,
            shown,
            total_steps: 0,
            last_line: 0,
            first_step: 0,
        }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::RunStarted {
                device,
                device_reason,
                threads,
                tasks,
                total_steps,
                warmup_steps,
                total_parameters,
                trained_parameters,
                ..
            } => {
                self.total_steps = *total_steps;
                let device = match device_reason {
                    Some(reason) => format!("{device} ({reason})"),
                    None => device.clone(),
                };
                let sizes: Vec<String> = tasks
                    .iter()
                    .map(|task| format!("{} {}", task.name, thousands(task.train_examples as u64)))
                    .collect();
                self.line(&format!("training examples: {}", sizes.join(", ")));
                self.line(&format!(
                    "{} steps ({} of them warm-up), {} of {} parameters trained, {device} with {threads} thread{}",
                    thousands(*total_steps),
                    thousands(*warmup_steps),
                    thousands(*trained_parameters),
                    thousands(*total_parameters),
                    if *threads == 1 { "" } else { "s" }
                ));
            }
            Event::Resumed { step, total_steps } => {
                (self.total_steps, self.first_step, self.last_line) = (*total_steps, *step, *step);
                self.line(&format!(
                    "continuing after step {} of {}",
                    thousands(*step),
                    thousands(*total_steps)
                ));
            }
            Event::CheckpointDamaged { folder, problem } => {
                // Never silent: the run lost work, and the disk may be failing.
                output::note(&format!(
                    "warning: passed over the damaged checkpoint {}: {problem}",
                    folder.display()
                ));
            }
            Event::Progress {
                step,
                total_steps,
                loss,
                ..
            } => {
                self.total_steps = *total_steps;
                if let Shown::Bar(bar) = &self.shown {
                    bar.set_length(*total_steps);
                    bar.set_position(*step);
                    bar.set_message(format!("loss {loss:.4}"));
                }
            }
            Event::Step {
                step,
                loss,
                learning_rate,
                timing,
                ..
            } if self.is_due(*step) => {
                self.last_line = *step;
                self.plain(&format!(
                    "step {}/{}  loss {loss:.4}  learning rate {learning_rate:.2e}  {:.0} examples/s",
                    step, self.total_steps, timing.examples_per_s
                ));
            }
            Event::Evaluating { done, total, task } => {
                if let Shown::Bar(bar) = &self.shown {
                    bar.set_message(format!(
                        "evaluating {task} ({}/{})",
                        thousands(*done as u64),
                        thousands(*total as u64)
                    ));
                }
            }
            Event::Evaluated {
                step,
                average,
                task_sigma,
                best,
                ..
            } => {
                self.line(&format!(
                    "step {step}: average {}  task σ {}{}",
                    score(*average),
                    score(*task_sigma),
                    if *best { "  (best so far)" } else { "" }
                ));
            }
            Event::CheckpointSaved { folder, .. } => self.plain(&format!("saved {folder}")),
            Event::EarlyStopped {
                step,
                best_step,
                best_average,
                ..
            } => {
                self.line(&format!(
                    "stopped early at step {step}: no better average than {} of step {best_step}",
                    score(*best_average)
                ));
            }
            Event::Interrupted { step, .. } => self.line(&format!("stopped after step {step}")),
            Event::Finished { .. } => self.finish(),
            _ => {}
        }
    }

    /// Takes the bar off the terminal.
    pub(crate) fn finish(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    /// A line of the program's own, in every mode but quiet.
    pub(crate) fn line(&self, text: &str) {
        let text = format!("{}{text}", self.label);
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines => output::note(&text),
            Shown::Bar(bar) => bar.suspend(|| output::note(&text)),
        }
    }

    /// A line for those who see no bar.
    fn plain(&self, text: &str) {
        if matches!(self.shown, Shown::Lines) {
            self.line(text);
        }
    }

    /// Whether a step deserves a plain line: the first seen, then every twentieth of the run.
    fn is_due(&self, step: u64) -> bool {
        let stride = (self.total_steps / LINES_PER_RUN).max(1);
        self.last_line == self.first_step
            || step >= self.last_line + stride
            || step == self.total_steps
    }
}

impl Drop for Progress {
    /// Whatever ended the work, the terminal is left clean.
    fn drop(&mut self) {
        self.finish();
    }
}

/// A bar for a known number of units on standard error, hidden where that is no terminal.
pub(crate) fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    // The template is a constant; if indicatif ever refused it, its default bar is as good.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
