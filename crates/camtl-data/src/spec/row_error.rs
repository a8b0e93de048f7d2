//! What is wrong with a row, and where.

use std::fmt;

use crate::suggest::{did_you_mean, excerpt, one_of};

/// A problem in a data file, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct RowError {
    /// The file, or what a stream was called by its reader.
    pub origin: String,
    /// Line, from 1: where the row begins, for rows of several lines.
    pub line: u64,
    /// Column (name or position), where the problem lies in one.
    pub column: Option<String>,
    /// What is wrong.
    pub problem: RowProblem,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.origin, self.line)?;
        if let Some(column) = &self.column {
            write!(f, "column {column}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for RowError {}

/// What can be wrong with a row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RowProblem {
    /// Bytes that are not UTF-8.
    InvalidUtf8 {
        /// Position of the first bad byte in the line, from 1.
        byte: usize,
        /// The bad byte.
        value: u8,
    },
    /// The file begins like UTF-16.
    Utf16,
    /// Too few or too many columns.
    ColumnCount {
        /// How many there should be.
        expected: usize,
        /// Where that is known from.
        known_from: &'static str,
        /// How many there are.
        found: usize,
        /// The character between columns.
        separator: char,
    },
    /// An empty line where a row should be.
    BlankLine,
    /// The header does not name a column of the task file, or names it twice.
    Header {
        /// The column.
        name: String,
        /// How often the header names it.
        times: usize,
        /// What the header names.
        found: Vec<String>,
        /// The nearest of these.
        suggestion: Option<String>,
    },
    /// A position beyond the last column.
    NoSuchPosition {
        /// The position, from 0.
        index: usize,
        /// How many columns there are.
        columns: usize,
    },
    /// A quote that is opened and never closed.
    UnclosedQuote,
    /// A quote within an unquoted field, or text after a closing quote.
    StrayQuote {
        /// Line of the quote, from 1.
        line: u64,
    },
    /// Not a JSON object.
    Json {
        /// The parser's reason.
        reason: String,
    },
    /// A key that the object lacks.
    MissingKey {
        /// The keys it has.
        found: Vec<String>,
        /// The nearest of these.
        suggestion: Option<String>,
    },
    /// A JSON value of a type that cannot be used there.
    JsonType {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A label that the task file does not name.
    UnknownLabel {
        /// The label.
        found: String,
        /// The task's labels.
        labels: Vec<String>,
        /// The nearest of these.
        suggestion: Option<String>,
    },
    /// An empty label.
    EmptyLabel,
    /// A score that is no number, or not a finite one.
    NotANumber {
        /// What stands there.
        found: String,
    },
    /// A score outside the task's range.
    ScoreOutOfRange {
        /// The score.
        found: f32,
        /// The smallest allowed.
        min: f32,
        /// The largest allowed.
        max: f32,
    },
    /// A file that is one document, and not of the form expected.
    Document {
        /// What it should be.
        expected: &'static str,
        /// The parser's reason.
        reason: String,
    },
    /// A second text that the task file does not say how to replace.
    NotReplaceable {
        /// The text.
        found: String,
        /// What `replace_text_b` has.
        known: Vec<String>,
        /// The nearest of these.
        suggestion: Option<String>,
    },
    /// A position that is no whole number.
    NotAPosition {
        /// What stands there.
        found: String,
    },
    /// A place that the text does not have.
    PlaceOutside {
        /// `"the mention's characters"`, ...
        what: &'static str,
        /// Its beginning, from 0.
        start: usize,
        /// Its end.
        end: usize,
        /// How many characters or words the text has.
        length: usize,
    },
    /// An answer that does not stand where the file says.
    AnswerNotThere {
        /// The answer.
        answer: String,
        /// The character where it should begin, from 0.
        at: usize,
        /// What stands there; `None` beyond the end of the context.
        found: Option<String>,
    },
    /// A question or query without an accepted answer.
    NoAnswer,
    /// A passage with queries, but without an entity that could answer them.
    NoEntities,
    /// A query without the gap that entities are put into.
    NoGap {
        /// What marks it.
        gap: &'static str,
    },
}

impl RowProblem {
    /// Whether the row as such has the wrong shape, which `malformed_rows = "skip"` allows to leave out.
    #[must_use]
    pub fn is_malformed_row(&self) -> bool {
        matches!(
            self,
            Self::ColumnCount { .. }
                | Self::BlankLine
                | Self::Json { .. }
                | Self::MissingKey { .. }
        )
    }
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUtf8 { byte, value } => write!(
                f,
                "byte {byte} of the line (0x{value:02x}) is not UTF-8; convert the file to UTF-8"
            ),
            Self::Utf16 => f.write_str("the file looks like UTF-16; convert it to UTF-8"),
            Self::ColumnCount { expected, known_from, found, separator } => {
                let name = if *separator == '\t' { "tab" } else { "comma" };
                write!(f, "{found} {name}-separated column(s), expected {expected} ({known_from}); mend the row, or write `malformed_rows = \"skip\"` in the task file to leave such rows out")
            }
            Self::BlankLine => f.write_str("blank line where a row was expected; remove it, or write `malformed_rows = \"skip\"` in the task file"),
            Self::Header { name, times: 0, found, suggestion } => write!(
                f,
                "the header has no column `{}`; it names {}{}; correct `fields` in the task file (or write `header = false` there if the first line is data)",
                excerpt(name), one_of(found.iter().map(|name| excerpt(name))), did_you_mean(suggestion.as_deref())
            ),
            Self::Header { name, times, .. } => write!(
                f,
                "the header names column `{}` {times} times; use its position (from 0) in the task file",
                excerpt(name)
            ),
            Self::NoSuchPosition { index, columns } => write!(
                f,
                "position {index} (from 0) of the task file is beyond the last of {columns} column(s); correct `fields`"
            ),
            Self::UnclosedQuote => f.write_str("a field opens with a quote that is never closed; double quotes inside a field are written twice"),
            Self::StrayQuote { line } => write!(
                f,
                "stray quote in line {line}; a field that holds a quote is quoted as a whole and its quotes are written twice (a file without quoting is `format = \"tsv\"`)"
            ),
            Self::Json { reason } => write!(
                f,
                "not a JSON object: {reason}; mend the line, or write `malformed_rows = \"skip\"` in the task file to leave such lines out"
            ),
            Self::MissingKey { found, suggestion } => write!(
                f,
                "the object has no such key; it has {}{}",
                one_of(found.iter().map(|key| excerpt(key))), did_you_mean(suggestion.as_deref())
            ),
            Self::JsonType { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::UnknownLabel { found, labels, suggestion } => write!(
                f,
                "unknown label `{}`; expected {}{}; mend the row or the `labels` of the task file",
                excerpt(found), one_of(labels), did_you_mean(suggestion.as_deref())
            ),
            Self::EmptyLabel => f.write_str("empty label; a split without labels is marked `labelled = false` in the task file"),
            Self::NotANumber { found } => write!(f, "`{}` is not a finite number", excerpt(found)),
            Self::ScoreOutOfRange { found, min, max } => write!(
                f,
                "score {found} is outside [{min}, {max}]; mend the row or the `range` of the task file"
            ),
            Self::Document { expected, reason } => {
                write!(f, "not {expected}: {reason}; check the file and the `format` of the task file")
            }
            Self::NotReplaceable { found, known, suggestion } => write!(
                f,
                "`{}` is not among `replace_text_b`; expected {}{}; mend the row or the task file",
                excerpt(found), one_of(known), did_you_mean(suggestion.as_deref())
            ),
            Self::NotAPosition { found } => {
                write!(f, "`{}` is not a position; expected a whole number from 0", excerpt(found))
            }
            Self::PlaceOutside { what, start, end, length } => write!(
                f,
                "{what} are {start} to {end} (from 0), but the text has {length}; mend the row"
            ),
            Self::AnswerNotThere { answer, at, found: Some(found) } => write!(
                f,
                "the answer `{}` does not stand at character {at} of the context (from 0), where `{}` stands; mend `answer_start`",
                excerpt(answer), excerpt(found)
            ),
            Self::AnswerNotThere { answer, at, found: None } => write!(
                f,
                "the answer `{}` should begin at character {at} (from 0), beyond the end of the context; mend `answer_start`",
                excerpt(answer)
            ),
            Self::NoAnswer => f.write_str(
                "no accepted answer; where questions may have none, write `no_answer = true` in the task file (kind `span`); a split without answers is marked `labelled = false`"
            ),
            Self::NoEntities => f.write_str(
                "the passage marks no entity, so nothing could answer its queries; mend the row",
            ),
            Self::NoGap { gap } => write!(f, "the query has no `{gap}` to put an entity into"),
        }
    }
}
