//! What the server that scores a task wants of its answers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::TaskSpec;
use crate::suggest::one_of;
use camtl_files::nearest;

/// Files for the server that scores a task's test splits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// File name by split, as the server expects it. Its extension decides the form: [`SubmissionFormat`].
    pub files: BTreeMap<String, String>,
    /// The server's spelling of labels it spells otherwise than the data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Submission {
    /// The server's spelling of a label name.
    #[must_use]
    pub fn spelling<'a>(&'a self, label: &'a str) -> &'a str {
        self.labels.get(label).map_or(label, String::as_str)
    }
}

/// The form of a file for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubmissionFormat {
    /// `.tsv`, as GLUE's server takes it: a header, then per row its number and the answer.
    Tsv,
    /// `.jsonl`, as SuperGLUE's server takes it: JSON objects with the file's own identifiers of the rows.
    Jsonl,
}

impl SubmissionFormat {
    /// The form that a file's name asks for; `None` for one that no server takes.
    ///
    /// ```
    /// use camtl_data::task::SubmissionFormat;
    ///
    /// assert_eq!(SubmissionFormat::of("CoLA.tsv"), Some(SubmissionFormat::Tsv));
    /// assert_eq!(SubmissionFormat::of("BoolQ.jsonl"), Some(SubmissionFormat::Jsonl));
    /// assert_eq!(SubmissionFormat::of("CoLA.csv"), None);
    /// ```
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match Path::new(name).extension()?.to_str()? {
            "tsv" => Some(Self::Tsv),
            "jsonl" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

impl TaskSpec {
    /// What is wrong with `[submission]`, in words.
    pub(super) fn submission_problem(&self) -> Option<String> {
        let submission = self.submission.as_ref()?;
        for (split, name) in &submission.files {
            let Some(layout) = self.layout(split) else {
                let hint = nearest(split, self.files.keys().map(String::as_str))
                    .map_or(String::new(), |near| format!(" (did you mean `{near}`?)"));
                return Some(format!(
                    "submission.files names split `{split}`, which is not among `files`{hint}"
                ));
            };
            let plain = Path::new(name)
                .file_name()
                .is_some_and(|file| file == name.as_str());
            if !plain {
                return Some(format!(
                    "submission.files.{split}: `{name}` must be a file name without folders"
                ));
            }
            match SubmissionFormat::of(name) {
                None => {
                    return Some(format!(
                        "submission.files.{split}: `{name}` must end in `.tsv` (row numbers and answers, as GLUE's server takes them) or `.jsonl` (JSON objects, as SuperGLUE's does)"
                    ));
                }
                Some(SubmissionFormat::Jsonl) if layout.fields.key.is_none() => {
                    return Some(format!(
                        "submission.files.{split}: `{name}` names rows by their own identifiers, but `fields` has no `key`; name the column"
                    ));
                }
                Some(_) => {}
            }
        }
        for label in submission.labels.keys() {
            if self.label_index(label).is_none() {
                return Some(format!(
                    "submission.labels spells `{label}`, which is not a label; expected {}",
                    one_of(self.kind.labels())
                ));
            }
        }
        None
    }
}
