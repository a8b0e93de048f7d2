//! Data files into examples: TSV as GLUE has it, CSV, JSON Lines, the nested JSON of `MultiRC`, `ReCoRD`, SQuAD and MRQA,
//! and CoNLL. Files packed with gzip are unpacked.
//!
//! ```
//! use camtl_data::{Label, TaskSpec, reader::read_lines};
//!
//! let spec = TaskSpec::from_toml(
//!     r#"
//!     name = "paraphrase"
//!     kind = "classification"
//!     labels = ["0", "1"]
//!     metrics = ["f1", "accuracy"]
//!     format = "tsv"
//!     fields = { text_a = "first", text_b = "second", label = "same" }
//!     files = { dev = "dev.tsv" }
//!     "#,
//!     "paraphrase.toml",
//! )?;
//! let rows = "first\tsecond\tsame\nIt rains.\tRain falls.\t1\nIt rains.\tThe sun \"shines\".\t0\n";
//! let examples = read_lines(&spec, "dev", rows.as_bytes(), "inline")?;
//! assert_eq!(examples.len(), 2);
//! assert_eq!(examples[1].text_b.as_deref(), Some("The sun \"shines\"."));
//! assert_eq!(examples[1].label, Some(Label::Class(0)));
//!
//! let error = read_lines(&spec, "dev", "first\tsecond\tsame\na\tb\tyes\n".as_bytes(), "inline").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "inline:2: column `same` (position 2): unknown label `yes`; expected `0` or `1`; \
//!      mend the row or the `labels` of the task file",
//! );
//! # Ok::<(), camtl_data::DataError>(())
//! ```

mod asked;
mod details;
mod problems;
mod report;
mod rows;
mod unpack;

use std::io::BufRead;
use std::path::Path;

use crate::error::DataError;
use crate::formats::LabelUse;
pub use crate::spec::{Candidate, Details, Example, Label, Mention, Question, TextSide};
use crate::task::{SplitLayout, TaskSpec};
pub use asked::{AskedError, asked_columns};
pub use problems::{CheckedSplit, read_split_with_problems};
pub use report::ReadReport;
use rows::{Reading, read_rows};
pub(crate) use unpack::read_bytes;

/// Reads one split of a task from its file below `data_dir`.
///
/// A UTF-8 byte order mark, CRLF line ends and a missing last line end are fine. In a split with labels every row
/// must have one.
///
/// # Errors
/// An unknown split, a file that is absent or has no rows, and everything wrong in a row: the message names file,
/// line, column, what was found and expected, and what to do.
pub fn read_split(
    spec: &TaskSpec,
    data_dir: &Path,
    split: &str,
) -> Result<Vec<Example>, DataError> {
    read_split_with_report(spec, data_dir, split).map(|(examples, _)| examples)
}

/// Like [`read_split`], with what was noticed on the way.
///
/// # Errors
/// As [`read_split`].
pub fn read_split_with_report(
    spec: &TaskSpec,
    data_dir: &Path,
    split: &str,
) -> Result<(Vec<Example>, ReadReport), DataError> {
    let (Some(path), Some(layout)) = (spec.split_path(data_dir, split), spec.layout(split)) else {
        return Err(DataError::unknown_split(spec, split));
    };
    let bytes = read_bytes(&path)?;
    parse_split(spec, &layout, &bytes, &path.display().to_string(), split)
}

/// Reads rows in the layout of the split `split_like` from any stream, for prediction.
///
/// Labels are optional: the label column may be absent, and its cells may be empty or one of the `skip_labels`. No row
/// at all is no error.
/// `origin` names the stream in messages.
///
/// # Errors
/// As [`read_split`], and when the stream fails.
pub fn read_lines(
    spec: &TaskSpec,
    split_like: &str,
    reader: impl BufRead,
    origin: &str,
) -> Result<Vec<Example>, DataError> {
    let layout = spec
        .layout(split_like)
        .ok_or_else(|| DataError::unknown_split(spec, split_like))?;
    let bytes = read_stream(reader, origin)?;
    let reading = Reading::new(spec, &layout, origin, LabelUse::Optional);
    let (examples, report) = read_rows(&reading, &bytes)?;
    report_skipped(&spec.name, origin, &report);
    Ok(examples)
}

fn read_stream(mut reader: impl BufRead, origin: &str) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    reader
        .read_to_end(&mut bytes)
        .map_err(|source| DataError::Stream {
            origin: origin.to_owned(),
            source,
        })?;
    Ok(bytes)
}

/// The rows of a whole file, which must have at least one.
pub(crate) fn parse_split(
    spec: &TaskSpec,
    layout: &SplitLayout,
    bytes: &[u8],
    origin: &str,
    split: &str,
) -> Result<(Vec<Example>, ReadReport), DataError> {
    let reading = Reading::new(spec, layout, origin, LabelUse::of(&layout.fields));
    let (examples, report) = read_rows(&reading, bytes)?;
    if examples.is_empty() {
        return Err(DataError::NoRows {
            origin: origin.to_owned(),
            skipped: report.skipped_rows,
            skipped_labels: report.skipped_labels,
        });
    }
    report_skipped(&spec.name, origin, &report);
    if report.empty_texts > 0 {
        tracing::warn!(
            task = %spec.name, split, file = origin, empty_texts = report.empty_texts,
            "texts without a single character"
        );
    }
    Ok((examples, report))
}

fn report_skipped(task: &str, origin: &str, report: &ReadReport) {
    if report.skipped_rows > 0 {
        tracing::warn!(
            task,
            file = origin,
            rows = report.rows,
            skipped_rows = report.skipped_rows,
            "malformed rows left out, as the task file says"
        );
    }
    if report.skipped_labels > 0 {
        tracing::info!(
            task,
            file = origin,
            rows = report.rows,
            skipped_labels = report.skipped_labels,
            "rows left out for their label, as the task file says"
        );
    }
}
