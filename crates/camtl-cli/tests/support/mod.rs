//! Shared by the command-line tests: a work folder, and the binary driven in it.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary has its own copy and uses a part of it"
)]

pub mod fixture;
pub mod kinds;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A temporary folder in which `camtl` runs.
pub struct Dir {
    folder: tempfile::TempDir,
}

/// What a finished command left.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

impl Dir {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("create the folder");
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
        path
    }

    pub fn read(&self, relative: &str) -> String {
        let path = self.path(relative);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
    }

    pub fn bytes(&self, relative: &str) -> Vec<u8> {
        let path = self.path(relative);
        std::fs::read(&path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
    }

    /// The names in a folder, sorted.
    pub fn names(&self, relative: &str) -> Vec<String> {
        let path = self.path(relative);
        let mut names: Vec<String> = std::fs::read_dir(&path)
            .unwrap_or_else(|e| panic!("list {}: {e}", path.display()))
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// The binary, ready to run in this folder with two threads and no inherited settings.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_camtl"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("CAMTL_LOG")
            .env_remove("CAMTL_COMMAND")
            .env("OMP_NUM_THREADS", "2")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the binary to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.command(arguments);
        let shown = format!("{command:?}");
        Ran::of(command.output().expect("run camtl"), shown)
    }

    /// Runs the binary with this text on standard input.
    pub fn run_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        let shown = format!("{command:?}");
        let mut child = command.spawn().expect("start camtl");
        let mut stdin = child.stdin.take().expect("its standard input");
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            // The program may stop reading at a bad line: a broken pipe is its right.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("wait for camtl");
        feeder.join().expect("feed standard input");
        Ran::of(output, shown)
    }

    /// Starts the binary without waiting.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        self.command(arguments).spawn().expect("start camtl")
    }
}

impl Ran {
    pub fn of(output: Output, shown: String) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
            shown,
        }
    }

    /// Exit code 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// This exit code, an `error:` line first on standard error (after diagnostics), every text in it,
    /// and nothing on standard output.
    #[track_caller]
    pub fn fails_with(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(self.stderr.contains("error:"), "no error: line\n{self}");
        assert!(!self.stderr.contains("panicked"), "a panic\n{self}");
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "standard error lacks {text:?}\n{self}"
            );
        }
        assert_eq!(self.stdout, "", "stray output\n{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nexit code {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown, self.code, self.stdout, self.stderr
        )
    }
}
