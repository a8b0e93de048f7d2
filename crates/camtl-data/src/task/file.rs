//! The TOML (and JSON) form of a task.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Fields, FileFormat, MalformedRows, SplitSource, Submission, TaskError, TaskKind, TaskSpec,
};
use crate::kinds::Keys;
use crate::metrics::MetricKind;

/// A task file, key by key. [`TaskSpec`] is what it means once checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFile {
    /// See [`TaskSpec::name`].
    name: String,
    /// See [`TaskSpec::title`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// See [`TaskKind`].
    kind: KindName,
    /// Names of labels, tags or options, for the kinds that have such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// Smallest and largest score, for regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<[f32; 2]>,
    /// Whether a question may have no answer, for spans; `false` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_answer: Option<bool>,
    /// See [`TaskSpec::metrics`].
    metrics: Vec<MetricKind>,
    /// See [`TaskSpec::format`].
    format: FileFormat,
    /// See [`TaskSpec::header`]; `true` when absent.
    #[serde(default = "yes", skip_serializing_if = "super::is_true")]
    header: bool,
    /// See [`TaskSpec::columns`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<usize>,
    /// See [`TaskSpec::malformed_rows`].
    #[serde(default, skip_serializing_if = "is_error")]
    malformed_rows: MalformedRows,
    /// See [`TaskSpec::replace_text_b`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    replace_text_b: BTreeMap<String, String>,
    /// See [`TaskSpec::doc_stride`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doc_stride: Option<usize>,
    /// See [`TaskSpec::skip_labels`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skip_labels: Vec<String>,
    /// See [`TaskSpec::folder`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    /// See [`TaskSpec::fields`]. A format with fields of its own has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fields: Option<Fields>,
    /// See [`TaskSpec::files`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, SplitSource>,
    /// See [`TaskSpec::submission`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    submission: Option<Submission>,
}

fn yes() -> bool {
    true
}

// Serde hands the field over by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_error(rows: &MalformedRows) -> bool {
    *rows == MalformedRows::Error
}

impl TaskSpec {
    pub(super) fn from_file_form(file: TaskFile, origin: &str) -> Result<Self, TaskError> {
        let name = file.name.clone();
        let invalid = |problem: &str| TaskError::Invalid {
            origin: origin.to_owned(),
            task: name.clone(),
            problem: problem.to_owned(),
        };
        let keys = Keys {
            labels: file.labels,
            range: file.range,
            no_answer: file.no_answer,
        };
        let kind = TaskKind::new(file.kind.0, keys).map_err(invalid)?;
        if file.fields.is_some() && file.format.own_fields().is_some() {
            return Err(invalid(&format!(
                "the format `{}` has fields of its own; remove `fields`",
                file.format
            )));
        }
        let Some(fields) = file.fields.or_else(|| file.format.default_fields()) else {
            return Err(invalid(
                "missing field `fields`: name the columns, as in fields = { text_a = \"sentence\", label = \"label\" }",
            ));
        };
        let spec = Self {
            name: file.name,
            title: file.title,
            kind,
            metrics: file.metrics,
            format: file.format,
            header: file.header,
            columns: file.columns,
            fields,
            malformed_rows: file.malformed_rows,
            replace_text_b: file.replace_text_b,
            doc_stride: file.doc_stride,
            skip_labels: file.skip_labels,
            folder: file.folder,
            files: file.files,
            submission: file.submission,
        };
        spec.validate(origin)?;
        Ok(spec)
    }
}

impl TryFrom<TaskFile> for TaskSpec {
    type Error = TaskError;

    fn try_from(file: TaskFile) -> Result<Self, TaskError> {
        Self::from_file_form(file, "task description")
    }
}

impl From<TaskSpec> for TaskFile {
    fn from(spec: TaskSpec) -> Self {
        let Keys {
            labels,
            range,
            no_answer,
        } = Keys::of(&*spec.kind);
        Self {
            name: spec.name,
            title: spec.title,
            kind: KindName(spec.kind.name()),
            labels,
            range,
            no_answer,
            metrics: spec.metrics,
            format: spec.format,
            header: spec.header,
            columns: spec.columns,
            malformed_rows: spec.malformed_rows,
            replace_text_b: spec.replace_text_b,
            doc_stride: spec.doc_stride,
            skip_labels: spec.skip_labels,
            folder: spec.folder,
            fields: (spec.format.own_fields().is_none()).then_some(spec.fields),
            files: spec.files,
            submission: spec.submission,
        }
    }
}

// Written out rather than derived as an untagged enum, which would answer every mistake
// with "data did not match any variant" and no line.
impl<'de> Deserialize<'de> for SplitSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrTable;

        impl<'de> Visitor<'de> for PathOrTable {
            type Value = SplitSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a table such as { path = \"test.tsv\", labelled = false }")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<SplitSource, E> {
                Ok(SplitSource::new(path))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SplitSource, A::Error> {
                let table = SplitTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(SplitSource {
                    path: table.path,
                    format: table.format,
                    header: table.header,
                    columns: table.columns,
                    fields: table.fields,
                    labelled: table.labelled,
                    malformed_rows: table.malformed_rows,
                    metrics: table.metrics,
                })
            }
        }

        deserializer.deserialize_any(PathOrTable)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitTable {
    path: PathBuf,
    format: Option<FileFormat>,
    header: Option<bool>,
    columns: Option<usize>,
    fields: Option<Fields>,
    #[serde(default = "yes")]
    labelled: bool,
    malformed_rows: Option<MalformedRows>,
    metrics: Option<Vec<MetricKind>>,
}

/// The name of a kind that there is.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct KindName(&'static str);

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;

        impl Visitor<'_> for Named {
            type Value = KindName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a kind of task")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<KindName, E> {
                (TaskKind::NAMES.iter())
                    .find(|known| **known == name)
                    .map(|known| KindName(known))
                    .ok_or_else(|| E::unknown_variant(name, TaskKind::NAMES))
            }
        }

        deserializer.deserialize_str(Named)
    }
}
