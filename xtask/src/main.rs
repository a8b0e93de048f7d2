//! The binary behind `cargo xtask`.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::run(std::env::args_os().skip(1).collect())
}
