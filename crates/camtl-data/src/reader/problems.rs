//! Reading on after the first problem, to name them all.

use std::path::Path;

use super::report::ReadReport;
use super::rows::{Collected, Reading, decode};
use super::unpack::read_bytes;
use crate::error::{DataError, RowError, RowProblem};
use crate::formats::LabelUse;
use crate::spec::Example;
use crate::task::TaskSpec;

/// A split with everything that is wrong in its file.
#[derive(Debug, Default)]
pub struct CheckedSplit {
    /// The rows that are sound.
    pub examples: Vec<Example>,
    /// What was noticed on the way. Rows with a problem are among its rows.
    pub report: ReadReport,
    /// The problems, in the order of the file, at most as many as were asked for.
    pub problems: Vec<DataError>,
    /// Problems beyond these.
    pub more_problems: u64,
}

/// Reads one split like [`read_split_with_report`](super::read_split_with_report), but reads on after a problem: the
/// first `limit` of them are returned, the rest counted.
///
/// # Errors
/// A split that the task does not have. Everything else, an absent file included, is among the problems.
///
/// ```
/// # use camtl_data::{TaskSpec, reader::read_split_with_problems};
/// # let spec = TaskSpec::from_toml(r#"
/// #     name = "mood"
/// #     kind = "classification"
/// #     labels = ["0", "1"]
/// #     metrics = ["accuracy"]
/// #     format = "tsv"
/// #     fields = { text_a = "text", label = "label" }
/// #     files = { dev = "mood.tsv" }
/// # "#, "mood.toml").unwrap();
/// let dir = tempfile::tempdir().unwrap();
/// std::fs::write(dir.path().join("mood.tsv"), "text\tlabel\nfine\t1\ndull\t2\ngrey\nbright\t1\n").unwrap();
/// let checked = read_split_with_problems(&spec, dir.path(), "dev", 10)?;
/// assert_eq!(checked.examples.len(), 2);
/// assert!(checked.problems[0].to_string().contains("mood.tsv:3: column `label` (position 1): unknown label `2`"));
/// assert!(checked.problems[1].to_string().contains("mood.tsv:4: 1 tab-separated column(s), expected 2"));
/// # Ok::<(), camtl_data::DataError>(())
/// ```
pub fn read_split_with_problems(
    spec: &TaskSpec,
    data_dir: &Path,
    split: &str,
    limit: usize,
) -> Result<CheckedSplit, DataError> {
    let (Some(path), Some(layout)) = (spec.split_path(data_dir, split), spec.layout(split)) else {
        return Err(DataError::unknown_split(spec, split));
    };
    let mut found = Problems::new(limit);
    let bytes = match read_bytes(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            found.push(error);
            return Ok(found.into_checked(Vec::new(), ReadReport::default()));
        }
    };
    let origin = path.display().to_string();
    let reading = Reading::new(spec, &layout, &origin, LabelUse::of(&layout.fields));
    let replaced;
    let text = match decode(&bytes, &origin) {
        Ok(text) => text,
        Err(error) if matches!(error.problem, RowProblem::Utf16) => {
            found.push(error.into());
            return Ok(found.into_checked(Vec::new(), ReadReport::default()));
        }
        Err(_) => {
            found.lines_that_are_not_utf8(&bytes, &origin);
            replaced = String::from_utf8_lossy(&bytes);
            &*replaced
        }
    };
    let mut collected = Collected::new(&reading);
    let stopped = (layout.format.definition().read)(&reading.source, text, &mut |row| {
        if let Err(error) = collected.push(row) {
            found.push(error.into());
        }
        Ok(())
    });
    if let Err(error) = stopped {
        found.push(error.into());
    }
    let Collected {
        examples, report, ..
    } = collected;
    if examples.is_empty() && found.is_empty() {
        found.push(DataError::NoRows {
            origin,
            skipped: report.skipped_rows,
            skipped_labels: report.skipped_labels,
        });
    }
    Ok(found.into_checked(examples, report))
}

struct Problems {
    limit: usize,
    kept: Vec<DataError>,
    more: u64,
}

impl Problems {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: Vec::new(),
            more: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.more == 0
    }

    fn push(&mut self, error: DataError) {
        if self.kept.len() < self.limit {
            self.kept.push(error);
        } else {
            self.more += 1;
        }
    }

    fn lines_that_are_not_utf8(&mut self, bytes: &[u8], origin: &str) {
        for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if let Err(error) = decode(text, origin) {
                // A line by itself is line 1 of what was decoded.
                let error = RowError { line, ..*error };
                self.push(Box::new(error).into());
            }
        }
    }

    fn into_checked(self, examples: Vec<Example>, report: ReadReport) -> CheckedSplit {
        CheckedSplit {
            examples,
            report,
            problems: self.kept,
            more_problems: self.more,
        }
    }
}
