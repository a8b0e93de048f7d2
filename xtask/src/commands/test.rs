//! `cargo xtask test`: set up, then every test of the workspace, documentation tests included.

use std::ffi::OsString;
use std::process::ExitCode;

use super::setup;
use crate::cargo;
use crate::error::OrHint as _;
use crate::workspace::root;

pub(super) const SUMMARY: &str = "all tests with documentation tests";

const HELP: &str = "\
Sets up what is missing and runs all tests with documentation tests.

Usage: cargo xtask test [-- ARGS]

This is `cargo test --workspace --locked ARGS`. Names of packages in ARGS (-p X)
replace --workspace, so `cargo xtask test -- -p camtl-data sampler` runs that
package's tests whose name contains `sampler`.

No network and no GPU are needed once libtorch is set up. From nothing it takes
up to 20 minutes on 2 cores, nearly all of it building; afterwards a few minutes.

Tests that use real data or the authors' numbers run in addition when
CAMTL_DATA_DIR or CAMTL_GOLDEN_DIR names a folder that has them.

  -h, --help  this text
";

pub(super) fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let passed = match after_dashes(args, "test", HELP)? {
        Some(passed) => passed,
        None => return Ok(ExitCode::SUCCESS),
    };
    run_tests(&passed)?;
    Ok(ExitCode::SUCCESS)
}

/// `cargo test` on the whole workspace, or on the packages named in `args`.
pub(super) fn run_tests(args: &[OsString]) -> anyhow::Result<()> {
    let root = root();
    setup::ensure_libtorch(&root, false)?;
    let mut command = cargo::cargo(&root);
    command.arg("test");
    if !names_packages(args) {
        command.arg("--workspace");
    }
    command.arg("--locked").args(args);
    cargo::run(command, "cargo test").or_hint(|| {
        "what failed is named above; if building failed, try `cargo xtask doctor`".into()
    })
}

fn names_packages(args: &[OsString]) -> bool {
    args.iter()
        .map(|a| a.to_string_lossy())
        .take_while(|a| a != "--")
        .any(|a| {
            a == "-p" || a == "--package" || a.starts_with("--package=") || a == "--manifest-path"
        })
}

/// What follows `--`; `None` if help was asked for and printed.
pub(super) fn after_dashes(
    args: Vec<OsString>,
    command: &str,
    help: &str,
) -> anyhow::Result<Option<Vec<OsString>>> {
    match args.first().and_then(|a| a.to_str()) {
        None => Ok(Some(Vec::new())),
        Some("--") => Ok(Some(args.into_iter().skip(1).collect())),
        Some("-h" | "--help") => {
            print!("{help}");
            Ok(None)
        }
        Some(other) => Err(crate::error::usage(
            format!("`cargo xtask {command}` does not take `{other}`"),
            format!("arguments for cargo come after two dashes: cargo xtask {command} -- {other}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_recognised_before_the_second_dashes_only() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(names_packages(&args(&["-p", "camtl-data"])));
        assert!(names_packages(&args(&["--package=camtl-data"])));
        assert!(!names_packages(&args(&["--", "-p"])));
        assert!(!names_packages(&args(&["sampler"])));
    }
}
