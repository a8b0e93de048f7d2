//! `camtl quickstart`: CA-MTL against two baselines, on generated data, from a generated encoder.
//!
//! [`plan`] has every budget and setting, [`suite`] puts the data and the encoder on disk,
//! [`methods`] trains, [`comparison`] makes the table and `summary.json`. Everything goes through the
//! ordinary trainer, and the folders that are left are ordinary run folders.

mod comparison;
mod methods;
mod plan;
mod suite;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cli::QuickstartArgs;
use crate::failure::{Failure, INTERRUPTED, OrFail, Outcome, SUCCESS};
use crate::{interrupt, output};
use comparison::Comparison;
use plan::Plan;

/// What an earlier quickstart is recognised by.
const MARKER: &str = "quickstart.json";

/// Where a quickstart leaves its parts while it works and when it is done.
struct Places {
    /// The folder of the result.
    result: PathBuf,
    /// The folder that is worked in; it becomes the result when all is done.
    work: PathBuf,
}

/// Why a stage ended without its result.
enum Halt {
    /// Ctrl-C.
    Stopped,
    /// Something failed.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the command.
pub(crate) fn run(args: &QuickstartArgs, quiet: bool) -> Outcome {
    let started = Instant::now();
    let stop = interrupt::install()?;
    let plan = Plan::new(args.seed, args.threads, args.scale)?;
    let places = Places::new(&args.run)?;
    let _lock = places.prepare()?;
    let result = stages(&plan, &places, quiet, &stop);
    let comparison = match result {
        Ok(comparison) => comparison,
        Err(halt) => {
            places.abandon();
            return match halt {
                Halt::Stopped => {
                    output::note("stopped; an earlier result is untouched");
                    Ok(INTERRUPTED)
                }
                Halt::Failed(failure) => Err(failure),
            };
        }
    };
    places.finish()?;
    output::result(&comparison.render(&places.result, started.elapsed()))?;
    Ok(SUCCESS)
}

fn stages(
    plan: &Plan,
    places: &Places,
    quiet: bool,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<Comparison, Halt> {
    let suite = suite::write(plan, places)?;
    let warm_start = suite::warm_up(plan, places, &suite, quiet, stop)?;
    let methods = methods::train_all(plan, places, &suite, quiet, stop)?;
    let comparison = Comparison::new(plan, &suite, warm_start, methods)?;
    comparison.write(&places.work)?;
    Ok(comparison)
}

impl Places {
    /// Checks that the result folder is ours to replace.
    fn new(result: &Path) -> Result<Self, Failure> {
        let name = result.file_name().ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "{} has no name of its own",
                result.display()
            ))
            .hint("name a folder, e.g. --run runs/quickstart")
        })?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".partial");
        let empty = || std::fs::read_dir(result).is_ok_and(|mut entries| entries.next().is_none());
        if result.exists() && !result.join(MARKER).is_file() && !empty() {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} exists and is no result of an earlier quickstart",
                result.display()
            ))
            .hint("choose another folder with --run"));
        }
        Ok(Self {
            result: result.to_path_buf(),
            work: result.with_file_name(hidden),
        })
    }

    /// An empty work folder, locked against a second quickstart.
    fn prepare(&self) -> Result<File, Failure> {
        let context = || format!("cannot prepare the work folder {}", self.work.display());
        std::fs::create_dir_all(&self.work).or_work(context)?;
        let lock = File::create(self.work.with_extension("lock")).or_work(context)?;
        if lock.try_lock().is_err() {
            return Err(Failure::usage(anyhow::anyhow!(
                "another quickstart is at work in {}",
                self.work.display()
            ))
            .hint("wait for it, or choose another folder with --run"));
        }
        // What a killed quickstart left: its parts, or an earlier result on its way to be replaced.
        let old = self.work.with_extension("old");
        if old.exists() && !self.result.exists() {
            std::fs::rename(&old, &self.result).or_work(context)?;
        }
        std::fs::remove_dir_all(&self.work).or_work(context)?;
        std::fs::create_dir_all(&self.work).or_work(context)?;
        std::fs::write(
            self.work.join(MARKER),
            format!("{{\"version\":\"{}\"}}\n", env!("CARGO_PKG_VERSION")),
        )
        .or_work(context)?;
        Ok(lock)
    }

    /// Puts the work folder in the result's place.
    fn finish(&self) -> Result<(), Failure> {
        let context = || {
            format!(
                "cannot put the result in place as {}",
                self.result.display()
            )
        };
        let old = self.work.with_extension("old");
        if old.exists() {
            std::fs::remove_dir_all(&old).or_work(context)?;
        }
        if self.result.exists() {
            std::fs::rename(&self.result, &old).or_work(context)?;
        }
        if let Err(error) = std::fs::rename(&self.work, &self.result) {
            if old.exists() {
                std::fs::rename(&old, &self.result).or_work(context)?;
            }
            return Err(error).or_work(context);
        }
        if old.exists() {
            std::fs::remove_dir_all(&old).or_work(context)?;
        }
        self.remove_lock();
        Ok(())
    }

    /// Removes what was begun. Nothing depends on it: the next quickstart would remove it too.
    fn abandon(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.work) {
            tracing::warn!("{} could not be removed: {error}", self.work.display());
        }
        self.remove_lock();
    }

    fn remove_lock(&self) {
        if let Err(error) = std::fs::remove_file(self.work.with_extension("lock")) {
            tracing::warn!(
                "the lock of {} could not be removed: {error}",
                self.work.display()
            );
        }
    }
}
