//! The commands, one file each.

mod adapt;
mod eval;
mod params;
mod predict;
mod quickstart;
mod report;
mod reproduce;
mod serve;
mod submit;
mod task;
mod train;

use crate::cli::{Cli, Command};
use crate::failure::Outcome;

/// Runs the command that was asked for.
pub(crate) fn run(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Train(args) => train::run(args, cli.quiet),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Submit(args) => submit::run(args),
        Command::Adapt(args) => adapt::run(args, cli.quiet),
        Command::Params(args) => params::run(args),
        Command::Report(args) => report::run(args),
        Command::Task(args) => task::run(args),
        Command::Quickstart(args) => quickstart::run(args, cli.quiet),
        Command::Reproduce(args) => reproduce::run(args, cli.quiet),
    }
}
