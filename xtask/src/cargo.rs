//! Starting cargo from inside `cargo run`, as if the user had.
//!
//! `cargo run` adds variables about xtask's own package, and `LIBTORCH` from `.cargo/config.toml`.
//! They are taken away again, so that a build started here has the same fingerprint as one started
//! by hand and nothing is built twice.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::error::{OrHint as _, failure};
use crate::libtorch;

/// A cargo command in the workspace's root, with xtask's own traces removed from the environment.
pub fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_own_package) {
            command.env_remove(&name);
        }
    }
    if let libtorch::Source::Managed(_) = libtorch::Source::from_environment(root) {
        command.env_remove("LIBTORCH");
    }
    command
}

/// Variables that `cargo run` sets for the program it starts.
fn describes_own_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || name.starts_with("CARGO_BIN_")
        || matches!(name, "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE")
}

/// Runs a command with our standard streams.
///
/// # Errors
/// If it cannot start or fails; `what` names it.
pub fn run(mut command: Command, what: &str) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    anyhow::ensure!(status.success(), "{what} failed ({status})");
    Ok(())
}

/// Builds the release binary `camtl` with cargo's own progress, and says where it is.
///
/// # Errors
/// If the build fails.
pub fn build_camtl(root: &Path) -> anyhow::Result<PathBuf> {
    build_binary(root, "camtl-cli", "camtl")
}

/// Builds the release binary `name` of `package` and gives its path.
pub fn build_binary(root: &Path, package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let mut command = cargo(root);
    command
        .args(["build", "--release", "--locked", "--package", package])
        .args(["--bin", name, "--message-format=json-render-diagnostics"])
        // Standard input belongs to camtl.
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        return Err(failure(
            format!("{name} could not be built; cargo's messages are above"),
            "`cargo xtask doctor` tells what the build needs and what is missing",
        ));
    }
    executable(&String::from_utf8_lossy(&output.stdout), name)
        .with_context(|| format!("cargo built {name} but did not say where it is"))
        .or_hint(|| {
            format!("this is a mistake in xtask: run `cargo build --release -p {package}` instead")
        })
}

/// The path of a binary in cargo's JSON messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let of_binary = message.get("target")?.get("name")?.as_str()? == name;
        let path = message.get("executable")?.as_str()?;
        of_binary.then(|| PathBuf::from(path))
    })
}

/// Hands this process over to `program`: its streams, signals and exit code become ours.
///
/// # Errors
/// If the program cannot be started; otherwise this does not return (on Unix).
pub fn become_program(mut command: Command) -> anyhow::Result<std::process::ExitCode> {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        let error = command.exec();
        Err(error)
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
    }
    #[cfg(not(unix))]
    {
        let status = command
            .status()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        let code = status
            .code()
            .and_then(|c| u8::try_from(c).ok())
            .unwrap_or(1);
        Ok(std::process::ExitCode::from(code))
    }
}

/// `first:second`, for variables that hold lists of folders.
pub fn joined_paths(first: &Path, rest: Option<&OsStr>) -> std::ffi::OsString {
    let mut all = vec![first.to_path_buf()];
    all.extend(rest.map(std::env::split_paths).into_iter().flatten());
    std::env::join_paths(&all).unwrap_or_else(|_| first.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"camtl_data\"},\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"camtl\"},\"executable\":\"/t/release/camtl\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(
            executable(messages, "camtl"),
            Some(PathBuf::from("/t/release/camtl"))
        );
        assert_eq!(executable(messages, "other"), None);
    }

    #[test]
    fn only_the_traces_of_cargo_run_are_removed() {
        assert!(
            describes_own_package("CARGO_PKG_NAME") && describes_own_package("CARGO_MANIFEST_DIR")
        );
        for kept in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_NET_OFFLINE",
            "CARGO",
            "CARGO_BUILD_JOBS",
        ] {
            assert!(!describes_own_package(kept), "{kept}");
        }
    }
}
