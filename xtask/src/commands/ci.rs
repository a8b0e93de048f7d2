//! `cargo xtask ci`: the tests and everything a change must keep.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use lexopt::prelude::*;

use super::{kernels, setup, test, unexpected};
use crate::cargo;
use crate::error::failure;
use crate::tidy;
use crate::workspace::root;

pub(super) const SUMMARY: &str =
    "test plus fmt, clippy, rustdoc, kernel, dependency and tidiness checks";

const HELP: &str = "\
Runs everything a change must pass.

Usage: cargo xtask ci

  tidy          every module says what it is for, no file is too long or too large,
                libraries print nothing, licences, README and changelog are there
  fmt           cargo fmt --all --check
  dependencies  camtl-files, camtl-data, xtask and glue-tables have no libtorch
  clippy        cargo clippy --workspace --all-targets --locked -- -D warnings
  docs          cargo doc --workspace --no-deps --locked with warnings denied
  kernels       as `cargo xtask kernels --check`: the CUDA kernels compile, without
                spills, in the registers of the committed table (fetches nvcc)
  test          as `cargo xtask test`

All of them run even if one fails; the end says which did. Needs the components
rustfmt and clippy (rustup component add rustfmt clippy).

  -h, --help    this text
";

/// Packages that must build without libtorch.
const WITHOUT_LIBTORCH: [&str; 4] = ["camtl-files", "camtl-data", "xtask", "glue-tables"];

pub(super) fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut parser = lexopt::Parser::from_args(args);
    match parser.next()? {
        None => {}
        Some(Short('h') | Long("help")) => {
            print!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(other) => return Err(unexpected(other, "ci")),
    }
    let root = root();
    setup::ensure_libtorch(&root, false)?;
    let cargo = |args: &[&str]| {
        let mut command = cargo::cargo(&root);
        command.args(args);
        command
    };
    let mut failed = Vec::new();
    let mut step = |name: &'static str, work: &dyn Fn() -> anyhow::Result<()>| {
        eprintln!("\n== {name}");
        let start = Instant::now();
        match work() {
            Ok(()) => eprintln!(
                "== {name}: passed in {:.0} s",
                start.elapsed().as_secs_f64()
            ),
            Err(error) => {
                eprint!("{}", crate::error::render(&error));
                eprintln!("== {name}: FAILED");
                failed.push(name);
            }
        }
    };
    step("tidy", &|| tidy_check(&root));
    step("fmt", &|| {
        component(cargo(&["fmt", "--all", "--check"]), "cargo fmt", "rustfmt")
    });
    step("dependencies", &|| {
        WITHOUT_LIBTORCH
            .iter()
            .try_for_each(|package| has_no_libtorch(&root, package))
    });
    step("clippy", &|| {
        let args = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ];
        component(cargo(&args), "cargo clippy", "clippy")
    });
    step("docs", &|| {
        let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        cargo::run(command, "cargo doc")
    });
    step("kernels", &|| kernels::check(&root).map(drop));
    step("test", &|| test::run_tests(&[]));
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(failure(
        format!("failed: {}", failed.join(", ")),
        "the reasons are above, one block per check",
    ))
}

fn component(command: Command, what: &str, component: &str) -> anyhow::Result<()> {
    use crate::error::OrHint as _;
    cargo::run(command, what).or_hint(|| {
        format!("if cargo does not know this command: rustup component add {component}")
    })
}

fn tidy_check(root: &Path) -> anyhow::Result<()> {
    let problems = tidy::check(root)?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    ensure!(problems.is_empty(), "{} tidiness problems", problems.len());
    Ok(())
}

/// No feature, build script or test of `package` may bring libtorch in.
fn has_no_libtorch(root: &Path, package: &str) -> anyhow::Result<()> {
    let mut command = cargo::cargo(root);
    command
        .args([
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal,build,dev",
        ])
        .args(["--all-features", "--prefix", "none"]);
    let output = command.output().context("cannot start cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree of {package} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<&str> = tree.lines().filter(|line| is_libtorch(line)).collect();
    ensure!(
        found.is_empty(),
        "{package} must not depend on libtorch, and its tree has {}",
        found.join(", ")
    );
    Ok(())
}

fn is_libtorch(line: &str) -> bool {
    matches!(line.split_whitespace().next(), Some("tch" | "torch-sys"))
}

#[cfg(test)]
mod tests {
    use super::is_libtorch;

    #[test]
    fn packages_are_matched_by_whole_name() {
        assert!(is_libtorch("tch v0.24.0") && is_libtorch("torch-sys v0.24.0 (*)"));
        assert!(
            !is_libtorch("tch-like v1.0.0") && !is_libtorch("") && !is_libtorch("serde v1.0.0")
        );
    }
}
