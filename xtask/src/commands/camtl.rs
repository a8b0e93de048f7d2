//! Commands that the `camtl` program does: set up, build it, hand over.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use super::setup;
use crate::cargo;
use crate::fetch::Fetcher;
use crate::libtorch::layout::Set;
use crate::models::{self, Source, needed};
use crate::workspace::root;

/// Names and one-line descriptions of the commands that are passed on.
pub(super) const PASSED_ON: [(&str, &str); 11] = [
    (
        "quickstart",
        "train CA-MTL on an embedded task suite and compare it, in minutes",
    ),
    (
        "train",
        "train from a configuration (fetches the encoder it names)",
    ),
    ("eval", "metrics of a trained run, per task"),
    ("predict", "label text, standard input to standard output"),
    (
        "submit",
        "write the prediction files of the GLUE and SuperGLUE servers",
    ),
    ("params", "count parameters from shapes alone"),
    ("report", "compare runs"),
    ("task", "check a task file with its data"),
    ("adapt", "extend a trained model by a task"),
    ("serve", "answer over HTTP"),
    ("reproduce", "run the paper's grids"),
];

/// `cargo xtask NAME ARGS` as `camtl NAME ARGS` in the caller's folder.
///
/// The process becomes `camtl`: its input, output, signals and exit code are the caller's own.
pub(super) fn run(name: &str, args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let root = root();
    let cwd = std::env::current_dir().context("cannot tell the current folder")?;
    setup::ensure_libtorch(&root, false)?;
    let mut extra = Vec::new();
    let needed = match name {
        "train" => needed::by_training(&args, &cwd),
        "reproduce" => needed::by_reproducing(&args, &cwd),
        _ => None,
    };
    if let Some(needed) = needed {
        extra = ensure_encoder(&root, &cwd, &needed, args.iter().any(|a| a == "--resume"))?;
    }
    let binary = cargo::build_camtl(&root)?;
    let mut command = Command::new(binary);
    command.arg(name).args(args).args(extra).current_dir(&cwd);
    // So that its hints can be copied as they are.
    command.env("CAMTL_COMMAND", "cargo xtask");
    if let Some(value) = library_path(&root) {
        command.env("LD_LIBRARY_PATH", value);
    }
    cargo::become_program(command)
}

/// Downloads the encoder if neither the current folder nor the workspace has it.
///
/// `camtl` looks for `models/ID` in the current folder. Started from elsewhere, it is told where the
/// workspace keeps it.
fn ensure_encoder(
    root: &Path,
    cwd: &Path,
    needed: &needed::Needed,
    resume: bool,
) -> anyhow::Result<Vec<OsString>> {
    if models::is_complete(&cwd.join("models").join(&needed.id)) {
        return Ok(Vec::new());
    }
    let folder = obtain(root, &needed.id, needed.source)?;
    if resume || cwd.join("models").join(&needed.id).is_dir() {
        return Ok(Vec::new());
    }
    let mut setting = OsString::from("model.encoder=");
    setting.push(folder.as_os_str());
    Ok(vec!["--set".into(), setting])
}

/// Makes sure the workspace's `models/ID` is there.
fn obtain(root: &Path, id: &str, source: Source) -> anyhow::Result<PathBuf> {
    let options = models::Options {
        id: id.to_owned(),
        models: root.join("models"),
        source,
        from: None,
        revision: "main".into(),
    };
    let folder = models::obtain(&options, &Fetcher::from_environment()?)
        .with_context(|| format!("the encoder {id} is not there and cannot be downloaded"))?;
    Ok(folder)
}

/// The CUDA set's libraries before everything else, where it has been set up.
fn library_path(root: &Path) -> Option<OsString> {
    let lib = Set::Cuda.folder(root).join("lib");
    let current = std::env::var_os("LD_LIBRARY_PATH");
    lib.is_dir()
        .then(|| cargo::joined_paths(&lib, current.as_deref()))
}
