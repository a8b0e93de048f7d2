//! The two ways out of the program: results on standard output, everything else on standard error.
//!
//! `println!` panics when the reader has gone (`camtl eval run | head`); these do not.

use std::io::{self, Write as _};

/// Writes a result to standard output and flushes it.
///
/// # Errors
/// The I/O error, among them a broken pipe, which the caller passes up.
pub(crate) fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes a line to standard error; a closed standard error is nobody's loss.
pub(crate) fn note(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = err.write_all(b"\n");
    }
}

/// What the user types to get here: `camtl`, or the front door that started it.
///
/// `cargo xtask` sets CAMTL_COMMAND, so that hints can be copied as they are.
pub(crate) fn command() -> String {
    std::env::var("CAMTL_COMMAND").unwrap_or_else(|_| "camtl".to_owned())
}
