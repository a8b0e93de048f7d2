//! A request: an example for one of a run's tasks, as `predict` reads it from lines and `serve` from HTTP.
//!
//! | kind of task | keys beside `task` |
//! |---|---|
//! | classification, regression | `text_a` and, for pairs, `text_b` |
//! | multiple-choice | `text_a`, `text_b` where the task has one, `choices`: one text per option |
//! | tagging | `text_a`, whose words stand between white space, or `words`: the words one by one |
//! | span | `text_a`, the question, and `text_b`, the context |
//! | span-pair | `text_a`, `text_b` where the task has one, `mentions`: `[[start, end], [start, end]]` in characters |
//!
//! ```json
//! {"task": "mnli", "text_a": "It rains.", "text_b": "The street is wet."}
//! ```

use camtl_data::kinds::Parts;
use camtl_data::reader::{Details, Example, Mention, TextSide};
use camtl_data::task::TaskSpec;
use camtl_files::nearest;
use serde_json::{Map, Value};

/// The keys that requests have.
const KEYS: [&str; 6] = ["task", "text_a", "text_b", "choices", "words", "mentions"];

/// An example for one task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// The task's place in the run.
    pub(crate) task: usize,
    /// What is asked.
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
    /// It is no object, has an unknown key or one that its task has no use for, lacks one, or names a task that is not
    /// there. The message names the key, the nearest one where one is near.
    pub(crate) fn read(value: &Value, specs: &[TaskSpec]) -> Result<Self, RequestError> {
        let Some(object) = value.as_object() else {
            return malformed(format!(
                "expected a JSON object with task, text_a, text_b, found {}",
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
        let example = Self::example(object, &specs[task])?;
        Ok(Self { task, example })
    }

    /// What the keys beside `task` ask of the task `spec`.
    ///
    /// # Errors
    /// As [`Request::read`]; keys that no request has are passed over.
    pub(crate) fn example(
        object: &Map<String, Value>,
        spec: &TaskSpec,
    ) -> Result<Example, RequestError> {
        Asked { object, spec }.example()
    }
}

fn malformed<T>(problem: String) -> Result<T, RequestError> {
    Err(RequestError::Malformed(problem))
}

/// The keys of a request for a task.
struct Asked<'a> {
    object: &'a Map<String, Value>,
    spec: &'a TaskSpec,
}

impl Asked<'_> {
    fn example(&self) -> Result<Example, RequestError> {
        let (name, kind) = (&self.spec.name, &self.spec.kind);
        for (key, has) in [
            ("choices", Parts::Options),
            ("words", Parts::Words),
            ("mentions", Parts::Mentions),
        ] {
            if kind.parts() != has && self.object.get(key).is_some_and(|value| !value.is_null()) {
                let kind = kind.name();
                return malformed(format!(
                    "the request for `{name}`, a task of kind {kind}, has `{key}`"
                ));
            }
        }
        if let Some(words) = self.texts("words")? {
            if text(self.object, "text_a")?.is_some() {
                return malformed(format!(
                    "the request for `{name}` has both `words` and `text_a`; one of them says it all"
                ));
            }
            return Ok(Example {
                text_a: words.join(" "),
                details: Details::Words { words, tags: None },
                ..Example::default()
            });
        }
        let Some(text_a) = text(self.object, "text_a")? else {
            return malformed(format!("the request for `{name}` has no `text_a`"));
        };
        let text_b = text(self.object, "text_b")?;
        match (self.spec.is_pair(), text_b) {
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
        let mut cells: Vec<String> = std::iter::once(text_a)
            .chain(text_b)
            .map(str::to_owned)
            .collect();
        match kind.parts() {
            Parts::Mentions => {
                return Ok(Example {
                    details: Details::Mentions(self.mentions(text_a, text_b)?),
                    text_a: text_a.to_owned(),
                    text_b: text_b.map(str::to_owned),
                    ..Example::default()
                });
            }
            Parts::Options => {
                let choices = self.texts("choices")?.unwrap_or_default();
                if choices.len() != kind.labels().len() {
                    return malformed(format!(
                        "the request for `{name}` has {} `choices`, expected {}",
                        choices.len(),
                        kind.labels().len()
                    ));
                }
                cells.extend(choices);
            }
            Parts::Texts | Parts::Words | Parts::Question => {}
        }
        Example::asked(self.spec, &cells).or_else(|error| malformed(error.to_string()))
    }

    /// The list of texts under `key`; `null` is none.
    fn texts(&self, key: &str) -> Result<Option<Vec<String>>, RequestError> {
        let items = match self.object.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => {
                return malformed(format!(
                    "`{key}` is {}, expected texts in an array",
                    kind(other)
                ));
            }
        };
        let texts = items.iter().map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            other => malformed(format!("`{key}` holds {}, expected texts", kind(other))),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    fn mentions(&self, text_a: &str, text_b: Option<&str>) -> Result<[Mention; 2], RequestError> {
        let places = self.object.get("mentions").and_then(places);
        let (Some(places), [first, second]) = (places, self.spec.fields.mentions.as_slice()) else {
            return malformed(format!(
                "the request for `{}` has no `mentions` of the form [[start, end], [start, end]], in characters from 0",
                self.spec.name
            ));
        };
        let mention = |at: usize, side| {
            let (start, end) = places[at];
            let text = match side {
                TextSide::A => text_a,
                TextSide::B => text_b.unwrap_or_default(),
            };
            Mention::of_characters(side, text, start, end)
                .or_else(|problem| malformed(format!("`mentions`, number {at}: {problem}")))
        };
        Ok([mention(0, first.text)?, mention(1, second.text)?])
    }
}

/// Two pairs of numbers.
fn places(value: &Value) -> Option<[(usize, usize); 2]> {
    let pair = |value: &Value| match value.as_array()?.as_slice() {
        [start, end] => Some((
            usize::try_from(start.as_u64()?).ok()?,
            usize::try_from(end.as_u64()?).ok()?,
        )),
        _ => None,
    };
    match value.as_array()?.as_slice() {
        [first, second] => Some([pair(first)?, pair(second)?]),
        _ => None,
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
                "unknown key `txt_a`; a request has task, text_a, text_b, choices, words, mentions (did you mean text_a?)",
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
