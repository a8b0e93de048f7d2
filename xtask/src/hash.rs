//! SHA-256 of files, as lower-case hexadecimal.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// SHA-256 of what `reader` yields, and how many bytes that were.
///
/// ```
/// let (hash, bytes) = xtask::hash::of_reader(&b"abc"[..])?;
/// assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// assert_eq!(bytes, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Whatever reading fails with.
pub fn of_reader(mut reader: impl Read) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut total = 0u64;
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        total += n as u64;
    }
    Ok((hex(&hasher.finalize()), total))
}

/// SHA-256 of a file.
///
/// # Errors
/// If the file cannot be opened or read.
pub fn of_file(path: &Path) -> io::Result<String> {
    Ok(of_reader(File::open(path)?)?.0)
}

/// True if `text` looks like a SHA-256 in hexadecimal.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
