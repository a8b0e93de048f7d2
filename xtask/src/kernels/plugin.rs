//! Links the kernels and their libtorch glue to `libcamtl_cuda.so`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::compile::Unit;
use crate::disk::writing;
use crate::error::failure;
use crate::hash;
use crate::libtorch::layout::Set;
use crate::workspace::shown;

/// The plugin's file name, as camtl-ops looks for it.
pub const FILE_NAME: &str = "libcamtl_cuda.so";

/// What a plugin may need from outside: libtorch's own libraries and the C and C++ run time.
const ALLOWED: [&str; 10] = [
    "libtorch_cuda.so",
    "libc10_cuda.so",
    "libtorch_cpu.so",
    "libc10.so",
    "libstdc++.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libc.so.6",
    "libpthread.so.0",
    "ld-linux-x86-64.so.2",
];

/// The CUDA run time that a plugin calls.
#[derive(Debug, Clone, Copy)]
pub enum RunTime<'a> {
    /// The toolkit's, linked in: with the shared one, a machine with torch elsewhere needs another
    /// library path.
    Static,
    /// A library that answers in its place, for machines without a GPU.
    StandIn(&'a Path),
}

/// A libtorch with CUDA to link against.
///
/// # Errors
/// If none of `LIBTORCH`, `.libtorch-cuda` has `lib/libtorch_cuda.so`.
pub fn cuda_libtorch(root: &Path) -> anyhow::Result<PathBuf> {
    let from_user = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let managed = Set::Cuda.folder(root);
    let mut looked = Vec::new();
    for folder in from_user.into_iter().chain([managed]) {
        if folder.join("lib/libtorch_cuda.so").is_file() {
            return Ok(folder);
        }
        looked.push(shown(&folder.join("lib")));
    }
    Err(failure(
        format!(
            "linking the plugin needs libtorch_cuda.so, which is not in {}",
            looked.join(" nor ")
        ),
        "run `cargo xtask setup --cuda` (3.8 GB), or set LIBTORCH to the folder of a torch 2.11.0+cu130 \
         (python3 -c 'import torch, os; print(os.path.dirname(torch.__file__))'); \
         `cargo xtask kernels --check` needs neither",
    ))
}

/// Compiles the glue and links everything.
///
/// # Errors
/// If the C++ compiler cannot be run or refuses, or the library needs something it must not.
pub fn build(
    libtorch: &Path,
    toolkit: &Path,
    sources: &Path,
    cache: &Path,
    units: &[Unit],
    run_time: RunTime<'_>,
    target: &Path,
) -> anyhow::Result<()> {
    let glue = glue_objects(libtorch, toolkit, sources, cache)?;
    let partial = target.with_extension(format!("{}.so", std::process::id()));
    if let Some(parent) = target.parent() {
        writing(fs::create_dir_all(parent), parent)?;
    }
    let mut command = compiler();
    command
        .args(["-shared", "-s", "-o"])
        .arg(&partial)
        .args(&glue);
    command.args(units.iter().map(|u| &u.object));
    command.arg("-L").arg(libtorch.join("lib"));
    // libtorch_cuda.so stays needed even where only its kernels' registration is used.
    command.args([
        "-Wl,--no-as-needed",
        "-ltorch_cuda",
        "-lc10_cuda",
        "-ltorch_cpu",
        "-lc10",
    ]);
    command.args([
        "-Wl,--as-needed",
        "-Wl,--no-undefined",
        "-Wl,-z,defs",
        "-Wl,--exclude-libs,ALL",
    ]);
    command.arg(format!(
        "-Wl,--version-script={}",
        sources.join("plugin/exports.map").display()
    ));
    // libtorch's own dependencies (cuBLAS, cuDNN, NCCL) are its business.
    command.args([
        "-Wl,--allow-shlib-undefined",
        "-Wl,--unresolved-symbols=ignore-in-shared-libs",
    ]);
    command.arg(match run_time {
        RunTime::Static => toolkit.join("lib/libcudart_static.a"),
        RunTime::StandIn(library) => library.to_path_buf(),
    });
    command.args(["-ldl", "-lrt", "-lpthread"]);
    run(&mut command, "linking the plugin")?;
    let stand_in = match run_time {
        RunTime::Static => None,
        RunTime::StandIn(library) => library.file_name(),
    };
    let unexpected: Vec<String> = needed(&partial)?
        .into_iter()
        .filter(|n| !ALLOWED.contains(&n.as_str()) && stand_in != Some(n.as_ref()))
        .collect();
    if !unexpected.is_empty() {
        let _ = fs::remove_file(&partial);
        anyhow::bail!(
            "the plugin would need {} on every machine",
            unexpected.join(", ")
        );
    }
    fs::rename(&partial, target)
        .with_context(|| format!("cannot rename {} to {}", shown(&partial), shown(target)))
}

/// The glue's objects; compiled again only when a source or a header of ours changed.
fn glue_objects(
    libtorch: &Path,
    toolkit: &Path,
    sources: &Path,
    cache: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let folder = sources.join("plugin");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("cannot list {}", shown(&folder)))?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .collect();
    files.push(sources.join("launch.h"));
    files.push(sources.join("../gradient_view.h"));
    files.push(sources.join("../operations.h"));
    files.sort();
    let mut inputs = format!("{} {}\n", libtorch.display(), toolkit.display());
    for file in &files {
        inputs.push_str(
            &hash::of_file(file).with_context(|| format!("cannot read {}", shown(file)))?,
        );
    }
    let sources: Vec<&PathBuf> = files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "cc"))
        .collect();
    anyhow::ensure!(!sources.is_empty(), "no .cc file in {}", shown(&folder));
    // Parsing libtorch's headers takes ten seconds a file.
    std::thread::scope(|scope| {
        let jobs: Vec<_> = sources
            .iter()
            .map(|file| {
                scope.spawn(|| {
                    glue_object(libtorch, toolkit, root_of(&folder), cache, file, &inputs)
                })
            })
            .collect();
        jobs.into_iter()
            .map(|job| {
                job.join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a compiling thread died")))
            })
            .collect()
    })
}

/// The kernels' folder, to which the glue's includes are relative.
fn root_of(glue: &Path) -> &Path {
    glue.parent().unwrap_or(glue)
}

fn glue_object(
    libtorch: &Path,
    toolkit: &Path,
    sources: &Path,
    cache: &Path,
    file: &Path,
    inputs: &str,
) -> anyhow::Result<PathBuf> {
    let name = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let (key, _) = hash::of_reader(format!("{inputs}{name}").as_bytes())?;
    let object = cache.join(format!("glue-{name}-{}.o", &key[..16]));
    if object.is_file() {
        return Ok(object);
    }
    eprintln!("compiling {}", shown(file));
    let partial = object.with_extension(format!("{}.o", std::process::id()));
    let mut command = compiler();
    command.args([
        "-std=c++17",
        "-O2",
        "-fPIC",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
    ]);
    command
        .arg("-D_GLIBCXX_USE_CXX11_ABI=1")
        .arg("-I")
        .arg(sources)
        .arg("-I")
        .arg(sources.join("platform"));
    for include in [
        libtorch.join("include"),
        libtorch.join("include/torch/csrc/api/include"),
        toolkit.join("include"),
    ] {
        command.arg("-isystem").arg(include);
    }
    command.arg("-c").arg(file).arg("-o").arg(&partial);
    run(&mut command, &format!("compiling {}", shown(file)))?;
    fs::rename(&partial, &object).with_context(|| format!("cannot rename {}", shown(&partial)))?;
    Ok(object)
}

/// The host compiler.
pub fn compiler() -> Command {
    let program = std::env::var_os("CXX")
        .filter(|c| !c.is_empty())
        .unwrap_or_else(|| "c++".into());
    Command::new(program)
}

/// Runs the C++ compiler; `what` says what it does.
///
/// # Errors
/// If there is no compiler, or it fails.
pub fn run(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().map_err(|error| {
        failure(
            format!("cannot run the C++ compiler `{program}`: {error}"),
            "install g++ (Debian and Ubuntu: apt install g++), or set CXX",
        )
    })?;
    anyhow::ensure!(
        status.success(),
        "{what} failed ({status}); the compiler's words are above"
    );
    Ok(())
}

/// Libraries that a shared object asks the loader for.
fn needed(library: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("readelf")
        .arg("-dW")
        .arg(library)
        .output()
        .map_err(|error| {
            failure(
                format!("cannot run readelf: {error}"),
                "install binutils (Debian and Ubuntu: apt install binutils)",
            )
        })?;
    Ok(needed_in(&String::from_utf8_lossy(&output.stdout)))
}

fn needed_in(readelf: &str) -> Vec<String> {
    readelf
        .lines()
        .filter(|l| l.contains("(NEEDED)"))
        .filter_map(|l| Some(l.split_once('[')?.1.split_once(']')?.0.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_libraries_are_read() {
        let text = " 0x0000000000000001 (NEEDED)             Shared library: [libc10.so]\n\
                     0x000000000000000e (SONAME)             Library soname: [x.so]\n";
        assert_eq!(needed_in(text), ["libc10.so"]);
    }
}
