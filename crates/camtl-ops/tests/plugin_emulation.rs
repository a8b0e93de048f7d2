//! The CUDA plugin's autograd functions without a GPU: its unmodified glue is linked
//! with emulated kernels, works on tensors in host memory, and is compared, outputs
//! and all gradients, with compositions of libtorch's operations in float64.

#[path = "emulator/compile.rs"]
mod compile;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use compile::Compiler;

#[test]
fn autograd_functions_over_emulated_kernels_agree_with_libtorch() {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("csrc/cuda");
    // The build script links to the folder of the libtorch in use.
    let lib = Path::new(env!("OUT_DIR"))
        .join("libtorch")
        .canonicalize()
        .expect("the build script's link to libtorch");
    let include = lib.parent().expect("libtorch's folder").join("include");

    let compiler = Compiler::new();
    let glue = compiler.with_libtorch("glue_all.cpp", &kernels, &include);
    let objects: Vec<PathBuf> = [glue]
        .into_iter()
        .chain(compiler.machine(&kernels))
        .chain(compiler.units(&kernels).into_values())
        .collect();
    let program = compiler.link_with(
        "plugin",
        &objects,
        &[
            format!("-L{}", lib.display()),
            "-ltorch_cpu".to_owned(),
            "-lc10".to_owned(),
            format!("-Wl,-rpath,{}", lib.display()),
        ],
    );
    let output = Command::new(&program).output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "the plugin's functions are wrong:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.lines().filter(|line| line.starts_with("ok")).count() > 50,
        "{text}"
    );
}
