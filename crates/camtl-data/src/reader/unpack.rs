//! Files packed with gzip.

use std::io::{Error, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::DataError;

/// What every gzip file begins with, and no text in UTF-8 can.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// More than any of the supported collections, and less than what would take a machine down.
const LIMIT: u64 = 4 << 30;

/// The bytes of a file, unpacked if they are packed.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let failed = |source| DataError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::read(path).map_err(failed)?;
    unpacked(bytes).map_err(failed)
}

/// The bytes, unpacked if they are packed.
fn unpacked(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if !bytes.starts_with(&MAGIC) {
        return Ok(bytes);
    }
    unpack(&bytes, LIMIT)
}

fn unpack(bytes: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(limit + 1)
        .read_to_end(&mut text)
        .map_err(|error| Error::new(error.kind(), format!("damaged gzip: {error}")))?;
    if text.len() as u64 > limit {
        return Err(Error::other(format!(
            "unpacks to more than {limit} bytes; check where the file is from, or unpack it yourself"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_files_are_unpacked_and_others_left_alone() {
        let two = [packed(b"one\n"), packed(b"two\n")].concat();
        assert_eq!(unpacked(two).unwrap(), b"one\ntwo\n");
        assert_eq!(unpacked(b"plain\n".to_vec()).unwrap(), b"plain\n");
        assert_eq!(unpacked(Vec::new()).unwrap(), b"");
    }

    #[test]
    fn damaged_and_exploding_files_are_refused() {
        let mut whole = packed(&[b'x'; 10_000]);
        assert_eq!(unpack(&whole, 10_000).unwrap().len(), 10_000);
        let error = unpack(&whole, 9_999).unwrap_err().to_string();
        assert!(error.contains("more than 9999 bytes"), "{error}");
        whole.truncate(whole.len() - 6);
        let error = unpacked(whole).unwrap_err().to_string();
        assert!(error.contains("damaged gzip"), "{error}");
    }
}
