//! Logging: the libraries' `tracing` events, rendered to standard error and to a run's camtl.log.
//!
//! Standard error shows warnings (more with `-v`, or as `CAMTL_LOG` says); the log file of a run is
//! attached once the run folder is known and takes everything from `info` on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::{Failure, OrFail};

/// The environment variable that sets what is logged.
pub(crate) const LOG_VARIABLE: &str = "CAMTL_LOG";

static LOG_FILE: OnceLock<Attachable> = OnceLock::new();

/// Installs the subscriber.
///
/// # Errors
/// If `CAMTL_LOG` is not a filter.
pub(crate) fn install(verbose: u8, quiet: bool) -> Result<(), Failure> {
    let default = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "debug",
        (_, _) => "trace",
    };
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&wanted).or_usage(|| {
        format!("{LOG_VARIABLE}={wanted} is not a log filter; try info, or camtl_trainer=debug")
    })?;
    let file = LOG_FILE.get_or_init(Attachable::default).clone();
    let to_stderr = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_filter(filter);
    let to_file = tracing_subscriber::fmt::layer()
        .with_writer(file)
        .with_ansi(false)
        .with_filter(EnvFilter::new("info"));
    tracing_subscriber::registry()
        .with(to_stderr)
        .with(to_file)
        .try_init()
        .or_work(|| "cannot install logging".to_owned())
}

/// Appends what is logged from now on to `camtl.log` in the run folder, which is created.
///
/// # Errors
/// If the folder or the file cannot be created.
pub(crate) fn attach(run_dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(run_dir)
        .or_work(|| format!("cannot create the run folder {}", run_dir.display()))?;
    let path = run_dir.join("camtl.log");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .or_work(|| format!("cannot open the log file {}", path.display()))?;
    if let Some(slot) = LOG_FILE.get() {
        slot.set(Some(file));
    }
    Ok(())
}

/// A writer whose file comes later; until then it swallows.
#[derive(Debug, Clone, Default)]
struct Attachable(Arc<Mutex<Option<File>>>);

impl Attachable {
    fn set(&self, file: Option<File>) {
        // A panic while logging cannot leave a file half-replaced: the value is still whole.
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = file;
    }
}

impl Write for Attachable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            // A full disk must not end the run through its log; the run's own writes report it.
            Some(file) => Ok(file.write(bytes).unwrap_or(bytes.len())),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Attachable {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
