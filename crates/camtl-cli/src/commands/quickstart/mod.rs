//! `camtl quickstart`: CA-MTL against two baselines, on generated data, from a generated encoder.
//!
//! [`plan`] has every budget and setting, [`suite`] puts the data and the encoder on disk,
//! [`methods`] trains, [`comparison`] makes the table and `summary.json`. Everything goes through the
//! ordinary trainer, and the folders that are left are ordinary run folders.

mod comparison;
mod methods;
mod plan;
mod suite;

use std::path::{Path, PathBuf};
use std::time::Instant;

use camtl_files::{FileLock, LockError, StagedFolder};

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
    staged: StagedFolder,
    _lock: OwnLock,
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
    let comparison = match stages(&plan, &places, quiet, &stop) {
        Ok(comparison) => comparison,
        Err(Halt::Stopped) => {
            output::note("stopped; an earlier result is untouched");
            return Ok(INTERRUPTED);
        }
        Err(Halt::Failed(failure)) => return Err(failure),
    };
    let result = places.result.clone();
    places.finish()?;
    output::result(&comparison.render(&result, started.elapsed()))?;
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
    /// Checks that the result folder is ours to replace, and makes an empty one to work in, locked
    /// against a second quickstart.
    fn new(result: &Path) -> Result<Self, Failure> {
        let name = result.file_name().ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "{} has no name of its own",
                result.display()
            ))
            .hint("name a folder, e.g. --run runs/quickstart")
        })?;
        let empty = || std::fs::read_dir(result).is_ok_and(|mut entries| entries.next().is_none());
        if result.exists() && !result.join(MARKER).is_file() && !empty() {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} exists and is no result of an earlier quickstart",
                result.display()
            ))
            .hint("choose another folder with --run"));
        }
        let context = || format!("cannot prepare a work folder for {}", result.display());
        if let Some(parent) = result.parent() {
            std::fs::create_dir_all(parent).or_work(context)?;
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".lock");
        let lock_file = result.with_file_name(hidden);
        let lock = match FileLock::try_take(&lock_file) {
            Ok(lock) => lock,
            Err(error @ LockError::Held { .. }) => {
                return Err(Failure::usage(anyhow::anyhow!(
                    "another quickstart is at work for {}: {error}",
                    result.display()
                ))
                .hint("wait for it, or choose another folder with --run"));
            }
            Err(LockError::Io(error)) => return Err(error).or_work(context),
        };
        let staged = StagedFolder::create(result).or_work(context)?;
        std::fs::write(
            staged.path().join(MARKER),
            format!("{{\"version\":\"{}\"}}\n", env!("CARGO_PKG_VERSION")),
        )
        .or_work(context)?;
        Ok(Self {
            result: result.to_path_buf(),
            work: staged.path().to_path_buf(),
            staged,
            _lock: OwnLock {
                lock_file,
                _lock: lock,
            },
        })
    }

    /// Puts the work folder in the result's place.
    fn finish(self) -> Result<(), Failure> {
        self.staged.commit().or_work(|| {
            format!(
                "cannot put the result in place as {}",
                self.result.display()
            )
        })
    }
}

/// The lock of a quickstart; its file goes with it.
struct OwnLock {
    lock_file: PathBuf,
    _lock: FileLock,
}

impl Drop for OwnLock {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.lock_file) {
            tracing::warn!("{} could not be removed: {error}", self.lock_file.display());
        }
    }
}
