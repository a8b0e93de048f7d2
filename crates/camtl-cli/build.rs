//! Lets `target/*/camtl` find libtorch from any folder.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(lib) = std::env::var("DEP_CAMTL_OPS_LIBDIR") {
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,$ORIGIN/../lib:{lib}");
    }
}
