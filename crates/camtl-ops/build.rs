//! Links the libtorch that torch-sys found.
use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    // Set by torch-sys (links = "tch"): the library folder it really used.
    let lib = PathBuf::from(env::var_os("DEP_TCH_LIBTORCH_LIB").ok_or("torch-sys names no libtorch folder")?);
    let lib = fs::canonicalize(&lib)?;
    // Cargo puts search paths inside the target directory on the loader's path
    // for `cargo run`, `test` and `bench`, documentation tests included.
    let link = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?).join("libtorch");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&lib, &link)?;
    println!("cargo:rustc-link-search=native={}", link.display());
    println!("cargo:libdir={}", lib.display());
    Ok(())
}
