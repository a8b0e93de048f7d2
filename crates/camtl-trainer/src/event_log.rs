//! `events.jsonl`: one JSON object per line, each line handed to the operating system at once.
//!
//! A checkpoint remembers how long the file was when it was taken; a resumed run cuts the file
//! there and writes on, so no update is told twice.
//!
//! ```
//! use camtl_trainer::event_log::{EventLog, read_events};
//! use camtl_trainer::{Event, event::Timing};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("events.jsonl");
//! let mut log = EventLog::create(&path)?;
//! log.write(&Event::EarlyStopped { step: 4, best_step: 2, best_average: 0.5, timing: Timing::default() })?;
//! assert_eq!(read_events(&path)?.len(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use crate::event::Event;

/// Appends events to a file.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    position: u64,
}

impl EventLog {
    /// Starts an empty file, replacing what was there.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            position: 0,
        })
    }

    /// Reopens a file and cuts it to its first `position` bytes.
    ///
    /// # Errors
    /// Whatever the file system reports; a file shorter than `position` is `UnexpectedEof`.
    pub fn reopen(path: &Path, position: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        if length < position {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "{} has {length} bytes; the checkpoint was taken at byte {position}",
                    path.display()
                ),
            ));
        }
        file.set_len(position)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, position })
    }

    /// Appends one event as one line.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event).map_err(io::Error::from)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.position += line.len() as u64;
        Ok(())
    }

    /// Length of the file in bytes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Flushes the file to the disk.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Reads the events of a file. A last line without its line break (a kill in the middle of a
/// write) is left out.
///
/// # Errors
/// The file cannot be read, or a whole line is not an event (`InvalidData`, with its number).
pub fn read_events(path: &Path) -> io::Result<Vec<Event>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut events = Vec::new();
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        if reader.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            break;
        }
        let event = serde_json::from_str(&line).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}:{number}: not an event: {error}", path.display()),
            )
        })?;
        events.push(event);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timing;

    fn stopped(step: u64) -> Event {
        Event::EarlyStopped {
            step,
            best_step: 1,
            best_average: 0.1,
            timing: Timing::default(),
        }
    }

    #[test]
    fn reopening_cuts_and_continues() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        log.write(&stopped(1)).unwrap();
        let position = log.position();
        log.write(&stopped(2)).unwrap();
        drop(log);
        let mut log = EventLog::reopen(&path, position).unwrap();
        log.write(&stopped(3)).unwrap();
        let steps: Vec<_> = read_events(&path)
            .unwrap()
            .iter()
            .map(|event| event.step())
            .collect();
        assert_eq!(steps, [Some(1), Some(3)]);
        let error = EventLog::reopen(&path, 1 << 30).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let whole = serde_json::to_string(&stopped(1)).unwrap();
        std::fs::write(&path, format!("{whole}\n{}", &whole[..20])).unwrap();
        assert_eq!(read_events(&path).unwrap(), [stopped(1)]);
        std::fs::write(&path, format!("{whole}\n{{\"event\":\"nonsense\"}}\n")).unwrap();
        assert!(
            read_events(&path)
                .unwrap_err()
                .to_string()
                .contains("events.jsonl:2: not an event")
        );
    }
}
