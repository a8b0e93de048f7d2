//! A task file tried on its data, before anything is trained: counts, label balance, lengths, the first examples as
//! tokens, and every problem with its place.
//!
//! ```
//! use camtl_data::check::{CheckOptions, check_task};
//! use camtl_data::TaskSpec;
//!
//! let spec = TaskSpec::from_toml(
//!     r#"
//!     name = "mood"
//!     kind = "classification"
//!     labels = ["gloomy", "cheerful"]
//!     metrics = ["accuracy"]
//!     format = "csv"
//!     fields = { text_a = "text", label = "mood" }
//!     files = { train = "mood.csv" }
//!     "#,
//!     "mood.toml",
//! )?;
//! let dir = tempfile::tempdir().unwrap();
//! std::fs::write(dir.path().join("mood.csv"), "text,mood\nwhat a day,cheerful\nrain again,gloomy\nhm,so-so\n").unwrap();
//!
//! let found = check_task(&spec, None, &CheckOptions::new(dir.path()))?;
//! assert_eq!((found.splits["train"].rows, found.splits["train"].examples), (3, 2));
//! assert_eq!(found.splits["train"].labels[1].count, 1);
//! assert_eq!(found.problems[0].line, Some(4));
//! assert!(!found.is_sound());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::DataError;
use crate::reader::{Example, Label, read_split_with_problems};
use crate::task::TaskSpec;
use crate::tokenize::{TextTokenizer, TokenizerError};

/// What [`check_task`] looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// Folder that the paths of the task file are relative to.
    pub data_dir: PathBuf,
    /// Longest sequence in tokens, special tokens included.
    pub max_length: usize,
    /// At most so many problems are told in words, over all splits.
    pub max_problems: usize,
    /// So many examples of each split are shown as tokens.
    pub examples: usize,
}

impl CheckOptions {
    /// Sequences of 128 tokens, 20 problems, two examples of each split.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            max_length: 128,
            max_problems: 20,
            examples: 2,
        }
    }
}

/// What was found out about a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskCheck {
    /// The task's name.
    pub task: String,
    /// The splits whose files are there.
    pub splits: BTreeMap<String, SplitCheck>,
    /// Where the files of the other splits were looked for.
    pub absent: BTreeMap<String, PathBuf>,
    /// What must be mended before the task can be trained on, in the order of splits and lines.
    pub problems: Vec<Problem>,
    /// Problems beyond those told.
    pub more_problems: u64,
    /// What is allowed but worth knowing.
    pub notes: Vec<String>,
}

impl TaskCheck {
    /// Whether nothing has to be mended.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.more_problems == 0
    }
}

/// One split in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SplitCheck {
    /// The file.
    pub path: PathBuf,
    /// Data rows, those with a problem and those left out included.
    pub rows: u64,
    /// Sound rows.
    pub examples: u64,
    /// Rows of the wrong shape left out because the task file says so.
    pub skipped_rows: u64,
    /// Rows left out for their label because the task file says so.
    pub skipped_labels: u64,
    /// Texts without a single character.
    pub empty_texts: u64,
    /// Examples without a label.
    pub unlabelled: u64,
    /// Examples of each label, in the order of the classes; empty for regression and for splits without labels.
    pub labels: Vec<LabelCount>,
    /// The scores, for regression.
    pub scores: Option<Scores>,
    /// Lengths in tokens; `None` without a tokenizer.
    pub lengths: Option<Lengths>,
    /// The first examples.
    pub first: Vec<FirstExample>,
}

/// How often a label occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelCount {
    /// Its name.
    pub label: String,
    /// Its examples.
    pub count: u64,
}

/// Scores of a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// The smallest.
    pub min: f32,
    /// The mean.
    pub mean: f64,
    /// The largest.
    pub max: f32,
}

/// Lengths in tokens before truncation, special tokens included. Percentiles are lengths that occur (nearest rank).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lengths {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// Examples longer than the maximum length, which lose tokens.
    pub truncated: u64,
}

/// An example as the model will see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstExample {
    /// Row number in the file, from 0.
    pub id: u64,
    /// The file's own identifier.
    pub key: Option<String>,
    /// The label's name, or the score.
    pub label: Option<String>,
    /// The texts as they were read: one, or two of a pair.
    pub texts: Vec<String>,
    /// The tokens after truncation; empty without a tokenizer.
    pub tokens: Vec<String>,
    /// The segment of each token.
    pub token_type_ids: Vec<u8>,
}

/// Something that must be mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The split; `None` for one of the task as a whole.
    pub split: Option<String>,
    /// The file, where the problem lies in one.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The message, place and remedy included.
    pub message: String,
}

impl Problem {
    fn new(split: Option<&str>, error: &DataError) -> Self {
        let (file, line) = match error {
            DataError::Row(row) => (Some(row.origin.clone()), Some(row.line)),
            DataError::NoRows { origin, .. } => (Some(origin.clone()), None),
            DataError::Io { path, .. } => (Some(path.display().to_string()), None),
            _ => (None, None),
        };
        Self {
            split: split.map(str::to_owned),
            file,
            line,
            message: error.to_string(),
        }
    }
}

/// Reads every split of a task whose file is there, to the end, and sums up what it finds. Without a tokenizer there
/// are no lengths and no tokens.
///
/// # Errors
/// A tokenizer that fails, a maximum length without room for text. What is wrong with the data is no error but among
/// [`TaskCheck::problems`].
pub fn check_task(
    spec: &TaskSpec,
    tokenizer: Option<&TextTokenizer>,
    options: &CheckOptions,
) -> Result<TaskCheck, DataError> {
    let mut found = TaskCheck {
        task: spec.name.clone(),
        splits: BTreeMap::new(),
        absent: BTreeMap::new(),
        problems: Vec::new(),
        more_problems: 0,
        notes: Vec::new(),
    };
    for split in spec.files.keys() {
        let Some(path) = spec.split_path(&options.data_dir, split) else {
            continue;
        };
        if !path.exists() {
            found.absent.insert(split.clone(), path);
            continue;
        }
        let room = options.max_problems - found.problems.len().min(options.max_problems);
        let read = read_split_with_problems(spec, &options.data_dir, split, room)?;
        let told = read
            .problems
            .iter()
            .map(|error| Problem::new(Some(split), error));
        found.problems.extend(told);
        found.more_problems += read.more_problems;
        let mut summary = SplitCheck {
            path,
            rows: read.report.rows,
            examples: read.examples.len() as u64,
            skipped_rows: read.report.skipped_rows,
            skipped_labels: read.report.skipped_labels,
            empty_texts: read.report.empty_texts,
            ..SplitCheck::default()
        };
        let labelled = spec.files[split].labelled;
        summary.count_labels(spec, &read.examples, labelled);
        if let Some(tokenizer) = tokenizer {
            summary.lengths = lengths(tokenizer, &read.examples, options.max_length)?;
        }
        for example in read.examples.iter().take(options.examples) {
            summary
                .first
                .push(first_example(spec, tokenizer, example, options.max_length)?);
        }
        found.splits.insert(split.clone(), summary);
    }
    if found.splits.is_empty() {
        let error = DataError::NoFiles {
            task: spec.name.clone(),
            data_dir: options.data_dir.clone(),
            looked_for: found
                .absent
                .values()
                .map(|path| path.display().to_string())
                .collect(),
        };
        found.problems.push(Problem::new(None, &error));
    }
    found.notes = notes(spec, &found);
    Ok(found)
}

impl SplitCheck {
    fn count_labels(&mut self, spec: &TaskSpec, examples: &[Example], labelled: bool) {
        let mut classes = vec![0; spec.kind.labels().len()];
        let mut scores = Vec::new();
        for example in examples {
            match example.label {
                Some(Label::Class(class)) => {
                    if let Some(count) = classes.get_mut(class as usize) {
                        *count += 1;
                    }
                }
                Some(Label::Score(score)) => scores.push(score),
                Some(Label::Structured) => {}
                None => self.unlabelled += 1,
            }
        }
        if labelled {
            self.labels = spec
                .kind
                .labels()
                .iter()
                .zip(classes)
                .map(|(label, count)| LabelCount {
                    label: label.clone(),
                    count,
                })
                .collect();
        }
        if !scores.is_empty() {
            self.scores = Some(Scores {
                min: scores.iter().copied().fold(f32::INFINITY, f32::min),
                mean: scores.iter().copied().map(f64::from).sum::<f64>() / scores.len() as f64,
                max: scores.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            });
        }
    }
}

fn lengths(
    tokenizer: &TextTokenizer,
    examples: &[Example],
    max_length: usize,
) -> Result<Option<Lengths>, TokenizerError> {
    let encoded = tokenizer.encode_all(examples, usize::MAX)?;
    let mut lengths: Vec<u64> = encoded.iter().map(|example| example.len() as u64).collect();
    lengths.sort_unstable();
    let Some(&max) = lengths.last() else {
        return Ok(None);
    };
    // Nearest rank: the smallest length that at least so many percent of the examples do not exceed.
    let percentile = |percent: usize| lengths[(lengths.len() * percent).div_ceil(100).max(1) - 1];
    Ok(Some(Lengths {
        p50: percentile(50),
        p90: percentile(90),
        p99: percentile(99),
        max,
        truncated: lengths
            .iter()
            .filter(|length| **length > max_length as u64)
            .count() as u64,
    }))
}

fn first_example(
    spec: &TaskSpec,
    tokenizer: Option<&TextTokenizer>,
    example: &Example,
    max_length: usize,
) -> Result<FirstExample, TokenizerError> {
    let label = example.label.map(|label| match label {
        Label::Class(class) => spec.label_name(class).unwrap_or_default().to_owned(),
        Label::Score(score) => score.to_string(),
        Label::Structured => String::new(),
    });
    let mut first = FirstExample {
        id: example.id,
        key: example.key.clone(),
        label,
        texts: std::iter::once(&example.text_a)
            .chain(&example.text_b)
            .cloned()
            .collect(),
        tokens: Vec::new(),
        token_type_ids: Vec::new(),
    };
    if let Some(tokenizer) = tokenizer {
        let encoded = tokenizer.encode(&example.text_a, example.text_b.as_deref(), max_length)?;
        first.tokens = encoded
            .input_ids
            .iter()
            .map(|id| tokenizer.token(*id).unwrap_or_else(|| format!("<{id}>")))
            .collect();
        first.token_type_ids = encoded.token_type_ids;
    }
    Ok(first)
}

fn notes(spec: &TaskSpec, found: &TaskCheck) -> Vec<String> {
    let mut notes = Vec::new();
    for (split, path) in &found.absent {
        notes.push(format!("{split}: {} is not there", path.display()));
    }
    if !spec.files.contains_key("train") {
        notes.push("no split `train`: the task can be evaluated, not trained".to_owned());
    }
    for (split, summary) in &found.splits {
        if summary.skipped_rows > 0 {
            notes.push(format!(
                "{split}: {} malformed row(s) left out, as the task file says",
                summary.skipped_rows
            ));
        }
        if summary.skipped_labels > 0 {
            notes.push(format!(
                "{split}: {} row(s) left out for their label, as the task file says",
                summary.skipped_labels
            ));
        }
        if summary.empty_texts > 0 {
            notes.push(format!(
                "{split}: {} text(s) without a single character",
                summary.empty_texts
            ));
        }
        for LabelCount { label, count } in &summary.labels {
            if *count == 0 && summary.examples > 0 {
                notes.push(format!("{split}: label `{label}` does not occur"));
            }
        }
    }
    notes
}
