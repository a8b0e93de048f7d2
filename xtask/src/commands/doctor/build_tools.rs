//! System, Rust, C++ compiler, Python with pip.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Check, Status, first_line};
use crate::python::Python;

pub(super) fn checks(root: &Path, python: &anyhow::Result<Python>) -> Vec<Check> {
    vec![
        system(),
        rust(root),
        components(),
        compiler(),
        python_check(python),
        pip(python),
    ]
}

/// The pinned wheels need Linux, x86_64 and glibc 2.28.
fn system() -> Check {
    let here = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    if here != "linux x86_64" {
        return Check::new(
            "system",
            Status::Warn,
            format!("{here}: `cargo xtask setup` has libtorch for linux x86_64 only"),
            "get libtorch 2.11.0 for this system and set LIBTORCH to its folder",
        );
    }
    match first_line("getconf", &["GNU_LIBC_VERSION"]) {
        Some(glibc) if older(&glibc, 2, 28) => Check::new(
            "system",
            Status::Error,
            format!("{here}, {glibc}: libtorch 2.11.0 needs glibc 2.28 or newer"),
            "use a newer system (Debian 10, Ubuntu 20.04, RHEL 8 or later)",
        ),
        Some(glibc) => Check::ok("system", format!("{here}, {glibc}")),
        None => Check::new(
            "system",
            Status::Warn,
            format!("{here}, without glibc"),
            "libtorch's wheels are built for glibc; on Alpine use a Debian container",
        ),
    }
}

/// True if `text` ends in a version below `major.minor`.
fn older(text: &str, major: u32, minor: u32) -> bool {
    let version = text
        .split_whitespace()
        .find(|w| w.starts_with(|c: char| c.is_ascii_digit()));
    let mut numbers = version
        .unwrap_or_default()
        .split('.')
        .map(|n| n.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(Some(a)), Some(Some(b))) => (a, b) < (major, minor),
        _ => false,
    }
}

fn rust(root: &Path) -> Check {
    let needed = std::fs::read_to_string(root.join("Cargo.toml"))
        .ok()
        .and_then(|t| t.parse::<toml::Table>().ok())
        .and_then(|t| {
            let version = t
                .get("workspace")?
                .get("package")?
                .get("rust-version")?
                .as_str()?;
            let (major, minor) = version.split_once('.')?;
            Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
        });
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    match (first_line(&rustc, &["--version"]), needed) {
        (None, _) => Check::new(
            "rust",
            Status::Error,
            "rustc does not start",
            "install Rust from https://rustup.rs",
        ),
        (Some(version), Some((major, minor))) if older(&version, major, minor) => Check::new(
            "rust",
            Status::Error,
            format!("{version}; {major}.{minor} or newer is needed"),
            "rustup update stable",
        ),
        (Some(version), _) => Check::ok("rust", version),
    }
}

fn components() -> Check {
    let missing: Vec<&str> = [("rustfmt", "rustfmt"), ("cargo-clippy", "clippy")]
        .into_iter()
        .filter(|(program, _)| first_line(program, &["--version"]).is_none())
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Check::ok("components", "rustfmt, clippy");
    }
    Check::new(
        "components",
        Status::Note,
        format!("no {} (only `cargo xtask ci` needs it)", missing.join(", ")),
        format!("rustup component add {}", missing.join(" ")),
    )
}

fn compiler() -> Check {
    let program = std::env::var("CXX")
        .ok()
        .filter(|c| !c.is_empty())
        .unwrap_or_else(|| "c++".into());
    let remedy = "install a C++17 compiler (Debian and Ubuntu: apt install g++), or set CXX to one";
    let Some(version) = first_line(&program, &["--version"]) else {
        return Check::new(
            "c++",
            Status::Error,
            format!("`{program}` does not start"),
            remedy,
        );
    };
    if compiles_cpp17(&program) {
        Check::ok("c++", format!("`{program}`: {version}"))
    } else {
        Check::new(
            "c++",
            Status::Error,
            format!("`{program}` ({version}) does not compile C++17"),
            remedy,
        )
    }
}

/// A header of the library as well: a compiler without its headers is of no use.
fn compiles_cpp17(program: &str) -> bool {
    let source = b"#include <optional>\nint main() { std::optional<int> x{0}; if (auto y = x; y) return *y; }\n";
    let child = Command::new(program)
        .args(["-std=c++17", "-fsyntax-only", "-x", "c++", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let written = child
        .stdin
        .take()
        .is_some_and(|mut stdin| stdin.write_all(source).is_ok());
    child.wait().is_ok_and(|status| written && status.success())
}

fn python_check(python: &anyhow::Result<Python>) -> Check {
    match python {
        Ok(python) => Check::ok(
            "python",
            format!("`{}` {}", python.program.display(), python.version),
        ),
        Err(error) => Check::new(
            "python",
            Status::Error,
            error.to_string(),
            "install Python 3.8 or newer with pip, or set PYTHON to one; only set-up needs it",
        ),
    }
}

fn pip(python: &anyhow::Result<Python>) -> Check {
    let remedy =
        "install pip (Debian and Ubuntu: apt install python3-pip; else python3 -m ensurepip)";
    match python.as_ref().map(Python::pip_version) {
        Ok(Ok(version)) => Check::ok("pip", version),
        Ok(Err(error)) => Check::new("pip", Status::Error, error.to_string(), remedy),
        Err(_) => Check::new("pip", Status::Error, "no Python, so no pip", remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::older;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(older("glibc 2.9", 2, 28) && older("rustc 1.94.1 (abc 2026-01-01)", 1, 95));
        assert!(!older("glibc 2.36", 2, 28) && !older("rustc 2.0.0", 1, 95) && !older("", 1, 95));
    }
}
