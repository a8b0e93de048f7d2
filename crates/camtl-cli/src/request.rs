//! A request: text for one of a run's tasks, as `predict` reads it from lines and `serve` from HTTP.
//!
//! ```json
//! {"task": "mnli", "text_a": "It rains.", "text_b": "The street is wet."}
//! ```

use camtl_data::reader::Example;
use camtl_data::suggest::nearest;
use camtl_data::task::{TaskKind, TaskSpec};
use serde_json::{Map, Value};

/// The keys of a request.
const KEYS: [&str; 3] = ["task", "text_a", "text_b"];

/// Text for one task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// The task's place in the run.
    pub(crate) task: usize,
    /// The text or texts.
    pub(crate) example: Example,
}

/// A request that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// It has not the form of a request.
    #[error("{0}")]
    Malformed(String),
    /// The run has no such task.
    #[error("there is no task `{name}`; the run has {}{}", known.join(", "), did_you_mean(nearest))]
    UnknownTask {
        /// The name asked for.
        name: String,
        /// The run's tasks.
        known: Vec<String>,
        /// The nearest of them.
        nearest: Option<String>,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

impl Request {
    /// Reads a request for one of the tasks `specs`.
    ///
    /// # Errors
    /// It is no object, has an unknown key, lacks one, has a text too many for its task, or names a
    /// task that is not there. The message names the key, the nearest one where one is near.
    pub(crate) fn read(value: &Value, specs: &[TaskSpec]) -> Result<Self, RequestError> {
        let malformed = |problem: String| Err(RequestError::Malformed(problem));
        let Some(object) = value.as_object() else {
            return malformed(format!(
                "expected a JSON object with {}, found {}",
                KEYS.join(", "),
                kind(value)
            ));
        };
        if let Some(unknown) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let near = nearest(unknown, KEYS).map(str::to_owned);
            return malformed(format!(
                "unknown key `{}`; a request has {}{}",
                shortened(unknown),
                KEYS.join(", "),
                did_you_mean(&near)
            ));
        }
        let Some(name) = text(object, "task")? else {
            return malformed("the request has no `task`".to_owned());
        };
        let Some(task) = specs.iter().position(|spec| spec.name == name) else {
            let names = || specs.iter().map(|spec| spec.name.as_str());
            return Err(RequestError::UnknownTask {
                known: names().map(str::to_owned).collect(),
                nearest: nearest(name, names()).map(str::to_owned),
                name: shortened(name),
            });
        };
        if let Some(problem) = unanswerable(&specs[task]) {
            return malformed(problem);
        }
        let Some(text_a) = text(object, "text_a")? else {
            return malformed(format!("the request for `{name}` has no `text_a`"));
        };
        let text_b = text(object, "text_b")?;
        match (specs[task].is_pair(), text_b) {
            (true, None) => {
                return malformed(format!(
                    "the request for `{name}`, a task on pairs of texts, has no `text_b`"
                ));
            }
            (false, Some(_)) => {
                return malformed(format!(
                    "the request for `{name}`, a task on single texts, has a `text_b`"
                ));
            }
            _ => {}
        }
        Ok(Self {
            task,
            example: Example {
                id: 0,
                text_a: text_a.to_owned(),
                text_b: text_b.map(str::to_owned),
                ..Example::default()
            },
        })
    }
}

/// Why a task cannot be asked with one or two texts: they hold no options, words, contexts or mentions.
pub(crate) fn unanswerable(spec: &TaskSpec) -> Option<String> {
    match spec.kind {
        TaskKind::Classification { .. } | TaskKind::Regression { .. } => None,
        _ => Some(format!(
            "task `{}` is of kind {}; only classifications and regressions can be asked with texts",
            spec.name,
            spec.kind.name()
        )),
    }
}

/// The text under `key`; `null` is none.
fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, RequestError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(RequestError::Malformed(format!(
            "`{key}` is {}, expected a text",
            kind(other)
        ))),
    }
}

/// What a value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A name from outside, short enough for a message and without control characters.
fn shortened(name: &str) -> String {
    let mut text: String = name
        .chars()
        .take(60)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if name.chars().nth(60).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<TaskSpec> {
        let spec = |name: &str, fields: &str| {
            let text = format!(
                "name = \"{name}\"\nkind = \"classification\"\nlabels = [\"0\", \"1\"]\n\
                 metrics = [\"accuracy\"]\nformat = \"tsv\"\n\
                 fields = {{ text_a = \"a\", {fields}label = \"y\" }}\n"
            );
            TaskSpec::from_toml(&text, "x.toml").unwrap()
        };
        vec![spec("mood", ""), spec("order", "text_b = \"b\", ")]
    }

    fn read(text: &str) -> Result<Request, String> {
        let value = serde_json::from_str(text).unwrap();
        Request::read(&value, &specs()).map_err(|error| error.to_string())
    }

    #[test]
    fn requests_are_read_by_task() {
        let single = read(r#"{"task": "mood", "text_a": "x", "text_b": null}"#).unwrap();
        assert_eq!((single.task, single.example.text_b), (0, None));
        let pair = read(r#"{"text_b": "", "task": "order", "text_a": "x"}"#).unwrap();
        assert_eq!((pair.task, pair.example.text_b.as_deref()), (1, Some("")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, message) in [
            (
                "[]",
                "expected a JSON object with task, text_a, text_b, found an array",
            ),
            (
                r#"{"task": "mood", "txt_a": "x"}"#,
                "unknown key `txt_a`; a request has task, text_a, text_b (did you mean text_a?)",
            ),
            (r#"{"text_a": "x"}"#, "the request has no `task`"),
            (
                r#"{"task": "moood", "text_a": "x"}"#,
                "there is no task `moood`; the run has mood, order (did you mean mood?)",
            ),
            (
                r#"{"task": "mood"}"#,
                "the request for `mood` has no `text_a`",
            ),
            (
                r#"{"task": "mood", "text_a": 3}"#,
                "`text_a` is a number, expected a text",
            ),
            (
                r#"{"task": ["mood"]}"#,
                "`task` is an array, expected a text",
            ),
            (r#"{"task": "order", "text_a": "x"}"#, "has no `text_b`"),
            (
                r#"{"task": "mood", "text_a": "x", "text_b": "y"}"#,
                "has a `text_b`",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message), "{error} lacks {message}");
        }
        let hostile = format!(
            r#"{{"task": "{}\u001b[2J", "text_a": ""}}"#,
            "x".repeat(500)
        );
        let error = read(&hostile).unwrap_err();
        assert!(error.len() < 200 && !error.contains('\u{1b}'), "{error}");
    }
}
