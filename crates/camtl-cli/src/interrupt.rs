//! Ctrl-C: the first asks the work to save and stop, the second stops the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::failure::{Failure, INTERRUPTED, OrFail};
use crate::output;

/// Installs the handler for SIGINT, SIGTERM and SIGHUP and returns the flag it raises.
///
/// # Errors
/// If the operating system refuses a handler, which leaves a run that could not be stopped cleanly.
pub(crate) fn install() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let presses = AtomicUsize::new(0);
    ctrlc::set_handler(move || {
        if presses.fetch_add(1, Ordering::SeqCst) == 0 {
            raised.store(true, Ordering::SeqCst);
            output::note("stopping after this step and saving; press Ctrl-C again to stop at once");
        } else {
            // Checkpoints are written to a temporary name and renamed, so leaving here loses
            // the steps since the last one and nothing else.
            camtl_ops::exit_at_once(i32::from(INTERRUPTED));
        }
    })
    .or_work(|| "cannot install the handler for Ctrl-C".to_owned())?;
    Ok(stop)
}
