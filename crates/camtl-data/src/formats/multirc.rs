//! `MultiRC` as `SuperGLUE` has it: passages with questions with answers, one JSON object per passage.
//!
//! Every answer is a row: the passage, question and answer with a space between them, the answer's label, and the key
//! `passage-question-answer` made of the three `idx` values, and the question's number as its group.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::delimited::lines;
use super::format::{Format, FormatFields, RowForm};
use super::json_value::{parse_object, plain, type_name};
use super::row::{Each, LabelUse, RawRow, Source};
use crate::metrics::Evidence;
use crate::spec::{Fields, RowError, RowProblem};
use camtl_files::nearest;

pub(super) const FORMAT: Format = Format {
    spelling: "multirc",
    rows: RowForm::Judgements,
    fields: FormatFields::Own(|| Fields::named("passage", "question_answer", "label", "idx")),
    labels: None,
    evidence: Some(Evidence::Judgements),
    read: for_each_row,
};

/// A label, and where it stands for messages.
type PlacedLabel = (Cow<'static, str>, String);

type Object = Map<String, Value>;

/// Calls `each` with every answer, in order, until it refuses one. Blank lines are no rows.
fn for_each_row(source: &Source<'_>, text: &str, each: Each<'_>) -> Result<(), Box<RowError>> {
    let mut questions = 0;
    for (line, text) in lines(text) {
        if text.trim().is_empty() {
            continue;
        }
        match parse_object(text) {
            Ok(object) => Place { source, line }.passage(&object, &mut questions, each)?,
            Err(problem) => each(Err(source.error(line, None, problem)))?,
        }
    }
    Ok(())
}

/// A line, for messages.
#[derive(Clone, Copy)]
struct Place<'s> {
    source: &'s Source<'s>,
    line: u64,
}

impl<'s> Place<'s> {
    fn passage(
        self,
        object: &Object,
        groups: &mut u64,
        each: Each<'_>,
    ) -> Result<(), Box<RowError>> {
        let read = || -> Result<_, Box<RowError>> {
            let idx = self.plain(object, "", "idx")?;
            let passage = self.object(self.value(object, "", "passage")?, "/passage")?;
            let text = self.text(passage, "/passage", "text")?;
            Ok((idx, text, self.array(passage, "/passage", "questions")?))
        };
        let (passage_idx, passage, questions) = match read() {
            Ok(parts) => parts,
            Err(error) => return each(Err(error)),
        };
        for (number, question) in questions.iter().enumerate() {
            let at = format!("/passage/questions/{number}");
            let read = || -> Result<_, Box<RowError>> {
                let object = self.object(question, &at)?;
                let idx = self.plain(object, &at, "idx")?;
                let text = self.text(object, &at, "question")?;
                Ok((idx, text, self.array(object, &at, "answers")?))
            };
            let (question_idx, question, answers) = match read() {
                Ok(parts) => parts,
                Err(error) => {
                    each(Err(error))?;
                    continue;
                }
            };
            let group = *groups;
            *groups += 1;
            for (number, answer) in answers.iter().enumerate() {
                let at = format!("{at}/answers/{number}");
                let row = self
                    .answer(answer, &at, question)
                    .map(|(idx, text_b, label)| RawRow {
                        line: self.line,
                        key: Some(Cow::Owned(format!("{passage_idx}-{question_idx}-{idx}"))),
                        text_a: Cow::Borrowed(passage),
                        text_b: Some(Cow::Owned(text_b)),
                        label,
                        group: Some(group),
                        ..RawRow::default()
                    });
                each(row)?;
            }
        }
        Ok(())
    }

    /// The answer's `idx`, question and answer, and the label with its place.
    fn answer(
        self,
        answer: &Value,
        at: &str,
        question: &str,
    ) -> Result<(String, String, Option<PlacedLabel>), Box<RowError>> {
        let object = self.object(answer, at)?;
        let idx = self.plain(object, at, "idx")?;
        let text = format!("{question} {}", self.text(object, at, "text")?);
        let absent = matches!(object.get("label"), None | Some(Value::Null));
        let label = if self.source.fields.label.is_none()
            || (absent && self.source.labels == LabelUse::Optional)
        {
            None
        } else {
            let label = self.plain(object, at, "label")?;
            Some((Cow::Owned(label), format!("`{at}/label`")))
        };
        Ok((idx, text, label))
    }

    fn error(self, at: &str, key: &str, problem: RowProblem) -> Box<RowError> {
        let column = if key.is_empty() {
            format!("`{at}`")
        } else {
            format!("`{at}/{key}`")
        };
        self.source.error(self.line, Some(column), problem)
    }

    fn value<'v>(
        self,
        object: &'v Object,
        at: &str,
        key: &str,
    ) -> Result<&'v Value, Box<RowError>> {
        object.get(key).ok_or_else(|| {
            let problem = RowProblem::MissingKey {
                found: object.keys().cloned().collect(),
                suggestion: nearest(key, object.keys().map(String::as_str)).map(str::to_owned),
            };
            self.error(at, key, problem)
        })
    }

    fn wrong_type(
        self,
        at: &str,
        key: &str,
        expected: &'static str,
        found: &Value,
    ) -> Box<RowError> {
        let found = type_name(found);
        self.error(at, key, RowProblem::JsonType { expected, found })
    }

    fn object<'v>(self, value: &'v Value, at: &str) -> Result<&'v Object, Box<RowError>> {
        value
            .as_object()
            .ok_or_else(|| self.wrong_type(at, "", "an object", value))
    }

    fn array<'v>(
        self,
        object: &'v Object,
        at: &str,
        key: &str,
    ) -> Result<&'v [Value], Box<RowError>> {
        match self.value(object, at, key)? {
            Value::Array(items) => Ok(items),
            other => Err(self.wrong_type(at, key, "an array", other)),
        }
    }

    fn text<'v>(self, object: &'v Object, at: &str, key: &str) -> Result<&'v str, Box<RowError>> {
        match self.value(object, at, key)? {
            Value::String(text) => Ok(text),
            other => Err(self.wrong_type(at, key, "a string", other)),
        }
    }

    fn plain(self, object: &Object, at: &str, key: &str) -> Result<String, Box<RowError>> {
        let value = self.value(object, at, key)?;
        plain(value)
            .ok_or_else(|| self.wrong_type(at, key, "a string, a number, true or false", value))
    }
}
