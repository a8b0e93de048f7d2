//! A system in a process of its own, asked by JSON lines.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{Options, worker};

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// This project.
    Camtl,
    /// The released model in plain eager PyTorch.
    Released,
    /// The same model as PyTorch allows at its best.
    Tuned,
}

impl System {
    /// All of them, the one that is compared first.
    pub(crate) const ALL: [System; 3] = [System::Camtl, System::Released, System::Tuned];

    /// Name in the output.
    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Camtl => "camtl",
            System::Released => "released",
            System::Tuned => "tuned",
        }
    }
}

/// A running system.
#[derive(Debug)]
pub(crate) struct Process {
    system: System,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What it said of itself.
    pub(crate) version: String,
}

impl Process {
    /// Starts a system on a folder and waits until it is ready.
    pub(crate) fn start(system: System, folder: &Path, options: &Options) -> anyhow::Result<Self> {
        let threads = options.threads.to_string();
        let mut command = match system {
            System::Camtl => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(worker::COMMAND);
                command
            }
            _ => {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/worker.py");
                let mut command = Command::new(&options.python);
                command.args([script, system.name()]);
                if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
                    command.env("LD_LIBRARY_PATH", without_libtorch(&path)?);
                }
                command
            }
        };
        let mut child = command
            .arg(folder)
            .arg(&threads)
            .env("OMP_NUM_THREADS", &threads)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let mut process = Process {
            system,
            child,
            input,
            output: BufReader::new(output),
            version: String::new(),
        };
        let ready = process.answer()?;
        process.version = ready["ready"].as_str().unwrap_or_default().to_owned();
        Ok(process)
    }

    /// One command and its answer.
    pub(crate) fn ask(&mut self, command: &Value) -> anyhow::Result<Value> {
        writeln!(self.input, "{command}")
            .with_context(|| format!("{} has ended", self.system.name()))?;
        self.answer()
    }

    /// Seconds of one operation on a batch.
    pub(crate) fn seconds(&mut self, op: &str, batch: &str) -> anyhow::Result<f64> {
        let answer = self.ask(&json!({"op": op, "batch": batch}))?;
        answer["seconds"]
            .as_f64()
            .with_context(|| format!("{} gave no time: {answer}", self.system.name()))
    }

    fn answer(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        anyhow::ensure!(
            !line.is_empty(),
            "{} ended without an answer; its message is above",
            self.system.name()
        );
        serde_json::from_str(&line)
            .with_context(|| format!("{} answered `{}`", self.system.name(), line.trim()))
    }
}

/// The loader's path without cargo's entries for our libtorch: PyTorch brings its own.
fn without_libtorch(path: &OsStr) -> anyhow::Result<OsString> {
    let kept = std::env::split_paths(path).filter(|lib| !lib.join("libtorch_cpu.so").exists());
    Ok(std::env::join_paths(kept)?)
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already needs no telling.
        let _ = writeln!(self.input, "{}", json!({"op": "quit"}));
        let _ = self.child.wait();
    }
}
