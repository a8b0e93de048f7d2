//! The command line from outside: help, usage errors, exit codes, doctor, from any folder.

mod support;

use std::path::Path;

use support::{stderr, stdout, xtask};

#[test]
fn help_is_printed_without_arguments_and_on_request_from_any_folder() {
    for cwd in [env!("CARGO_MANIFEST_DIR"), "/"] {
        for args in [&[][..], &["--help"], &["help"]] {
            let output = xtask(Path::new(cwd)).args(args).output().expect("started");
            assert_eq!(output.status.code(), Some(0));
            assert!(
                stdout(&output).contains("Usage: cargo xtask COMMAND"),
                "{}",
                stdout(&output)
            );
            assert!(stdout(&output).contains("quickstart"));
        }
    }
    for command in [
        "setup",
        "doctor",
        "test",
        "ci",
        "bench",
        "gpu-check",
        "download",
    ] {
        let output = xtask(Path::new("/"))
            .args([command, "--help"])
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(
            stdout(&output).contains(&format!("Usage: cargo xtask {command}")),
            "{command}"
        );
        assert!(
            stdout(&output).lines().all(|l| l.chars().count() <= 90),
            "{command}: lines fit a terminal"
        );
        let same = xtask(Path::new("/"))
            .args(["help", command])
            .output()
            .expect("started");
        assert_eq!(stdout(&same), stdout(&output));
    }
}

#[test]
fn bad_usage_exits_with_two_and_says_what_is_possible() {
    for (args, expected) in [
        (&["trian"][..], "did you mean `train`?"),
        (&["setup", "--gpu"], "cargo xtask setup --help"),
        (&["doctor", "now"], "cargo xtask doctor --help"),
        (&["ci", "fast"], "cargo xtask ci --help"),
        (
            &["gpu-check", "--rehearse", "--out", "x"],
            "leave one of them out",
        ),
        (&["test", "sampler"], "cargo xtask test -- sampler"),
        (
            &["bench", "everything"],
            "ops, step, sampler, data and peers",
        ),
        (&["bench", "ops", "x"], "after two dashes"),
        (&["download"], "the choices are glue"),
        (&["download", "gleu"], "no such data set `gleu`"),
        (&["download", "glue", "RTE"], "--only"),
        (
            &["download", "glue", "--only", "Foo"],
            "its data sets are CoLA",
        ),
        (
            &["download", "glue", "--from", "/no/such/folder"],
            "no such folder",
        ),
        (
            &["download", "superglue", "--source", "hub"],
            "only glue is",
        ),
    ] {
        let output = xtask(Path::new("/tmp"))
            .args(args)
            .output()
            .expect("started");
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(stderr(&output).starts_with("error: "), "{args:?}");
        assert!(
            stderr(&output).contains(expected),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn doctor_reports_each_check_with_status_and_remedy() {
    let output = xtask(Path::new("/"))
        .args(["doctor", "--json"])
        .output()
        .expect("started");
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let checks = report["checks"].as_array().expect("a list");
    let names: Vec<&str> = checks.iter().filter_map(|c| c["name"].as_str()).collect();
    for name in [
        "system", "rust", "c++", "python", "pip", "libtorch", "gpu", "disk", "encoders", "data",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let mut errors = false;
    for check in checks {
        let status = check["status"].as_str().expect("a status");
        assert!(["ok", "note", "warn", "error"].contains(&status), "{check}");
        assert!(
            check["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{check}"
        );
        assert_eq!(check["remedy"].is_string(), status != "ok", "{check}");
        errors |= status == "error";
    }
    assert_eq!(report["ok"].as_bool(), Some(!errors));
    assert_eq!(output.status.code(), Some(i32::from(errors)));
    let text = xtask(Path::new("/"))
        .arg("doctor")
        .output()
        .expect("started");
    assert!(names.iter().all(|n| stdout(&text).contains(n)));
}

#[test]
fn doctor_names_what_is_broken() {
    let output = xtask(Path::new("/"))
        .arg("doctor")
        .env("CXX", "/no/compiler")
        .env("PYTHON", "/no/python")
        .env("LIBTORCH", "/no/libtorch")
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for expected in [
        "/no/compiler",
        "apt install g++",
        "/no/python",
        "LIBTORCH=/no/libtorch has no lib/",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn the_comparison_with_pytorch_says_what_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let python = folder.path().join("python");
    // A Python that tells its version and cannot import anything.
    let script = "#!/bin/sh\ncase \"$2\" in\n  *torch*) echo \"No module named 'torch'\" >&2; exit 1;;\n  *) echo 3.11.0;;\nesac\n";
    std::fs::write(&python, script).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, mode).expect("executable");
    for (program, expected) in [
        (
            python.as_path(),
            "has no PyTorch 2: No module named 'torch'",
        ),
        (python.as_path(), "pip install torch==2.11.0"),
        (python.as_path(), "CAMTL_PYTHON="),
        (Path::new("/no/python"), "cannot run Python as `/no/python`"),
        (Path::new("/no/python"), "CAMTL_PYTHON is set"),
    ] {
        let output = xtask(Path::new("/"))
            .args(["bench", "peers"])
            .env("CAMTL_PYTHON", program)
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(
            stderr(&output).contains(expected),
            "{expected}: {}",
            stderr(&output)
        );
    }
}
