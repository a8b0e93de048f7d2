//! Compiles the C++ of this crate and links the libtorch that torch-sys found.
use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// Sources with torch headers: narrow includes, since parsing them is the cost.
const SHIM: &[&str] = &["csrc/runtime.cc"];
/// Kernels: plain C++ and OpenMP on raw pointers.
const KERNELS: &[&str] = &["csrc/dropout_mask.cc"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=csrc");
    // Set by torch-sys (links = "tch"): the library folder it really used.
    let lib = PathBuf::from(
        env::var_os("DEP_TCH_LIBTORCH_LIB").ok_or("torch-sys names no libtorch folder")?,
    );
    let lib = fs::canonicalize(&lib)?;
    let root = lib
        .parent()
        .ok_or("libtorch's library folder has no parent")?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);

    compile("camtl_kernels", KERNELS, &[])?;
    let include = root.join("include");
    let api = include.join("torch/csrc/api/include");
    compile("camtl_shim", SHIM, &[include.as_path(), api.as_path()])?;

    // Cargo puts search paths inside the target directory on the loader's path
    // for `cargo run`, `test` and `bench`, documentation tests included.
    let link = out.join("libtorch");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&lib, &link)?;
    println!("cargo:rustc-link-search=native={}", link.display());
    // One thread pool: libtorch_cpu.so needs the same name, so the loader maps one copy.
    println!("cargo:rustc-link-lib=dylib:+verbatim=libgomp.so.1");
    println!("cargo:libdir={}", lib.display());
    Ok(())
}

/// One static library. Kernels are optimised in every profile: a debug build
/// that is thirty times slower tests nothing a user runs. No fast-math and no
/// contraction, so that results do not depend on what the compiler fuses.
fn compile(name: &str, files: &[&str], includes: &[&Path]) -> Result<(), Box<dyn Error>> {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .pic(true)
        .opt_level(3)
        .debug(false)
        .force_frame_pointer(false)
        .warnings(true)
        .flag("-fopenmp")
        .flag("-fno-math-errno")
        .flag("-fno-trapping-math")
        .flag("-ffp-contract=off")
        .flag("-fvisibility=hidden")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include("csrc")
        .files(files);
    for include in includes {
        build
            .flag("-isystem")
            .flag(include.to_str().ok_or("libtorch's path is not UTF-8")?);
    }
    build.try_compile(name)?;
    Ok(())
}
