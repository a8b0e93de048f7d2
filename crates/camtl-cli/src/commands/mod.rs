//! The commands, one file each.

use crate::cli::{Cli, Command};
use crate::failure::{Failure, Outcome};

/// Runs the command that was asked for.
pub(crate) fn run(cli: &Cli) -> Outcome {
    match &cli.command {
        _ => Err(Failure::work(anyhow::anyhow!("not yet"))),
    }
}
