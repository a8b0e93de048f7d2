//! Builds the stand-in for the CUDA run time, cuBLAS and the driver, `tools/gpu-rehearsal/stand_in`.
//!
//! Loaded before libtorch, it answers the calls that libtorch makes to them. What libtorch could
//! call and the stand-in does not answer is found here and gets a function that ends the program
//! with the call's name: nothing is answered by the real libraries, which have no GPU.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use xtask::disk::{self, writing};
use xtask::error::failure;
use xtask::hash;
use xtask::kernels::plugin::{compiler, run};
use xtask::workspace::shown;

/// The library's file name, by which the plugin asks for it.
const FILE_NAME: &str = "libcamtl_stand_in.so";

/// Libraries of libtorch that call the run time, cuBLAS or the driver.
const CALLERS: [&str; 5] = [
    "libtorch_cuda.so",
    "libtorch_cuda_linalg.so",
    "libtorch_cpu.so",
    "libc10_cuda.so",
    "libcaffe2_nvrtc.so",
];

/// Where the stand-in's sources are.
fn sources(root: &Path) -> PathBuf {
    root.join("tools/gpu-rehearsal/stand_in")
}

/// A built stand-in.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// To be loaded before everything else.
    pub(crate) library: PathBuf,
    /// Belongs on the library path: there it is found under the driver's name.
    pub(crate) driver: PathBuf,
    /// A program that breaks the stand-in's rules and fails if one is not refused as it must be.
    pub(crate) rules: PathBuf,
}

/// Builds the stand-in in `folder`, unless it is there and nothing has changed.
///
/// # Errors
/// If the headers of cuBLAS are missing or a compiler fails.
pub(crate) fn build(
    root: &Path,
    libtorch: &Path,
    toolkit: &Path,
    folder: &Path,
) -> anyhow::Result<StandIn> {
    let includes = [libtorch.join("include"), toolkit.join("include")];
    if !includes
        .iter()
        .any(|i| i.join("cublas_v2.h").is_file() && i.join("cublasLt.h").is_file())
    {
        return Err(failure(
            format!(
                "the stand-in for a GPU needs the headers of cuBLAS, which are not in {}",
                shown(&includes[0])
            ),
            "run `cargo xtask setup --cuda`, without LIBTORCH in the environment",
        ));
    }
    writing(fs::create_dir_all(folder), folder)?;
    let built = StandIn {
        library: folder.join(FILE_NAME),
        driver: folder.join("driver"),
        rules: folder.join("rules"),
    };
    let stamp = folder.join("stand-in.sha256");
    let inputs = fingerprint(root, libtorch)?;
    let unchanged = fs::read_to_string(&stamp).is_ok_and(|s| s == inputs);
    if !unchanged || !built.library.is_file() || !built.rules.is_file() {
        compile(root, libtorch, &includes, folder, &built)?;
        disk::write_atomically(&stamp, inputs.as_bytes())?;
    }
    writing(fs::create_dir_all(&built.driver), &built.driver)?;
    // The same file under two names is loaded once.
    let link = built.driver.join("libcuda.so.1");
    disk::remove_if_there(&link)?;
    writing(fs::hard_link(&built.library, &link), &link)?;
    Ok(built)
}

/// The files of `folder`, in order.
fn files_of(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", shown(folder)))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    Ok(files)
}

/// A hash of the sources and of which libtorch it is for.
fn fingerprint(root: &Path, libtorch: &Path) -> anyhow::Result<String> {
    let mut inputs = libtorch.display().to_string();
    for caller in CALLERS {
        let size = fs::metadata(libtorch.join("lib").join(caller)).map_or(0, |m| m.len());
        inputs.push_str(&format!(" {size}"));
    }
    let folder = sources(root);
    for file in [files_of(&folder)?, files_of(&folder.join("rules"))?].concat() {
        inputs.push_str(
            &hash::of_file(&file).with_context(|| format!("cannot read {}", shown(&file)))?,
        );
    }
    Ok(hash::of_reader(inputs.as_bytes())?.0)
}

fn compile(
    root: &Path,
    libtorch: &Path,
    includes: &[PathBuf],
    folder: &Path,
    built: &StandIn,
) -> anyhow::Result<()> {
    eprintln!("compiling the stand-in for a GPU");
    let sources = sources(root);
    let mut objects = Vec::new();
    for file in files_of(&sources)? {
        if file.extension().is_some_and(|e| e == "cc") {
            objects.push(object(&file, &sources, includes, folder)?);
        }
    }
    let mut answered = BTreeSet::new();
    for object in &objects {
        answered.extend(symbols(object, &["--defined-only", "--extern-only"])?);
    }
    let mut wanted = BTreeSet::new();
    for caller in CALLERS {
        let path = libtorch.join("lib").join(caller);
        if path.is_file() {
            wanted.extend(symbols(&path, &["--dynamic", "--undefined-only"])?);
        }
    }
    anyhow::ensure!(
        wanted.contains("cudaMalloc"),
        "the libraries in {} do not call the CUDA run time's shared library",
        shown(&libtorch.join("lib"))
    );
    let unanswered = folder.join("unanswered.cc");
    let missing = wanted.difference(&answered).map(String::as_str);
    disk::write_atomically(&unanswered, ending_functions(missing).as_bytes())?;
    objects.push(object(&unanswered, &sources, includes, folder)?);

    let partial = built
        .library
        .with_extension(format!("{}.so", std::process::id()));
    let mut command = compiler();
    command.args(["-shared", "-pthread", "-Wl,-z,defs", "-o"]);
    command.arg(&partial).args(&objects);
    command.arg(format!("-Wl,-soname,{FILE_NAME}"));
    command.arg(format!(
        "-Wl,--version-script={}",
        sources.join("exports.map").display()
    ));
    run(&mut command, "linking the stand-in for a GPU")?;
    fs::rename(&partial, &built.library).with_context(|| {
        format!(
            "cannot rename {} to {}",
            shown(&partial),
            shown(&built.library)
        )
    })?;

    let check = object(&sources.join("rules/check.cc"), &sources, includes, folder)?;
    let mut command = compiler();
    command.args(["-pthread", "-o"]).arg(&built.rules);
    command.arg(check).arg(&built.library);
    command.arg("-Wl,-rpath,$ORIGIN");
    run(&mut command, "linking the check of the stand-in's rules")
}

fn object(
    file: &Path,
    sources: &Path,
    includes: &[PathBuf],
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let name = file.file_name().unwrap_or_default();
    let object = folder.join(name).with_extension("o");
    let mut command = compiler();
    command.args([
        "-std=c++17",
        "-O1",
        "-fPIC",
        "-pthread",
        "-Wall",
        "-Wextra",
        // Not for <...>: a system header could have a name of these.
        "-iquote",
    ]);
    command.arg(sources);
    for include in includes {
        command.arg("-isystem").arg(include);
    }
    command.arg("-c").arg(file).arg("-o").arg(&object);
    run(&mut command, &format!("compiling {}", shown(file)))?;
    Ok(object)
}

/// The names among a file's symbols that are the run time's, cuBLAS's or the driver's.
fn symbols(file: &Path, options: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new("nm")
        .args(options)
        .arg("--format=posix")
        .arg(file)
        .output()
        .map_err(|error| {
            failure(
                format!("cannot run nm: {error}"),
                "install binutils (Debian and Ubuntu: apt install binutils)",
            )
        })?;
    anyhow::ensure!(
        output.status.success(),
        "nm failed on {} ({})",
        shown(file),
        output.status
    );
    Ok(interface_names(&String::from_utf8_lossy(&output.stdout)))
}

/// From lines as `cudaMalloc@libcudart.so.13 U`.
fn interface_names(nm: &str) -> BTreeSet<String> {
    nm.lines()
        .filter_map(|line| line.split([' ', '@']).next())
        .filter(|name| {
            let of_driver = name.strip_prefix("cu").and_then(|n| n.chars().next());
            ["cuda", "__cuda", "cublas"]
                .iter()
                .any(|p| name.starts_with(p))
                || of_driver.is_some_and(|c| c.is_ascii_uppercase())
        })
        .map(str::to_owned)
        .collect()
}

/// C++ of functions that end the program, each with its own name.
fn ending_functions<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::from(
        "// Calls that libtorch could make and the stand-in does not answer.\n#include \"log.h\"\n\n",
    );
    for name in names {
        text.push_str(&format!(
            "extern \"C\" void {name}() {{ stand_in::end_program(\"{name}\"); }}\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_interfaces_are_read() {
        let nm = "cudaMalloc@libcudart.so.13 U         \n__cudaGetKernel U\ncuLaunchKernel U\n\
                  cublasGemmEx@libcublas.so.13 U\ncurandCreateGenerator U\ncudnnCreate U\nmalloc@GLIBC_2.2.5 U\n";
        let names: Vec<String> = interface_names(nm).into_iter().collect();
        assert_eq!(
            names,
            [
                "__cudaGetKernel",
                "cuLaunchKernel",
                "cublasGemmEx",
                "cudaMalloc"
            ]
        );
    }

    #[test]
    fn what_is_not_answered_ends_the_program() {
        let text = ending_functions(["cudaHostRegister"].into_iter());
        assert!(
            text.contains("void cudaHostRegister() { stand_in::end_program(\"cudaHostRegister\")")
        );
    }
}
