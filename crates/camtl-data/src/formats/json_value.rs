//! JSON values as cells of a row.

use serde_json::{Map, Value};

use crate::spec::RowProblem;

/// The object of a line.
pub(super) fn parse_object(text: &str) -> Result<Map<String, Value>, RowProblem> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // The parser counts lines within this one; its "at line 1" would only mislead.
        let reason = error
            .to_string()
            .replace("at line 1 column", "at character");
        RowProblem::Json { reason }
    })?;
    match value {
        Value::Object(object) => Ok(object),
        other => Err(RowProblem::Json {
            reason: format!("found {}", type_name(&other)),
        }),
    }
}

/// Labels and identifiers come as strings, numbers and truth values alike.
pub(super) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
