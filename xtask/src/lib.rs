//! Set-up, downloads and workflows of the camtl workspace: everything behind `cargo xtask`.
//!
//! Nothing here links libtorch or knows a crate of the workspace: `xtask` prepares what they need
//! (libtorch, encoders, data sets), builds the `camtl` binary and hands over to it. It is a library
//! so that its tests can reach the download and unpacking code with servers and archives of their own.
//!
//! Messages go to standard error; only help, `doctor` and what a started program prints go to
//! standard output.
//!
//! ```
//! // Exit codes: 0 success, 1 the work failed, 2 bad usage.
//! let error = xtask::error::usage("no such command `trian`", "did you mean `train`?");
//! assert_eq!(xtask::error::exit_code(&error), 2);
//! ```

pub mod archive;
pub mod cargo;
pub mod commands;
pub mod datasets;
pub mod disk;
pub mod error;
pub mod fetch;
pub mod hash;
pub mod hub;
pub mod kernels;
pub mod libtorch;
pub mod models;
pub mod python;
pub mod tidy;
pub mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `cargo xtask ARGS` and says how it ended: 0 success, 1 the work failed, 2 bad usage.
pub fn run(args: Vec<OsString>) -> ExitCode {
    match commands::dispatch(args) {
        Ok(code) => code,
        Err(error) => {
            eprint!("{}", error::render(&error));
            ExitCode::from(error::exit_code(&error))
        }
    }
}
