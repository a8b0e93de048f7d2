//! `cargo xtask kernels`: compiles the CUDA kernels without a GPU, checks them, links the plugin.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::prelude::*;

use super::{setup, unexpected};
use crate::error::failure;
use crate::kernels::compile::{Compilation, Unit};
use crate::kernels::plugin::RunTime;
use crate::kernels::resources::{self, Report};
use crate::kernels::table::{self, Table};
use crate::kernels::{plugin, sources, table_file};
use crate::libtorch::layout::Set;
use crate::workspace::{human_bytes, root, shown};

pub(super) const SUMMARY: &str =
    "compiles the CUDA kernels and links the plugin (--check: only checks them)";

const HELP: &str = "\
Compiles the CUDA kernels for sm_80 and sm_90 and links them to libcamtl_cuda.so,
which camtl opens when it is asked for a GPU. No GPU and no driver are needed.

Usage: cargo xtask kernels [--check | --record]

  --check     compile, print registers per thread of every kernel, and fail on
              spills, stack frames or more registers than the committed table
              (crates/camtl-ops/csrc/cuda/registers.toml) allows. Needs no libtorch.
  --record    write that table from what the kernels take now
  -h, --help  this text

The compiler is nvcc 13.0, fetched into .cuda/ from the Python package index
(0.1 GB, pinned by SHA-256) unless CAMTL_NVCC names another; CXX names the host
compiler. Linking needs the libtorch_cuda.so of torch 2.11.0+cu130: from LIBTORCH
if that folder has it, otherwise from .libtorch-cuda (`cargo xtask setup --cuda`).
The plugin is written to target/release/ and needs only libtorch's libraries.
";

#[derive(PartialEq, Eq)]
enum Wish {
    Plugin,
    Check,
    Record,
}

pub(super) fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut wish = Wish::Plugin;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("check") => wish = Wish::Check,
            Long("record") => wish = Wish::Record,
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            other => return Err(unexpected(other, "kernels")),
        }
    }
    let root = root();
    match wish {
        Wish::Check => {
            check(&root)?;
        }
        Wish::Record => {
            let (_, report) = compile(&root)?;
            let path = table_file(&root);
            Table::of(&report).save(&path)?;
            eprintln!("{} instances written to {}", report.len(), shown(&path));
        }
        Wish::Plugin => {
            build(&root)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles and compares with the table.
///
/// # Errors
/// If a kernel spills, has a stack frame, or takes more registers than the table allows.
pub(super) fn check(root: &Path) -> anyhow::Result<()> {
    let (_, report) = compile(root)?;
    let (rows, gone) = Table::load(&table_file(root))?.compare(&report);
    print!("{}", table::render(&rows));
    let faults = rows.iter().filter(|r| r.fault().is_some()).count();
    if faults == 0 && gone.is_empty() {
        println!(
            "{} kernel instances: no spills, no stack, registers within the table",
            rows.len()
        );
        return Ok(());
    }
    for kernel in &gone {
        println!("{kernel} is in the table but not among the kernels");
    }
    Err(failure(
        format!(
            "{faults} of {} kernel instances do not fit the table, {} rows of it have no kernel",
            rows.len(),
            gone.len()
        ),
        "spills and stack frames must be mended; for a deliberate change of registers or instances, \
         `cargo xtask kernels --record` writes the table anew",
    ))
}

/// Compiles and links; says where the plugin is.
///
/// # Errors
/// If a compiler fails or libtorch_cuda.so is missing.
pub(super) fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let target = target_folder(root).join("release").join(plugin::FILE_NAME);
    link(root, RunTime::Static, &target)?;
    let size = std::fs::metadata(&target).map_or(0, |m| m.len());
    eprintln!("{}: {}", shown(&target), human_bytes(size));
    Ok(target)
}

/// Compiles, and links a plugin that calls `run_time` to `target`.
///
/// # Errors
/// If a compiler fails or libtorch_cuda.so is missing.
pub fn link(root: &Path, run_time: RunTime<'_>, target: &Path) -> anyhow::Result<()> {
    // Looked for first: compiling takes a minute, and this may be missing.
    let libtorch = plugin::cuda_libtorch(root)?;
    let (units, _) = compile(root)?;
    plugin::build(
        &libtorch,
        &Set::Toolkit.folder(root),
        &sources(root),
        &cache(root),
        &units,
        run_time,
        target,
    )
}

fn compile(root: &Path) -> anyhow::Result<(Vec<Unit>, Report)> {
    let nvcc = match std::env::var_os("CAMTL_NVCC").filter(|n| !n.is_empty()) {
        Some(nvcc) => PathBuf::from(nvcc),
        None => {
            setup::install(root, Set::Toolkit, false)?;
            Set::Toolkit.folder(root).join("bin/nvcc")
        }
    };
    let units = Compilation {
        nvcc,
        sources: sources(root),
        cache: cache(root),
    }
    .run()?;
    let mut report = Report::new();
    for unit in &units {
        report.extend(resources::readable(unit.report.clone())?);
    }
    Ok((units, report))
}

fn cache(root: &Path) -> PathBuf {
    root.join(".cache").join("kernels")
}

/// Where cargo builds to.
pub fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}
