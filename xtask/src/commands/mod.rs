//! One file per command, and the table that finds them.

pub mod bench;
pub mod camtl;
pub mod ci;
pub mod doctor;
pub mod download;
pub mod gpu_check;
pub mod kernels;
pub mod setup;
pub mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::error::usage;

/// A command: its name, one line for the overview, its help and what it does.
struct Command {
    name: &'static str,
    summary: &'static str,
    run: fn(Vec<OsString>) -> anyhow::Result<ExitCode>,
}

/// Commands that xtask does itself.
const OWN: [Command; 8] = [
    Command {
        name: "setup",
        summary: setup::SUMMARY,
        run: setup::run,
    },
    Command {
        name: "doctor",
        summary: doctor::SUMMARY,
        run: doctor::run,
    },
    Command {
        name: "test",
        summary: test::SUMMARY,
        run: test::run,
    },
    Command {
        name: "ci",
        summary: ci::SUMMARY,
        run: ci::run,
    },
    Command {
        name: "bench",
        summary: bench::SUMMARY,
        run: bench::run,
    },
    Command {
        name: "kernels",
        summary: kernels::SUMMARY,
        run: kernels::run,
    },
    Command {
        name: "gpu-check",
        summary: gpu_check::SUMMARY,
        run: gpu_check::run,
    },
    Command {
        name: "download",
        summary: download::SUMMARY,
        run: download::run,
    },
];

/// Finds the command and runs it.
///
/// # Errors
/// Whatever the command fails with; an unknown command is a usage error.
pub fn dispatch(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut args = args.into_iter();
    let Some(first) = args.next() else {
        print!("{}", overview());
        return Ok(ExitCode::SUCCESS);
    };
    let rest: Vec<OsString> = args.collect();
    let name = first.to_string_lossy().into_owned();
    if matches!(name.as_str(), "-h" | "--help" | "help") {
        // `help X` is `X --help`.
        return match rest.first() {
            Some(command) => dispatch(vec![command.clone(), "--help".into()]),
            None => {
                print!("{}", overview());
                Ok(ExitCode::SUCCESS)
            }
        };
    }
    if let Some(command) = OWN.iter().find(|c| c.name == name) {
        return (command.run)(rest);
    }
    if camtl::PASSED_ON.iter().any(|(n, _)| *n == name) {
        return camtl::run(&name, rest);
    }
    Err(usage(
        format!("no such command `{name}`"),
        suggestion(&name),
    ))
}

fn suggestion(name: &str) -> String {
    let all = || {
        OWN.iter()
            .map(|c| c.name)
            .chain(camtl::PASSED_ON.iter().map(|(n, _)| *n))
    };
    let begun = all().find(|n| name.len() > 1 && n.starts_with(name));
    match begun.or_else(|| camtl_files::nearest(name, all())) {
        Some(n) => format!("did you mean `{n}`? `cargo xtask` lists all commands"),
        None => "`cargo xtask` lists all commands".into(),
    }
}

fn overview() -> String {
    let mut text = String::from(
        "camtl: train, evaluate and use conditionally adaptive multi-task models\n\n\
         Usage: cargo xtask COMMAND [ARGS]\n\nWorkspace:\n",
    );
    let line = |name: &str, summary: &str| format!("  {name:<12}{summary}\n");
    for command in &OWN {
        text.push_str(&line(command.name, command.summary));
    }
    text.push_str("\nThe camtl program (built on first use, after setting up what is missing):\n");
    for (name, summary) in camtl::PASSED_ON {
        text.push_str(&line(name, summary));
    }
    text.push_str(
        "\nStart with `cargo xtask quickstart`: it needs no data.\n\
         `cargo xtask COMMAND --help` tells more. Exit codes: 0 success, 1 the work failed, 2 bad usage.\n",
    );
    text
}

/// An argument that a command does not take.
pub(crate) fn unexpected(arg: lexopt::Arg<'_>, command: &str) -> anyhow::Error {
    usage(
        arg.unexpected(),
        format!("`cargo xtask {command} --help` lists what it takes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_commands_get_a_suggestion() {
        assert!(suggestion("quikstart").contains("`quickstart`"));
        assert!(suggestion("trian").contains("`train`"));
        assert!(suggestion("down").contains("`download`"));
        assert!(!suggestion("zzzzzzzz").contains("did you mean"));
    }

    #[test]
    fn the_overview_names_every_command() {
        let text = overview();
        for name in OWN
            .iter()
            .map(|c| c.name)
            .chain(camtl::PASSED_ON.iter().map(|(n, _)| *n))
        {
            assert!(text.contains(&format!("\n  {name} ")), "{name}");
        }
    }
}
