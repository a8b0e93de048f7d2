//! camtl and PyTorch on the same weights, batches and machine, by turns.
//!
//! `cargo xtask bench peers` runs this program. It writes a folder with random
//! weights of MiniLM shapes and batches of two lengths, starts three programs on
//! it (camtl's step, the released model in plain eager PyTorch, and a tuned form
//! of that), checks that their losses agree, and then lets them work by turns:
//! only one works at a time, and whatever slows the machine slows all three.

mod compare;
mod exchange;
mod process;
mod report;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use lexopt::prelude::*;

const HELP: &str = "\
camtl against PyTorch on the same work.

Usage: peers --python PROGRAM [--quick] [--rounds N] [--threads N] [--json FILE]

  --python PROGRAM  a Python 3 that can import torch 2.x
  --quick           3 rounds instead of 6
  --rounds N        rounds; in each, each system does each kind of step twice at a time,
                    and the second is measured
  --threads N       threads of each system (default: the processors, at most 8)
  --json FILE       also write every measured time to FILE
  -h, --help        this text
";

/// What to measure.
#[derive(Debug)]
struct Options {
    python: PathBuf,
    rounds: usize,
    threads: usize,
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<OsString>) -> anyhow::Result<()> {
    // The program starts itself as the process that does camtl's steps.
    if let [first, folder, threads] = &args[..]
        && first == worker::COMMAND
    {
        let threads = threads.to_string_lossy();
        let threads = threads.parse().context("the number of threads")?;
        return worker::run(folder.as_ref(), threads);
    }
    match parse(args)? {
        Some(options) => compare::run(&options),
        None => {
            print!("{HELP}");
            Ok(())
        }
    }
}

/// The options, or none if help was asked for.
fn parse(args: Vec<OsString>) -> anyhow::Result<Option<Options>> {
    let (mut python, mut rounds, mut threads, mut json) = (None, 6, None, None);
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(None),
            Long("python") => python = Some(PathBuf::from(parser.value()?)),
            Long("quick") => rounds = 3,
            Long("rounds") => rounds = parser.value()?.parse()?,
            Long("threads") => threads = Some(parser.value()?.parse()?),
            Long("json") => json = Some(PathBuf::from(parser.value()?)),
            other => return Err(other.unexpected()).context("`--help` lists the options"),
        }
    }
    let python = python.context("--python is missing: a Python 3 that can import torch")?;
    let threads = threads.unwrap_or_else(|| {
        let processors = std::thread::available_parallelism();
        processors.map_or(1, |n| n.get().min(8))
    });
    anyhow::ensure!(
        rounds > 0 && threads > 0,
        "--rounds and --threads must be at least 1"
    );
    Ok(Some(Options {
        python,
        rounds,
        threads,
        json,
    }))
}
