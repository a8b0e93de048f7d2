//! `cargo xtask bench`: the criterion benchmarks, one group or all, and the comparison with PyTorch.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::setup;
use crate::cargo;
use crate::error::{failure, usage};
use crate::libtorch;
use crate::python::Python;
use crate::workspace::root;

pub(super) const SUMMARY: &str = "benchmarks: ops, step, sampler, data, peers";

/// The groups that run when none is named.
const GROUPS: [&str; 4] = ["ops", "step", "sampler", "data"];

const HELP: &str = "\
Runs benchmarks.

Usage: cargo xtask bench [ops|step|sampler|data|peers] [-- ARGS]

  ops         the task-conditioned operations
  step        whole training and scoring steps at MiniLM shapes, at mean length 40
              and at full 128, with fused operations and with their definitions:
              examples/s, tokens/s, the share of scoring and peak memory
  sampler     choosing batches, without a model
  data        reading, tokenising, packing
  peers       whole steps by turns with PyTorch, on the same weights and batches

Without a name: ops, step, sampler and data, one after the other. ARGS go to the
benchmark program, e.g. `cargo xtask bench ops -- layer_norm` runs what contains
`layer_norm` in its name, and `-- --save-baseline before` keeps the results.

Results are also under target/criterion. Close other programs: a busy core moves
single numbers by factors. Ratios within one run are what to compare.

peers needs a Python 3 with PyTorch 2.x, and nothing else of it: the program that
CAMTL_PYTHON names, else PYTHON, python3 or python. Its ARGS: --quick (3 rounds
instead of 6), --rounds N, --threads N, --json FILE. Losses must agree first.

  -h, --help  this text
";

pub(super) fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut args = args.into_iter().peekable();
    let mut groups: Vec<&str> = GROUPS.to_vec();
    if let Some(first) = args.peek().map(|a| a.to_string_lossy().into_owned())
        && first != "--"
    {
        args.next();
        match first.as_str() {
            "-h" | "--help" => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            "peers" => groups = vec!["peers"],
            name => match GROUPS.iter().find(|g| **g == name) {
                Some(group) => groups = vec![group],
                None => {
                    return Err(usage(
                        format!("no such benchmark `{name}`"),
                        "the benchmarks are ops, step, sampler, data and peers",
                    ));
                }
            },
        }
    }
    let passed: Vec<OsString> = match args.next() {
        None => Vec::new(),
        Some(dashes) if dashes == "--" => args.collect(),
        Some(other) => {
            return Err(usage(
                format!(
                    "`cargo xtask bench` does not take `{}`",
                    other.to_string_lossy()
                ),
                "arguments for the benchmark come after two dashes",
            ));
        }
    };
    let root = root();
    if groups == ["peers"] {
        return peers(&root, passed);
    }
    for group in &groups {
        if !has_bench(&root, group) {
            return Err(failure(
                format!("the benchmark `{group}` does not exist yet"),
                "benches/Cargo.toml lists those that do",
            ));
        }
    }
    setup::ensure_libtorch(&root, false)?;
    for group in groups {
        let mut command = cargo::cargo(&root);
        command.args([
            "bench",
            "--locked",
            "--package",
            "camtl-benches",
            "--bench",
            group,
            "--",
        ]);
        command.args(&passed);
        cargo::run(command, &format!("the benchmark `{group}`"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the program that compares, and hands over to it.
fn peers(root: &Path, mut passed: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let asks_for_help = passed.iter().any(|arg| arg == "-h" || arg == "--help");
    // cargo starts the program in the workspace's folder; FILE is meant from the caller's.
    let file = passed
        .iter()
        .position(|arg| arg == "--json")
        .map(|at| at + 1);
    if let Some(file) = file.and_then(|at| passed.get_mut(at)) {
        let cwd = std::env::current_dir().context("cannot tell the current folder")?;
        *file = cwd.join(&*file).into_os_string();
    }
    let python = match asks_for_help {
        true => None,
        // Before the build, which takes minutes.
        false => Some(python_with_torch()?),
    };
    setup::ensure_libtorch(root, false)?;
    let mut command = cargo::cargo(root);
    command.args(["run", "--release", "--locked"]);
    command.args(["--package", "camtl-benches", "--bin", "peers", "--"]);
    if let Some(python) = python {
        command.arg("--python").arg(python.program);
    }
    command.args(passed);
    cargo::run(command, "the comparison with PyTorch")?;
    Ok(ExitCode::SUCCESS)
}

/// The Python that CAMTL_PYTHON names, or else the usual one, if it imports PyTorch 2.
fn python_with_torch() -> anyhow::Result<Python> {
    let python = match std::env::var_os("CAMTL_PYTHON").filter(|p| !p.is_empty()) {
        Some(program) => Python::named(Path::new(&program), "CAMTL_PYTHON")?,
        None => Python::find()?,
    };
    let found = python.eval("import torch; print(torch.__version__)", &[]);
    match found {
        Ok(version) if version.starts_with("2.") => Ok(python),
        found => Err(failure(
            format!(
                "`{}` (Python {}) has no PyTorch 2: {}",
                python.program.display(),
                python.version,
                match found {
                    Ok(version) => format!("its PyTorch is {version}"),
                    Err(error) => format!("{error}"),
                }
            ),
            format!(
                "make one, e.g. `python3 -m venv peers && peers/bin/pip install torch=={} \
                 --index-url https://download.pytorch.org/whl/cpu`, and run \
                 `CAMTL_PYTHON=$PWD/peers/bin/python cargo xtask bench peers`",
                libtorch::VERSION
            ),
        )),
    }
}

/// True if the benchmark package has a target of this name.
fn has_bench(root: &Path, group: &str) -> bool {
    let benches = root.join("benches");
    let declared = std::fs::read_to_string(benches.join("Cargo.toml"))
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .and_then(|manifest| {
            let list = manifest.get("bench")?.as_array()?.clone();
            Some(
                list.iter()
                    .any(|b| b.get("name").and_then(|n| n.as_str()) == Some(group)),
            )
        })
        .unwrap_or(false);
    declared
        || benches
            .join("benches")
            .join(format!("{group}.rs"))
            .is_file()
}
