//! What every file of the repository must keep; `cargo xtask ci` and a test run it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Longest source file, in lines: one idea per file.
const MAX_LINES: usize = 600;

/// Largest tracked file, in bytes: data and models are downloaded, not committed.
const MAX_BYTES: u64 = 1_000_000;

/// Libraries, which print nothing: the binary renders what they report.
const SILENT: [&str; 6] = [
    "crates/camtl-files/src/",
    "crates/camtl-data/src/",
    "crates/camtl-ops/src/",
    "crates/camtl-model/src/",
    "crates/camtl-trainer/src/",
    "crates/camtl-quickstart/src/",
];

/// Files every checkout must have.
const REQUIRED: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    ".ci/run",
];

/// Commands the README must name.
const README_NAMES: [&str; 2] = ["cargo xtask quickstart", "cargo xtask test"];

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the root.
    pub file: PathBuf,
    /// The line, where there is one.
    pub line: Option<usize>,
    /// What is wrong and what is expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Checks the files of the repository at `root`.
///
/// # Errors
/// If the files cannot be listed or read.
pub fn check(root: &Path) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for file in tracked_files(root)? {
        let path = root.join(&file);
        // Deleted but not committed yet.
        let Ok(meta) = fs::metadata(&path) else {
            continue;
        };
        if meta.len() > MAX_BYTES {
            problems.push(Problem {
                line: None,
                message: format!(
                    "has {} bytes; {MAX_BYTES} is the most a tracked file may have",
                    meta.len()
                ),
                file: file.clone(),
            });
        }
        if is_source(&file) {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            problems.extend(check_source(&file, &text));
        }
    }
    for name in REQUIRED {
        if !root.join(name).is_file() {
            problems.push(Problem {
                file: name.into(),
                line: None,
                message: "is missing".into(),
            });
        }
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap_or_default();
    for command in README_NAMES.iter().filter(|c| !readme.contains(**c)) {
        problems.push(Problem {
            file: "README.md".into(),
            line: None,
            message: format!("does not name `{command}`"),
        });
    }
    Ok(problems)
}

/// Tracked and new files, as git lists them.
fn tracked_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(text
                .split('\0')
                .filter(|n| !n.is_empty())
                .map(PathBuf::from)
                .collect())
        }
        // No git, or an unpacked archive of the sources.
        _ => {
            let mut files = Vec::new();
            for top in ["crates", "xtask", "tools", "benches", "configs", "docs"] {
                walk(root, Path::new(top), &mut files)?;
            }
            Ok(files)
        }
    }
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(root.join(folder)) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let path = folder.join(entry.file_name());
        let kind = entry
            .file_type()
            .with_context(|| format!("cannot look at {}", path.display()))?;
        if kind.is_dir() && entry.file_name() != "target" {
            walk(root, &path, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

fn is_source(file: &Path) -> bool {
    matches!(
        file.extension().and_then(|e| e.to_str()),
        Some("rs" | "cpp" | "cc" | "cu" | "cuh" | "h" | "py")
    )
}

fn check_source(file: &Path, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |line: Option<usize>, message: String| {
        problems.push(Problem {
            file: file.to_path_buf(),
            line,
            message,
        });
    };
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problem(
            None,
            format!("has {lines} lines; {MAX_LINES} is the most, one idea per file"),
        );
    }
    if file.extension().is_none_or(|e| e != "rs") {
        return problems;
    }
    let name = file.to_string_lossy().replace('\\', "/");
    let is_module = name.contains("/src/") || name.starts_with("benches/");
    let first = text
        .lines()
        .find(|l| !l.trim().is_empty())
        .unwrap_or_default();
    if is_module && !first.starts_with("//!") {
        problem(
            Some(1),
            "does not begin with a `//!` line that says what the module is for".into(),
        );
    }
    let silent = SILENT.iter().any(|prefix| name.starts_with(prefix));
    let native = name.starts_with("crates/camtl-ops/");
    // Spelt apart, or this file would find itself.
    let unfinished = ["to", "do!("].concat();
    let foreign = ["extern ", "\"C\""].concat();
    let mut in_tests = false;
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        in_tests |= code.starts_with("#[cfg(test)]");
        if code.contains(&unfinished) {
            problem(Some(index + 1), "is unfinished".into());
        }
        if !native && code.contains(&foreign) {
            problem(
                Some(index + 1),
                "calls foreign code; only camtl-ops does".into(),
            );
        }
        if silent && !in_tests && prints(code) {
            problem(
                Some(index + 1),
                "prints; a library reports through `tracing` or events".into(),
            );
        }
    }
    problems
}

fn prints(code: &str) -> bool {
    ["println!(", "eprintln!(", "print!(", "eprint!("]
        .iter()
        .any(|p| {
            code.find(p).is_some_and(|at| {
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                    && !code[..at].contains("//")
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &str, text: &str) -> Vec<String> {
        check_source(Path::new(file), text)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn each_rule_finds_its_case() {
        let file = "crates/camtl-data/src/x.rs";
        assert_eq!(messages(file, "//! Fine.\nfn f() {}\n"), [""; 0]);
        assert!(messages(file, "fn f() {}\n")[0].contains("x.rs:1: does not begin with"));
        assert!(messages(file, &format!("//! x\n{}\n", "\n".repeat(599)))[0].contains("601 lines"));
        let unfinished = format!("//! x\nfn f() {{ {}) }}\n", ["to", "do!("].concat());
        assert!(messages(file, &unfinished)[0].contains("x.rs:2: is unfinished"));
        assert!(messages(file, "//! x\nprintln!(\"a\");\n")[0].contains("x.rs:2: prints"));
        assert_eq!(
            messages(file, "//! x\n#[cfg(test)]\nmod t { println!(\"a\"); }\n"),
            [""; 0]
        );
        assert_eq!(
            messages("crates/camtl-cli/src/x.rs", "//! x\nprintln!(\"a\");\n"),
            [""; 0]
        );
        assert_eq!(
            messages("crates/camtl-data/tests/x.rs", "fn f() {}\n"),
            [""; 0]
        );
        assert!(
            messages("crates/camtl-ops/csrc/x.cpp", &"\n".repeat(601))[0].contains("601 lines")
        );
        let foreign = format!("//! x\n{} fn f();\n", ["extern ", "\"C\""].concat());
        assert_eq!(messages(file, &foreign).len(), 1);
        assert_eq!(messages("crates/camtl-ops/src/ffi.rs", &foreign), [""; 0]);
    }
}
