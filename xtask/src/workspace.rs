//! Where things are: the workspace's root and the folders that belong to it.
//!
//! Paths the user gives are relative to the user's current folder; everything the workspace owns
//! (`.libtorch`, `models`, `data`) is relative to its root, whatever folder the command starts in.

use std::path::{Path, PathBuf};

/// The root of the workspace: the folder that holds `xtask/`.
///
/// `cargo run` sets `CARGO_MANIFEST_DIR`; an `xtask` binary started by hand falls back to where it
/// was compiled.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.file_name().is_some_and(|name| name == "xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// `path` for messages: relative to the current folder if it lies inside, otherwise as it is.
pub fn shown(path: &Path) -> String {
    let relative = std::env::current_dir()
        .ok()
        .and_then(|cwd| path.strip_prefix(cwd).ok().map(Path::to_path_buf))
        .filter(|p| !p.as_os_str().is_empty());
    relative.as_deref().unwrap_or(path).display().to_string()
}

/// Bytes for people: `499 MB`, `3.8 GB` (powers of ten, as disks and pip count).
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit > 0 && value < 9.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_manifest_and_xtask() {
        assert!(root().join("Cargo.toml").is_file());
        assert!(root().join("xtask").is_dir());
    }

    #[test]
    fn bytes_are_rounded_for_people() {
        assert_eq!(human_bytes(0), "0 bytes");
        assert_eq!(human_bytes(999), "999 bytes");
        assert_eq!(human_bytes(1_000), "1.0 kB");
        assert_eq!(human_bytes(498_700_000), "499 MB");
        assert_eq!(human_bytes(3_812_000_000), "3.8 GB");
        assert_eq!(human_bytes(999_999), "1.0 MB");
    }
}
