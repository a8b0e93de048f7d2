//! `camtl quickstart`
use crate::cli::QuickstartArgs;
use crate::failure::{Failure, Outcome};
pub(crate) fn run(_args: &QuickstartArgs, _quiet: bool) -> Outcome {
    Err(Failure::work(anyhow::anyhow!("not yet")))
}
