//! Input of `predict`: lines for one task, or requests for several, read in chunks, every
//! problem with its line.

use std::io::{BufRead, Read as _};

use camtl_data::kinds::Parts;
use camtl_data::reader::{Example, asked_columns};
use camtl_data::task::{Column, TaskSpec};
use serde_json::Value;

use crate::cli::LineFormat;
use crate::request::Request;

/// Longest line that is read; a file without line breaks is not taken into memory whole.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// A line that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{origin}:{line}: {problem}")]
pub(crate) struct LineError {
    origin: String,
    line: u64,
    problem: String,
}

/// Reads requests from lines.
pub(crate) struct RequestLines<'a, R> {
    reader: R,
    origin: String,
    form: Form<'a>,
    line: u64,
}

/// What the lines hold.
enum Form<'a> {
    /// Examples of one task.
    OfTask {
        task: usize,
        spec: &'a TaskSpec,
        /// Names of the fields, in order: the text or texts, then options or mentions.
        fields: Vec<String>,
        format: Option<LineFormat>,
    },
    /// Requests that name their tasks.
    Mixed(&'a [TaskSpec]),
}

impl<'a, R: BufRead> RequestLines<'a, R> {
    /// Lines for the task `spec` at place `task`, from `reader`, called `origin` in messages. Without
    /// a `format` the first line decides: an opening brace means JSON.
    pub(crate) fn of_task(
        reader: R,
        origin: &str,
        task: usize,
        spec: &'a TaskSpec,
        format: Option<LineFormat>,
    ) -> Self {
        let columns = asked_columns(spec).into_iter().enumerate();
        let fields = columns
            .map(|(place, column)| match column {
                Column::Name(name) => name.clone(),
                Column::Index(_) if place == 0 => "text_a".to_owned(),
                Column::Index(_) if place == 1 && spec.is_pair() => "text_b".to_owned(),
                Column::Index(number) => format!("column {number}"),
            })
            .collect();
        Self {
            reader,
            origin: origin.to_owned(),
            form: Form::OfTask {
                task,
                spec,
                fields,
                format,
            },
            line: 0,
        }
    }

    /// Lines that each hold a request for one of the tasks `specs`, as JSON.
    pub(crate) fn mixed(reader: R, origin: &str, specs: &'a [TaskSpec]) -> Self {
        Self {
            reader,
            origin: origin.to_owned(),
            form: Form::Mixed(specs),
            line: 0,
        }
    }

    /// The next lines, at most `limit`; empty at the end of the input.
    ///
    /// # Errors
    /// The first line that cannot be used. The lines before it are returned first, so that they are
    /// answered.
    pub(crate) fn next_chunk(&mut self, limit: usize) -> (Vec<Request>, Option<anyhow::Error>) {
        let mut requests = Vec::new();
        while requests.len() < limit {
            match self.next_request() {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
        (requests, None)
    }

    fn next_request(&mut self) -> Result<Option<Request>, anyhow::Error> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader)
            .take(MAX_LINE_BYTES + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| {
                anyhow::Error::new(error).context(format!("cannot read {}", self.origin))
            })?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        } else if bytes.len() as u64 > MAX_LINE_BYTES {
            return Err(self.fail(format!(
                "the line has more than {MAX_LINE_BYTES} bytes; break the text into lines"
            )));
        }
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                return Err(self.fail(format!(
                    "byte {} of the line (0x{:02x}) is not UTF-8; convert the input to UTF-8",
                    at + 1,
                    bytes[at]
                )));
            }
        };
        // Windows programs begin files with a byte-order mark; it is no part of the text.
        let text = if self.line == 1 {
            text.strip_prefix('\u{feff}').unwrap_or(text)
        } else {
            text
        };
        let request = match &mut self.form {
            Form::Mixed(specs) => request_of(text, specs),
            Form::OfTask {
                task,
                spec,
                fields,
                format,
            } => {
                let format = *format.get_or_insert(if text.trim_start().starts_with('{') {
                    LineFormat::Jsonl
                } else {
                    LineFormat::Tsv
                });
                let example = match format {
                    LineFormat::Tsv => {
                        tsv_cells(text, fields).and_then(|cells| asked(spec, &cells))
                    }
                    LineFormat::Jsonl => json_example(text, spec, fields),
                };
                example.map(|example| Request {
                    task: *task,
                    example: Example {
                        id: self.line - 1,
                        ..example
                    },
                })
            }
        };
        request.map(Some).map_err(|problem| self.fail(problem))
    }

    fn fail(&self, problem: String) -> anyhow::Error {
        LineError {
            origin: self.origin.clone(),
            line: self.line,
            problem,
        }
        .into()
    }
}

/// A line that holds a request.
fn request_of(text: &str, specs: &[TaskSpec]) -> Result<Request, String> {
    if text.trim().is_empty() {
        return Err(
            "blank line where a request was expected; every input line gets one answer".to_owned(),
        );
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
    Request::read(&value, specs).map_err(|error| error.to_string())
}

fn asked(spec: &TaskSpec, cells: &[String]) -> Result<Example, String> {
    Example::asked(spec, cells).map_err(|error| error.to_string())
}

fn tsv_cells(text: &str, fields: &[String]) -> Result<Vec<String>, String> {
    if text.trim().is_empty() {
        return Err(
            "blank line where a text was expected; every input line gets one answer".to_owned(),
        );
    }
    let cells: Vec<String> = text.split('\t').map(str::to_owned).collect();
    if cells.len() != fields.len() {
        return Err(format!(
            "{} tab-separated field{}, expected {} ({})",
            cells.len(),
            if cells.len() == 1 { "" } else { "s" },
            fields.len(),
            fields.join(", ")
        ));
    }
    Ok(cells)
}

/// An object with the task's own field names; for tags, whose files have none, with those of a request.
fn json_example(text: &str, spec: &TaskSpec, fields: &[String]) -> Result<Example, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
    let Some(object) = value.as_object() else {
        return Err(format!(
            "expected a JSON object with {}",
            fields.join(" and ")
        ));
    };
    if spec.kind.parts() == Parts::Words {
        return Request::example(object, spec).map_err(|error| error.to_string());
    }
    let texts = 1 + usize::from(spec.is_pair());
    let cells = fields.iter().enumerate().map(|(place, field)| {
        let found = if field.starts_with('/') {
            value.pointer(field)
        } else {
            object.get(field)
        };
        match found {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) if place >= texts => Ok(number.to_string()),
            Some(other) => Err(format!("`{field}` is {other}, expected a text")),
            None => {
                let keys = || object.keys().map(String::as_str);
                let near = camtl_files::nearest(field, keys())
                    .map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
                let has = keys().collect::<Vec<_>>().join(", ");
                Err(format!(
                    "the object has no `{field}`; it has {}{near}",
                    if has.is_empty() { "no key" } else { &has }
                ))
            }
        }
    });
    asked(spec, &cells.collect::<Result<Vec<_>, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> TaskSpec {
        let text = r#"
            name = "pair"
            kind = "classification"
            labels = ["0", "1"]
            metrics = ["accuracy"]
            format = "tsv"
            fields = { text_a = "first", text_b = "second", label = "same" }
        "#;
        TaskSpec::from_toml(text, "pair.toml").unwrap()
    }

    fn read(input: &[u8]) -> (Vec<Example>, Option<String>) {
        let spec = pair();
        let mut lines = RequestLines::of_task(input, "input", 0, &spec, None);
        let (requests, error) = lines.next_chunk(100);
        let examples = requests.into_iter().map(|request| request.example);
        (examples.collect(), error.map(|error| error.to_string()))
    }

    #[test]
    fn both_forms_are_recognised_and_give_the_same() {
        let (tsv, error) = read(b"\xef\xbb\xbfa b\tc\r\n\tsecond only\n");
        assert_eq!(error, None);
        assert_eq!(
            (tsv[0].text_a.as_str(), tsv[0].text_b.as_deref()),
            ("a b", Some("c"))
        );
        assert_eq!((tsv[1].text_a.as_str(), tsv[1].id), ("", 1));
        let (json, error) = read(b"{\"second\": \"c\", \"first\": \"a b\", \"same\": 1}\n{\"first\":\"\",\"second\":\"second only\"}");
        assert_eq!(error, None);
        assert_eq!(json, tsv);
        assert_eq!(read(b"").0, []);
    }

    #[test]
    fn bad_lines_are_named_after_the_good_ones() {
        for (input, message) in [
            (
                &b"a\tb\nc\n"[..],
                "input:2: 1 tab-separated field, expected 2 (first, second)",
            ),
            (b"a\tb\n\n", "input:2: blank line"),
            (
                b"a\tb\nc\td\xff\n",
                "input:2: byte 4 of the line (0xff) is not UTF-8",
            ),
            (
                b"{\"first\": \"a\", \"second\": \"b\"}\n{\"first\"\n",
                "input:2: not a JSON object",
            ),
            (
                b"{\"first\": \"a\", \"second\": \"b\"}\n[1]\n",
                "input:2: expected a JSON object",
            ),
            (
                b"{\"first\": \"a\", \"second\": \"b\"}\n{\"first\": \"a\", \"secnd\": \"b\"}\n",
                "no `second`; it has first, secnd (did you mean secnd?)",
            ),
            (
                b"{\"first\": \"a\", \"second\": \"b\"}\n{\"first\": 3, \"second\": \"b\"}\n",
                "`first` is 3, expected a text",
            ),
        ] {
            let (examples, error) = read(input);
            assert_eq!(examples.len(), 1, "{message}");
            assert!(
                error.as_deref().unwrap_or_default().contains(message),
                "{error:?} lacks {message}"
            );
        }
    }

    #[test]
    fn lines_of_several_tasks_name_theirs() {
        let mut other = pair();
        other.name = "other".to_owned();
        let specs = [pair(), other];
        let input = b"{\"task\": \"other\", \"text_a\": \"a\", \"text_b\": \"b\"}\n\n";
        let mut lines = RequestLines::mixed(&input[..], "input", &specs);
        let (requests, error) = lines.next_chunk(100);
        assert_eq!((requests.len(), requests[0].task), (1, 1));
        let error = error.unwrap().to_string();
        assert!(error.starts_with("input:2: blank line"), "{error}");
        let input = b"{\"task\": \"othr\", \"text_a\": \"a\", \"text_b\": \"b\"}\n";
        let mut lines = RequestLines::mixed(&input[..], "input", &specs);
        let (_, error) = lines.next_chunk(100);
        let error = error.unwrap().to_string();
        assert!(
            error.contains("input:1: there is no task `othr`"),
            "{error}"
        );
        assert!(error.contains("did you mean other?"), "{error}");
    }
}
