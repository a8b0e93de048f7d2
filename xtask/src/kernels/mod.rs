//! The CUDA kernels of `camtl-ops`, compiled without a GPU: resource check and plugin.
//!
//! [`compile`] runs nvcc on every `.cu` file for the architectures that are shipped, [`resources`]
//! reads what ptxas says about registers and spills, [`table`] compares that with the committed
//! table, and [`plugin`] links the library that camtl opens when a GPU is asked for.

pub mod compile;
pub mod plugin;
pub mod resources;
pub mod table;

use std::path::{Path, PathBuf};

/// Where the kernels' sources are.
pub fn sources(root: &Path) -> PathBuf {
    root.join("crates/camtl-ops/csrc/cuda")
}

/// The committed table of registers.
pub fn table_file(root: &Path) -> PathBuf {
    sources(root).join("registers.toml")
}
