//! Archives of any content, the xtask binary, and the server of [`server`].
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

mod server;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

#[allow(unused_imports, reason = "each test file uses a part")]
pub use server::*;
use zip::write::SimpleFileOptions;

/// A zip with the given entries.
pub fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .expect("zip entry");
        writer.write_all(content).expect("zip content");
    }
    writer.finish().expect("zip").into_inner()
}

/// The binary, without the environment of the test run that could change its answers.
pub fn xtask(cwd: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(cwd);
    for name in [
        "LIBTORCH",
        "LIBTORCH_USE_PYTORCH",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "SSL_CERT_FILE",
        "PYTHON",
    ] {
        command.env_remove(name);
    }
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
