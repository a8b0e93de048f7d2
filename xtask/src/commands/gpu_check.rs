//! `cargo xtask gpu-check`: one folder that checks and measures the kernels on a GPU machine.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use lexopt::prelude::*;

use super::{kernels, unexpected};
use crate::cargo;
use crate::disk::{self, writing};
use crate::error::{failure, usage};
use crate::kernels::plugin;
use crate::workspace::{human_bytes, root, shown};

pub(super) const SUMMARY: &str =
    "makes a folder that checks the kernels on a GPU machine (--rehearse: without one)";

const HELP: &str = "\
Makes one folder that checks camtl's CUDA kernels on another machine and measures
them there. Neither making it nor this machine needs a GPU.

Usage: cargo xtask gpu-check [--out DIR | --rehearse]

  --out DIR   the folder (default target/gpu-check); an earlier one is replaced
  --rehearse  makes no folder, but runs camtl's side of the work here, without a GPU
  -h, --help  this text

In the folder: the binaries camtl and camtl-step, the plugin libcamtl_cuda.so,
run.sh and its Python scripts, below 64 MiB in all. Copy it to a machine with a GPU
of compute capability 8.0 or newer and a Python with torch 2.11.0+cu130, and start
./run.sh (PYTHON names another interpreter than python3). It compares every kernel with
float64 on fresh random inputs, outputs poisoned before and two runs compared bit
for bit; times each beside its floor, eager PyTorch and the best composition of
libtorch operations; compares the whole model with the CPU's and times whole steps
beside two PyTorch implementations; trains on the GPU from end to end; and runs
compute-sanitizer where there is one. The results are in table.txt, results.json,
steps.txt and the logs.

The plugin is built first, see `cargo xtask kernels --help` for what that needs.

With --rehearse, training in both precisions and with CUDA graphs, eval, predict,
adapt and camtl-step run on this machine with the libtorch of `cargo xtask setup
--cuda` and a stand-in for the CUDA run time and cuBLAS (tools/gpu-rehearsal). It
has memory, checks launches, copies and captures of graphs by the run time's rules,
and computes nothing. Two tables say what a GPU would have been asked for: launches,
copies, graphs, times the host waits, and calls that would be refused, which fail the
rehearsal. No number of a model and no time is checked. Results and logs are in
target/gpu-rehearsal/work/.
";

/// What the folder may weigh.
const LIMIT: u64 = 64 << 20;

/// Files of `benches` that go along.
const SCRIPTS: [&str; 8] = [
    "gpu/run.sh",
    "gpu/check.py",
    "gpu/bindings.py",
    "gpu/correctness.py",
    "gpu/timing.py",
    "gpu/steps.py",
    "peers/released.py",
    "peers/tuned.py",
];

pub(super) fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut out = None;
    let mut rehearse = false;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("out") => out = Some(PathBuf::from(parser.value()?)),
            Long("rehearse") => rehearse = true,
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            other => return Err(unexpected(other, "gpu-check")),
        }
    }
    let root = root();
    if rehearse {
        if out.is_some() {
            return Err(usage(
                "--rehearse makes no folder for --out",
                "leave one of them out",
            ));
        }
        let program = cargo::build_binary(&root, "gpu-rehearsal", "gpu-rehearsal")?;
        let mut command = Command::new(program);
        command.arg(&root);
        return cargo::become_program(command);
    }
    let folder = out.unwrap_or_else(|| kernels::target_folder(&root).join("gpu-check"));
    let library = kernels::build(&root)?;
    let binaries = [
        cargo::build_camtl(&root)?,
        cargo::build_binary(&root, "camtl-benches", "camtl-step")?,
    ];
    assemble(&root, &folder, &library, &binaries)?;
    let total = size_of(&folder)?;
    if total > LIMIT {
        return Err(failure(
            format!(
                "{} has {}, more than the {} allowed",
                shown(&folder),
                human_bytes(total),
                human_bytes(LIMIT)
            ),
            "the binary or the plugin has grown beyond what the folder may carry",
        ));
    }
    eprintln!("{}: {}", shown(&folder), human_bytes(total));
    println!(
        "copy {} to a machine with a GPU and run ./run.sh there",
        shown(&folder)
    );
    Ok(ExitCode::SUCCESS)
}

fn assemble(
    root: &Path,
    folder: &Path,
    library: &Path,
    binaries: &[PathBuf],
) -> anyhow::Result<()> {
    let staged = folder.with_extension("tmp");
    disk::remove_if_there(&staged)?;
    writing(fs::create_dir_all(&staged), &staged)?;
    copy(library, &staged.join(plugin::FILE_NAME))?;
    for binary in binaries {
        strip(binary, &staged.join(binary.file_name().unwrap_or_default()))?;
    }
    for name in SCRIPTS {
        let file = Path::new(name).file_name().unwrap_or_default();
        copy(&root.join("benches").join(name), &staged.join(file))?;
    }
    disk::place_folder(&staged, folder)
}

/// Copies `binary` without its symbols.
fn strip(binary: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("strip")
        .arg("-o")
        .arg(to)
        .arg(binary)
        .status()
        .map_err(|error| {
            failure(
                format!("cannot run strip: {error}"),
                "install binutils (Debian and Ubuntu: apt install binutils)",
            )
        })?;
    anyhow::ensure!(
        status.success(),
        "strip failed on {} ({status})",
        shown(binary)
    );
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    // Keeps the mode: run.sh stays executable.
    fs::copy(from, to)
        .map(|_| ())
        .with_context(|| format!("cannot copy {} to {}", shown(from), shown(to)))
}

fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", shown(folder)))? {
        let entry = entry.with_context(|| format!("cannot list {}", shown(folder)))?;
        total += entry.metadata().map_or(0, |m| m.len());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_in_the_workspace() {
        for name in SCRIPTS {
            assert!(root().join("benches").join(name).is_file(), "{name}");
        }
    }
}
