//! What the types of a task cannot rule out.

use std::collections::BTreeSet;
use std::path::Component;

use super::{Fields, SplitSource, TaskError, TaskSpec};
use crate::formats::{FileFormat, Header};
use crate::kinds::Parts;
use crate::metrics::MetricKind;
use crate::spec::TextSide;
use crate::suggest::one_of;

impl TaskSpec {
    /// Checks what the types cannot: names, labels, ranges, metrics against the kind, columns against the format.
    ///
    /// # Errors
    /// Every contradiction found, in words; `origin` is the task's source in the message.
    pub fn validate(&self, origin: &str) -> Result<(), TaskError> {
        let problems = self.problems();
        if problems.is_empty() {
            return Ok(());
        }
        Err(TaskError::Invalid {
            origin: origin.to_owned(),
            task: self.name.clone(),
            problem: problems.join("; "),
        })
    }

    /// The first finding about each part of the file, and about each split.
    fn problems(&self) -> Vec<String> {
        name_problem("name", &self.name)
            .into_iter()
            .chain(self.kind.problem())
            .chain(self.metrics_problem(&self.metrics, self.format))
            .chain(self.skip_labels_problem())
            .chain(self.folder_problem())
            .chain(self.settings_problem())
            .chain(
                self.files
                    .iter()
                    .filter_map(|(split, source)| self.split_problem(split, source)),
            )
            .chain(self.submission_problem())
            .collect()
    }

    fn skip_labels_problem(&self) -> Option<String> {
        let mut seen = BTreeSet::new();
        self.skip_labels.iter().find_map(|label| {
            if self.label_index(label).is_some() {
                Some(format!(
                    "`skip_labels` names `{label}`, which is one of `labels`; rows are either used or left out"
                ))
            } else if !seen.insert(label) {
                Some(format!("`skip_labels` names `{label}` twice"))
            } else {
                None
            }
        })
    }

    fn folder_problem(&self) -> Option<String> {
        let folder = self.folder.as_deref()?;
        let plain = folder
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        (!plain || folder.as_os_str().is_empty()).then(|| {
            format!(
                "`folder` is `{}`; expected a folder below the data folder, such as `glue`",
                folder.display()
            )
        })
    }

    /// Metrics against the kind, and against a format of the files.
    fn metrics_problem(&self, metrics: &[MetricKind], format: FileFormat) -> Option<String> {
        if metrics.is_empty() {
            return Some(
                "`metrics` is empty; name at least one (the first drives early stopping)"
                    .to_owned(),
            );
        }
        let provided = self.evidence(format);
        let fits = |metric: MetricKind| metric.definition().comparison(&provided).is_some();
        let mut seen = BTreeSet::new();
        for metric in metrics {
            if !fits(*metric) {
                let fitting = MetricKind::ALL.iter().filter(|metric| fits(**metric));
                return Some(format!(
                    "metric `{metric}` does not fit {}; use {}",
                    self.kind.name(),
                    one_of(fitting.map(|metric| metric.name()))
                ));
            }
            let labels_problem = metric.definition().labels_problem;
            if let Some(problem) = labels_problem.and_then(|find| find(self.kind.labels())) {
                return Some(problem);
            }
            if !seen.insert(*metric) {
                return Some(format!("`metrics` names `{metric}` twice"));
            }
        }
        None
    }

    fn split_problem(&self, split: &str, source: &SplitSource) -> Option<String> {
        if let Some(problem) = name_problem("split", split) {
            return Some(problem);
        }
        if source.path.as_os_str().is_empty() {
            return Some(format!("files.{split}: the path is empty"));
        }
        let layout = self.layout(split)?;
        if let Some(problem) = self.format_problem(layout.format) {
            return Some(format!("files.{split}: {problem}"));
        }
        let own_metrics = source.metrics.as_deref();
        if let Some(problem) =
            own_metrics.and_then(|metrics| self.metrics_problem(metrics, layout.format))
        {
            return Some(format!("files.{split}: {problem}"));
        }
        if layout.format.own_fields().is_some() {
            return source.fields.is_some().then(|| {
                format!(
                    "files.{split}: the format `{}` has fields of its own; remove `fields`",
                    layout.format
                )
            });
        }
        if let Some(problem) = self.fields_problem(&layout.fields) {
            return Some(format!("files.{split}: {problem}"));
        }
        if source.labelled && layout.fields.label.is_none() {
            return Some(format!(
                "files.{split}: no `label` among its fields; name the column, or write `labelled = false`"
            ));
        }
        let format = layout.format.definition();
        let header = Header {
            header: layout.header,
            columns: layout.columns,
        };
        let fields = &layout.fields;
        let named = [
            ("text_a", Some(&fields.text_a)),
            ("text_b", fields.text_b.as_ref()),
            ("label", fields.label.as_ref()),
            ("key", fields.key.as_ref()),
        ];
        let further = fields.further().into_iter().map(|column| {
            let of = if fields.choices.is_empty() {
                "mentions"
            } else {
                "choices"
            };
            (of, Some(column))
        });
        for (field, column) in named.into_iter().chain(further) {
            let Some(column) = column else { continue };
            if let Some(problem) = format.column_problem(&header, field, column) {
                return Some(format!("files.{split}: {problem}"));
            }
        }
        None
    }

    /// Whether the files can hold what the kind needs.
    fn format_problem(&self, format: FileFormat) -> Option<String> {
        let fits = |format: FileFormat| self.kind.rows().contains(&format.definition().rows);
        if !fits(format) {
            let fitting = FileFormat::ALL.iter().filter(|format| fits(**format));
            return Some(format!(
                "the format `{format}` does not fit {}; use {}",
                self.kind.name(),
                one_of(fitting.map(ToString::to_string))
            ));
        }
        let labels = (format.definition().labels).filter(|labels| self.kind.labels() != *labels)?;
        Some(format!(
            "the format `{format}` labels candidates `{}`; write labels = {labels:?}",
            labels.join("` and `")
        ))
    }

    /// Whether options and mentions are there for the kinds that need them, and only for these.
    fn fields_problem(&self, fields: &Fields) -> Option<String> {
        let choices = fields.choices.len();
        let options = self.kind.labels().len();
        match self.kind.parts() {
            Parts::Options if choices != options => {
                return Some(format!(
                    "`choices` names {choices} column(s) for {options} options; name one for each of `labels`"
                ));
            }
            Parts::Texts | Parts::Words | Parts::Question | Parts::Mentions if choices > 0 => {
                return Some("`choices` is for multiple choices; remove it".to_owned());
            }
            Parts::Texts | Parts::Options | Parts::Words | Parts::Question | Parts::Mentions => {}
        }
        let pair = self.kind.parts() == Parts::Mentions;
        if fields.mentions.len() != if pair { 2 } else { 0 } {
            return Some(if pair {
                format!(
                    "`mentions` names {} mention(s); a span pair has two, as in [{{ text = \"a\", start = \"start1\", end = \"end1\" }}, ...]",
                    fields.mentions.len()
                )
            } else {
                "`mentions` is for span pairs; remove it".to_owned()
            });
        }
        fields.mentions.iter().find_map(|mention| {
            let sound = matches!(
                (&mention.start, &mention.end, &mention.word, &mention.span),
                (Some(_), Some(_), None, None) | (None, None, Some(_), Some(_))
            );
            if !sound {
                return Some(
                    "a mention has either `start` and `end` (characters) or `word` and `span` (words)"
                        .to_owned(),
                );
            }
            (mention.text == TextSide::B && fields.text_b.is_none())
                .then(|| "a mention is in the text `b`, but there is no `text_b`".to_owned())
        })
    }

    fn settings_problem(&self) -> Option<String> {
        if self.doc_stride == Some(0) {
            return Some("`doc_stride` is 0; windows would never move on".to_owned());
        }
        if self.doc_stride.is_some() && self.kind.no_answer().is_none() {
            return Some("`doc_stride` is for spans; remove it".to_owned());
        }
        if !self.replace_text_b.is_empty() && self.fields.text_b.is_none() {
            return Some("`replace_text_b` is given, but there is no `text_b`".to_owned());
        }
        None
    }
}

/// Task and split names become file names and keys of reports, so their alphabet is small.
fn name_problem(what: &str, name: &str) -> Option<String> {
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (!plain).then(|| {
        format!("{what} `{name}`: expected ASCII letters, digits, `-`, `_` or `.`, not beginning with a dot")
    })
}
