//! One JSON object per line.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::delimited::lines;
use super::format::{Format, FormatFields, RowForm};
use super::json_value::{parse_object, plain, type_name};
use super::row::{Each, LabelUse, RawRow, Source};
use crate::spec::Column;
use crate::spec::{RowError, RowProblem};
use camtl_files::nearest;

pub(super) const FORMAT: Format = Format {
    spelling: "jsonl",
    rows: RowForm::Cells,
    fields: FormatFields::Named {
        default: None,
        problem: |_, field, column| match column {
            Column::Name(_) => None,
            Column::Index(index) => Some(format!(
                "field `{field}` is position {index}, but JSON objects have keys; give a name"
            )),
        },
    },
    labels: None,
    evidence: None,
    read: for_each_row,
};

/// Calls `each` with every object, in order, until it refuses one. Blank lines are no rows.
fn for_each_row(source: &Source<'_>, text: &str, each: Each<'_>) -> Result<(), Box<RowError>> {
    for (line, text) in lines(text) {
        if !text.trim().is_empty() {
            each(row(source, line, text))?;
        }
    }
    Ok(())
}

fn row(source: &Source<'_>, line: u64, text: &str) -> Result<RawRow<'static>, Box<RowError>> {
    let object = parse_object(text).map_err(|problem| source.error(line, None, problem))?;
    let object = &object;
    let fields = source.fields;
    let at = |column: &Column, problem| source.error(line, Some(column.to_string()), problem);
    let text_of = |column: &Column| -> Result<Cow<'static, str>, Box<RowError>> {
        match look_up(object, column) {
            Some(Value::String(text)) => Ok(Cow::Owned(text.clone())),
            Some(other) => Err(at(
                column,
                RowProblem::JsonType {
                    expected: "a string",
                    found: type_name(other),
                },
            )),
            None => Err(at(column, missing(object, column))),
        }
    };
    let plain_of = |column: &Column, value: &Value| -> Result<Cow<'static, str>, Box<RowError>> {
        plain(value).map(Cow::Owned).ok_or_else(|| {
            at(
                column,
                RowProblem::JsonType {
                    expected: "a string, a number, true or false",
                    found: type_name(value),
                },
            )
        })
    };
    let label = match &fields.label {
        None => None,
        Some(column) => match look_up(object, column) {
            None | Some(Value::Null) if source.labels == LabelUse::Optional => None,
            None => return Err(at(column, missing(object, column))),
            Some(value) => Some((plain_of(column, value)?, column.to_string())),
        },
    };
    let key = match &fields.key {
        None => None,
        Some(column) => match look_up(object, column) {
            None => return Err(at(column, missing(object, column))),
            Some(value) => Some(plain_of(column, value)?),
        },
    };
    let further = fields.further().into_iter().map(|column| {
        let value = look_up(object, column).ok_or_else(|| at(column, missing(object, column)))?;
        plain_of(column, value)
    });
    let further = further.collect::<Result<_, _>>()?;
    Ok(RawRow {
        line,
        key,
        text_a: text_of(&fields.text_a)?,
        text_b: fields.text_b.as_ref().map(text_of).transpose()?,
        label,
        further,
        ..RawRow::default()
    })
}

/// A value by its key or, for a name that begins with `/` and is no key, by JSON pointer.
fn look_up<'v>(object: &'v Map<String, Value>, column: &Column) -> Option<&'v Value> {
    let Column::Name(name) = column else {
        return None;
    };
    object.get(name).or_else(|| {
        let mut parts = name.strip_prefix('/')?.split('/');
        let first = object.get(parts.next()?)?;
        parts.try_fold(first, |value, part| match value {
            Value::Object(object) => object.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    })
}

fn missing(object: &Map<String, Value>, column: &Column) -> RowProblem {
    let name = column.to_string();
    RowProblem::MissingKey {
        found: object.keys().cloned().collect(),
        suggestion: nearest(name.trim_matches('`'), object.keys().map(String::as_str))
            .map(str::to_owned),
    }
}
