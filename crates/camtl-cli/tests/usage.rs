//! What the command line says about itself, and exit code 2 for what it cannot do.

mod support;

use support::Dir;

const COMMANDS: [&str; 7] = [
    "train",
    "eval",
    "predict",
    "submit",
    "params",
    "report",
    "quickstart",
];

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = Dir::new().run(["--help"]).success();
    for command in COMMANDS {
        assert!(
            help.stdout.contains(&format!("\n  {command} ")),
            "{command} is missing:\n{help}"
        );
    }
    for text in [
        "Exit codes: 0 success, 1 the work failed, 2 bad usage or configuration",
        "CAMTL_LOG",
        "--quiet",
    ] {
        assert!(help.stdout.contains(text), "{text} is missing:\n{help}");
    }
    assert_eq!(help.stderr, "");
}

#[test]
fn help_of_every_command_explains_itself_and_shows_an_example() {
    let dir = Dir::new();
    for command in COMMANDS {
        let long = dir.run([command, "--help"]).success();
        assert!(
            long.stdout.contains(&format!("Usage: camtl {command}")),
            "{long}"
        );
        assert!(
            long.stdout.contains(&format!("camtl {command} ")),
            "no example:\n{long}"
        );
        let short = dir.run([command, "-h"]).success();
        assert!(
            short.stdout.len() < long.stdout.len(),
            "-h is the short form of {command}'s help"
        );
        // Every option line is followed by words about it.
        for line in long
            .stdout
            .lines()
            .filter(|line| line.trim_start().starts_with("--"))
        {
            assert!(line.len() < 120, "help is wrapped: {line}");
        }
    }
}

#[test]
fn version_is_the_package_version() {
    let version = Dir::new().run(["--version"]).success();
    assert_eq!(
        version.stdout,
        format!("camtl {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn no_command_prints_help_and_is_bad_usage() {
    let nothing = Dir::new().run::<&str>([]);
    assert_eq!(nothing.code, Some(2), "{nothing}");
    assert!(nothing.stderr.contains("Usage: camtl"), "{nothing}");
    assert_eq!(nothing.stdout, "");
}

#[test]
fn unknown_commands_and_options_are_bad_usage_with_the_nearest_name() {
    let dir = Dir::new();
    dir.run(["trian", "x.toml"])
        .fails_with(2, &["'trian'", "train"]);
    dir.run(["eval", "run", "--splitt", "dev"])
        .fails_with(2, &["--splitt", "--split"]);
    dir.run(["predict"]).fails_with(2, &["<RUN>"]);
    dir.run(["train"]).fails_with(2, &["<CONFIG>"]);
    dir.run(["report"]).fails_with(2, &["<RUNS>"]);
    dir.run(["predict", "run", "--task", "x", "--format", "xml"])
        .fails_with(2, &["xml", "tsv", "jsonl"]);
}

#[test]
fn a_run_folder_that_is_not_there_is_bad_usage_with_a_hint() {
    let dir = Dir::new();
    for arguments in [
        vec!["eval", "nowhere"],
        vec!["predict", "nowhere", "--task", "cola"],
        vec!["submit", "nowhere", "--out", "out"],
        vec!["report", "nowhere"],
        vec!["train", "--resume", "--run", "nowhere"],
    ] {
        dir.run(arguments).fails_with(2, &["nowhere", "hint:"]);
    }
    assert!(
        !dir.path("nowhere").exists(),
        "a failed command makes no folder"
    );
    assert!(
        !dir.path("out").exists(),
        "a failed command makes no folder"
    );
}

#[test]
fn a_log_filter_that_is_none_is_bad_usage() {
    let dir = Dir::new();
    let mut command = dir.command(["report", "x"]);
    command.env("CAMTL_LOG", "camtl=loud=very");
    let ran = support::Ran::of(command.output().expect("run camtl"), "CAMTL_LOG".to_owned());
    ran.fails_with(2, &["CAMTL_LOG=camtl=loud=very"]);
}
