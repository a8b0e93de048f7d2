//! `cargo xtask doctor`: what is there, what is missing, and what to do about it.

mod build_tools;
mod cuda;
mod libraries;
mod storage;

use std::ffi::OsString;
use std::process::ExitCode;

use lexopt::prelude::*;
use serde::Serialize;

use super::unexpected;
use crate::python::Python;
use crate::workspace::root;

pub(super) const SUMMARY: &str = "what is there, what is missing, and the remedy";

const HELP: &str = "\
Looks at everything the workspace needs and says how to mend what is missing.

Usage: cargo xtask doctor [--json]

  --json      one JSON object: {\"ok\": ..., \"checks\": [{\"name\", \"status\", \"message\",
              \"remedy\"}]}
  -h, --help  this text

The status of a line:
  ok     it is there and works
  note   not there, and only needed for some commands
  warn   it works but will be in the way
  error  building or running will fail

Nothing is changed and nothing is downloaded. The exit code is 1 if there is an error.
";

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Note,
    Warn,
    Error,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            message: message.into(),
            remedy: None,
        }
    }

    fn new(
        name: &'static str,
        status: Status,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            status,
            message: message.into(),
            remedy: Some(remedy.into()),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

pub(super) fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut json = false;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("json") => json = true,
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            other => return Err(unexpected(other, "doctor")),
        }
    }
    let root = root();
    let python = Python::find();
    let mut checks = build_tools::checks(&root, &python);
    checks.extend(libraries::checks(&root, &python));
    checks.extend(cuda::checks(&root));
    checks.extend(storage::checks(&root));
    let ok = checks.iter().all(|c| c.status != Status::Error);
    if json {
        println!("{}", serde_json::to_string_pretty(&Report { ok, checks })?);
    } else {
        for check in &checks {
            println!(
                "{:<6}{:<14}{}",
                check.status.word(),
                check.name,
                check.message
            );
            if let Some(remedy) = &check.remedy {
                println!("{:<20}-> {remedy}", "");
            }
        }
    }
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The first line a program prints when asked, or `None` if it does not start or fails.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program)
        .args(args)
        .stdin(std::process::Stdio::null())
        .output()
        .ok()
        .filter(|o| o.status.success())?;
    Some(
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    )
}
