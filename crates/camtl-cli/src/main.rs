//! `camtl`: trains, evaluates and uses conditionally adaptive multi-task models.
//!
//! One file per command under `commands`; what they share is rendering: [`failure`] (errors, hints,
//! exit codes), [`table`], [`progress`], [`logging`] and [`interrupt`]. All work is done by the
//! libraries. Standard output carries results only.

mod answer;
mod cli;
mod commands;
mod encoders;
mod engine;
mod failure;
mod interrupt;
mod logging;
mod output;
mod prediction;
mod progress;
mod request;
mod request_lines;
mod scores;
mod server;
mod several_runs;
mod table;
mod trained;
mod training;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // The pages of a step's activations are then mapped once and not in every step.
    camtl_ops::keep_freed_memory();
    let cli = cli::Cli::parse();
    let outcome = logging::install(cli.verbose, cli.quiet).and_then(|()| commands::run(&cli));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) if failure.is_broken_pipe() => ExitCode::from(failure::SUCCESS),
        Err(failure) => {
            tracing::info!(code = failure.code(), "ended with an error");
            output::note(&failure.render());
            ExitCode::from(failure.code())
        }
    }
}
