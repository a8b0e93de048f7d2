//! When the trainer saves, and what a run leaves behind.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Outcome, STATE, Trainer};
use crate::config::Export;
use crate::error::TrainError;
use crate::event::{Event, Timing};
use crate::summary::Summary;

impl Trainer {
    pub(super) fn checkpoint_is_due(&self) -> bool {
        let step = self.state.step;
        let every = self.config.checkpoint.every_steps;
        let scheduled = every > 0 && step > 0 && step.is_multiple_of(every);
        let best = self.config.checkpoint.keep_best
            && self.state.best.is_some_and(|best| best.step == step)
            && self.state.evaluated_at == Some(step);
        // The checkpoint at the end is taken after the evaluation there.
        (scheduled || best) && !self.is_over() && self.state.saved_at != Some(step)
    }

    pub(super) fn scheduled_checkpoint(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        if self.state.finished {
            self.close_window(on_event)?;
        }
        self.state.saved_at = Some(self.state.step);
        if self.folder.is_none() {
            return Ok(());
        }
        let started = Instant::now();
        self.save_checkpoint()?;
        let event = self.checkpoint_saved(started.elapsed().as_secs_f64());
        self.emit(on_event, event)
    }

    pub(super) fn checkpoint_saved(&self, took_s: f64) -> Event {
        let step = self.state.step;
        Event::CheckpointSaved {
            step,
            folder: format!("{}/step-{step}", crate::checkpoint::CHECKPOINTS),
            timing: Timing {
                run_s: self.run_s(),
                took_s,
                ..Timing::default()
            },
        }
    }

    /// Saves everything and deletes what need not be kept. Returns the folder.
    pub(super) fn save_checkpoint(&mut self) -> Result<Option<PathBuf>, TrainError> {
        // The clock starts anew so that the time saved and the time to come add up.
        self.state.totals.run_s = self.run_s();
        self.clock = Instant::now();
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        folder.note_positions(&mut self.state)?;
        self.state.optimizer_step = self.optimizer.state.step;
        self.state.sampler = self.sampler.state();
        let path = folder.store.save(self.state.step, |staged| {
            self.model.save(staged)?;
            self.optimizer.save(staged)?;
            let file = staged.join(STATE);
            let fail = |source| TrainError::io("write", &file, source);
            let text = serde_json::to_vec(&self.state).map_err(|error| fail(error.into()))?;
            std::fs::write(&file, text).map_err(fail)
        })?;
        let best = self
            .state
            .best
            .filter(|_| self.config.checkpoint.keep_best)
            .map(|best| best.step);
        folder
            .store
            .prune(self.config.checkpoint.keep_last, best.as_slice())?;
        Ok(Some(path))
    }

    pub(super) fn interrupt(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Outcome, TrainError> {
        let step = self.state.step;
        let checkpoint = match &self.folder {
            Some(folder) if self.state.saved_at == Some(step) => Some(folder.store.path(step)),
            _ => self.save_checkpoint()?,
        };
        self.emit(
            on_event,
            Event::Interrupted {
                step,
                checkpoint: checkpoint.clone(),
            },
        )?;
        Ok(Outcome::Interrupted { step, checkpoint })
    }

    /// Writes the results of a run that is over.
    pub(super) fn conclude(
        &mut self,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Summary, TrainError> {
        if let Some(folder) = &self.folder {
            let best = self
                .state
                .best
                .filter(|_| self.config.checkpoint.export == Export::Best);
            folder.export(|staged| match best {
                Some(best) if best.step != self.state.step => {
                    copy_model(&folder.store.path(best.step), staged)
                }
                _ => Ok(self.model.save(staged).map(|_| ())?),
            })?;
        }
        let summary = self.summary()?;
        let event = Event::Finished {
            step: self.state.step,
            average: summary.average,
            task_sigma: summary.task_sigma,
            timing: Timing {
                run_s: self.run_s(),
                ..Timing::default()
            },
        };
        self.emit(on_event, event)?;
        if let Some(folder) = &self.folder {
            folder.write_summary(&summary)?;
            if !self.config.checkpoint.keep_when_finished {
                folder.store.prune(0, &[])?;
            }
        }
        Ok(summary)
    }
}

/// Copies the weights and their description out of a checkpoint.
fn copy_model(checkpoint: &Path, staged: &Path) -> Result<(), TrainError> {
    for name in [crate::run_folder::MODEL_FILE, "camtl.json"] {
        let source = checkpoint.join(name);
        std::fs::copy(&source, staged.join(name))
            .map_err(|error| TrainError::io("copy", &source, error))?;
    }
    Ok(())
}
