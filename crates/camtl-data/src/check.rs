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

mod first;
mod labels;
mod lengths;
mod mentions;
mod notes;
mod questions;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::DataError;
use crate::reader::{Example, ReadReport, read_split_with_problems};
use crate::task::TaskSpec;
use crate::tokenize::{TextTokenizer, TokenizerError};
pub use first::{FirstExample, Mark};
pub use labels::{LabelCount, Scores};
pub use lengths::Lengths;
pub use mentions::Mentions;
pub use questions::{Questions, Windows};
pub use words::Words;

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
    /// Examples of each label (for tagging, words of each tag), in the order of the classes; empty for regression, spans
    /// and splits without labels.
    pub labels: Vec<LabelCount>,
    /// Words, for tagging: [`labels`](Self::labels) counts their tags.
    pub words: Option<Words>,
    /// The scores, for regression.
    pub scores: Option<Scores>,
    /// Answers and windows, for spans.
    pub questions: Option<Questions>,
    /// The mentions, for span pairs.
    pub mentions: Option<Mentions>,
    /// Lengths in tokens; `None` without a tokenizer.
    pub lengths: Option<Lengths>,
    /// The first examples.
    pub first: Vec<FirstExample>,
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
        summary.count(spec, tokenizer, &read.examples, labelled, options)?;
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
    found.notes = notes::of(spec, &found);
    Ok(found)
}

impl SplitCheck {
    /// Sums up the sound rows.
    fn count(
        &mut self,
        spec: &TaskSpec,
        tokenizer: Option<&TextTokenizer>,
        examples: &[Example],
        labelled: bool,
        options: &CheckOptions,
    ) -> Result<(), TokenizerError> {
        let max_length = options.max_length;
        if labelled {
            self.labels = labels::balance(spec, examples);
        }
        self.unlabelled = labels::unlabelled(examples);
        self.scores = Scores::of(examples);
        self.words = Words::of(examples);
        self.questions = Questions::of(examples);
        self.mentions = Mentions::of(examples);
        if let Some(tokenizer) = tokenizer {
            self.lengths = Lengths::of(tokenizer, examples, max_length)?;
            if let Some(mentions) = &mut self.mentions {
                mentions.count_cut(tokenizer, examples, max_length)?;
            }
            if self.words.is_some() || self.questions.is_some() {
                let report = ReadReport::of(examples);
                let stride = spec.doc_stride;
                let encoded =
                    tokenizer.encode_with_report(examples, max_length, stride, &report)?;
                if let Some(words) = &mut self.words {
                    words.count_cut(&encoded);
                }
                if let Some(questions) = &mut self.questions {
                    questions.count_windows(&encoded, examples);
                }
            }
        }
        for example in examples.iter().take(options.examples) {
            let first = FirstExample::of(spec, tokenizer, example, max_length)?;
            self.first.push(first);
        }
        Ok(())
    }
}
