//! `cargo xtask bench`: the criterion benchmarks, one group or all.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use super::{camtl, setup};
use crate::cargo;
use crate::error::{failure, usage};
use crate::models::{MINILM, Source};
use crate::workspace::root;

pub(super) const SUMMARY: &str = "benchmarks: ops, step, sampler, data, peers";

/// The groups that run when none is named.
const GROUPS: [&str; 4] = ["ops", "step", "sampler", "data"];

const HELP: &str = "\
Runs benchmarks.

Usage: cargo xtask bench [ops|step|sampler|data|peers] [-- ARGS]

  ops         the task-conditioned operations
  step        whole training, scoring and evaluation steps at MiniLM shapes, at
              mean length 40 and at full 128: examples/s, tokens/s, the share of
              scoring and peak memory (fetches all-MiniLM-L6-v2 if it is missing)
  sampler     choosing batches, without a model
  data        reading, tokenising, packing
  peers       PyTorch on the same weights, data and machine, in the same run

Without a name: ops, step, sampler and data, one after the other. ARGS go to the
benchmark program, e.g. `cargo xtask bench ops -- layer_norm` runs what contains
`layer_norm` in its name, and `-- --save-baseline before` keeps the results.

Results are also under target/criterion. Close other programs: a busy core moves
single numbers by factors. Ratios within one run are what to compare.

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
        if matches!(group, "step" | "peers") {
            camtl::obtain(&root, MINILM, Source::usual(MINILM))?;
        }
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
