//! crates/camtl-cli
fn main() {}
