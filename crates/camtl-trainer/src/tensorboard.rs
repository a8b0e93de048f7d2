//! A writer of TensorBoard event files (scalars only).
//!
//! An event file is a sequence of TFRecords (length, masked CRC-32C of the length, payload,
//! masked CRC-32C of the payload); each payload is the protocol buffer message
//! `tensorboard.Event`. Three messages with seven fields are all that scalars need, so they are
//! encoded here by hand instead of through a protocol buffer library.
//!
//! ```
//! use camtl_trainer::tensorboard::ScalarWriter;
//!
//! let folder = tempfile::tempdir()?;
//! let mut writer = ScalarWriter::create(folder.path(), 1_700_000_000.0)?;
//! writer.scalars(1_700_000_001.5, 10, &[("train/loss", 0.7)])?;
//! assert!(writer.position() > 0);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Appends scalars to one event file. Every call reaches the operating system before it returns.
#[derive(Debug)]
pub struct ScalarWriter {
    file: File,
    path: PathBuf,
    position: u64,
}

impl ScalarWriter {
    /// Starts a new event file in `folder` (made if missing). `wall_time` is in seconds since 1970.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn create(folder: &Path, wall_time: f64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // TensorBoard takes any file whose name contains "tfevents" and sorts by name.
        let path = folder.join(format!(
            "events.out.tfevents.{:010}.camtl",
            wall_time.max(0.0) as u64
        ));
        let file = File::create(&path)?;
        let mut writer = Self {
            file,
            path,
            position: 0,
        };
        let mut event = Vec::new();
        double_field(&mut event, 1, wall_time);
        bytes_field(&mut event, 3, b"brain.Event:2");
        writer.append(&event)?;
        Ok(writer)
    }

    /// Reopens the event file `path` and cuts it to its first `position` bytes, so that a resumed
    /// run continues where its checkpoint was taken.
    ///
    /// # Errors
    /// Whatever the file system reports; a file shorter than `position` is `UnexpectedEof`.
    pub fn reopen(path: &Path, position: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() < position {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "{} is shorter than the {position} bytes the checkpoint knows",
                    path.display()
                ),
            ));
        }
        file.set_len(position)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            position,
        })
    }

    /// Appends one value per tag for `step`.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn scalars(&mut self, wall_time: f64, step: u64, values: &[(&str, f64)]) -> io::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut entry = Vec::new();
            bytes_field(&mut entry, 1, tag.as_bytes());
            float_field(&mut entry, 2, *value as f32);
            bytes_field(&mut summary, 1, &entry);
        }
        let mut event = Vec::new();
        double_field(&mut event, 1, wall_time);
        varint_field(&mut event, 2, step);
        bytes_field(&mut event, 5, &summary);
        self.append(&event)
    }

    /// Bytes written so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The event file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the file to the disk.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let record = tf_record(payload);
        self.file.write_all(&record)?;
        self.position += record.len() as u64;
        Ok(())
    }
}

/// Frames a payload as a TFRecord.
fn tf_record(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(payload.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(payload);
    record.extend_from_slice(&masked_crc(payload).to_le_bytes());
    record
}

/// TensorFlow rotates and offsets the CRC so that a CRC of data that holds CRCs stays sound.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_field(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn double_field(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, (field << 3) | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes_field(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, (field << 3) | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn float_field(out: &mut Vec<u8>, field: u64, value: f32) {
    varint(out, (field << 3) | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnoli() {
        // RFC 3720, B.4: the check value of CRC-32C.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c::crc32c(&[0u8; 32]), 0x8a91_36aa);
    }

    /// Bytes that the reference implementation writes for the same two events; see
    /// `tests/fixtures/make_tensorboard.py`.
    #[test]
    fn equals_the_reference_implementation() {
        let expected = include_bytes!("../tests/fixtures/tensorboard_reference.bin");
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ScalarWriter::create(folder.path(), 1_700_000_000.0).unwrap();
        writer
            .scalars(
                1_700_000_001.5,
                300,
                &[
                    ("train/loss", std::f64::consts::LN_2),
                    ("eval/cola/mcc", -0.25),
                ],
            )
            .unwrap();
        assert_eq!(std::fs::read(writer.path()).unwrap(), expected);
    }

    #[test]
    fn reopening_cuts_to_the_position() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ScalarWriter::create(folder.path(), 5.0).unwrap();
        writer.scalars(6.0, 1, &[("a", 1.0)]).unwrap();
        let (path, position) = (writer.path().to_path_buf(), writer.position());
        writer.scalars(7.0, 2, &[("a", 2.0)]).unwrap();
        let undisturbed = std::fs::read(&path).unwrap();
        drop(writer);
        let mut writer = ScalarWriter::reopen(&path, position).unwrap();
        writer.scalars(7.0, 2, &[("a", 2.0)]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), undisturbed);
        assert_eq!(
            ScalarWriter::reopen(&path, 1 << 40).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
