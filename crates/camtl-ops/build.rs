//! Compiles the C++ of this crate and links the libtorch that torch-sys found.
use std::{env, error::Error, fs, path::PathBuf};

/// Sources with torch headers: narrow includes, since parsing them is the cost.
const SHIM: &[&str] = &[
    "csrc/runtime.cc",
    "csrc/layout.cc",
    "csrc/cpu_operations.cc",
    "csrc/function_rows.cc",
    "csrc/function_attention.cc",
    "csrc/function_embedding.cc",
    "csrc/function_heads.cc",
    "csrc/function_linear.cc",
    "csrc/function_optimiser.cc",
    "csrc/function_top_scores.cc",
];
/// Kernels: plain C++ and OpenMP on raw pointers, compiled once per instruction
/// set in a namespace of its own.
const KERNELS: &[&str] = &[
    "csrc/cpu/adamw.cc",
    "csrc/cpu/attention_backward.cc",
    "csrc/cpu/attention_forward.cc",
    "csrc/cpu/embedding.cc",
    "csrc/cpu/film.cc",
    "csrc/cpu/gelu.cc",
    "csrc/cpu/heads.cc",
    "csrc/cpu/layer_norm.cc",
];
/// What chooses among them, and what needs no variants.
const PORTABLE: &[&str] = &["csrc/cpu/dispatch.cc", "csrc/dropout_mask.cc"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    for source in SHIM.iter().chain(PORTABLE) {
        println!("cargo:rerun-if-changed={source}");
    }
    for shared in [
        "cpu",
        "cpu_operations.h",
        "function.h",
        "gradient_view.h",
        "guard.h",
        "kernels.h",
        "layout.h",
        "operations.h",
        "philox.h",
    ] {
        println!("cargo:rerun-if-changed=csrc/{shared}");
    }
    // Set by torch-sys (links = "tch"): the library folder it really used.
    let lib = PathBuf::from(
        env::var_os("DEP_TCH_LIBTORCH_LIB").ok_or("torch-sys names no libtorch folder")?,
    );
    let lib = fs::canonicalize(&lib)?;
    let root = lib
        .parent()
        .ok_or("libtorch's library folder has no parent")?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);

    let x86 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    let include = root.join("include");
    let api = include.join("torch/csrc/api/include");
    let mut shim = sources(SHIM);
    for include in [include, api] {
        shim.flag("-isystem")
            .flag(include.to_str().ok_or("libtorch's path is not UTF-8")?);
    }
    // The order is the linker's: users before what they use.
    shim.try_compile("camtl_shim")?;
    let mut portable = sources(PORTABLE);
    if x86 {
        portable.define("CAMTL_HAS_X86_VARIANTS", None);
    }
    portable.try_compile("camtl_portable")?;
    let variants: &[(&str, &[&str])] = if x86 {
        &[
            ("base", &[]),
            ("v3", &["-march=x86-64-v3"]),
            ("v4", &["-march=x86-64-v4", "-mprefer-vector-width=512"]),
        ]
    } else {
        &[("base", &[])]
    };
    for (name, flags) in variants {
        let mut kernels = sources(KERNELS);
        // Vectors in arguments of inlined functions: no ABI is involved.
        kernels.define("CAMTL_ISA", *name).flag("-Wno-psabi");
        // GCC 12 warns about its own AVX-512 header.
        kernels
            .flag("-Wno-maybe-uninitialized")
            .flag("-Wno-uninitialized");
        for flag in *flags {
            kernels.flag(flag);
        }
        kernels.try_compile(&format!("camtl_kernels_{name}"))?;
    }

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

/// A static library. Kernels are optimised in every profile: a debug build that
/// is thirty times slower tests nothing a user runs. No fast-math: infinities,
/// NaN and the order of operations mean what they say.
fn sources(files: &[&str]) -> cc::Build {
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
        .flag("-fvisibility=hidden")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include("csrc")
        .files(files);
    build
}
