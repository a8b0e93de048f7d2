//! The words in which all else is said: columns and fields of a task file, examples, labels, and what may be wrong with a
//! row. Nothing here knows a format, a metric or a kind of task.

mod answer;
mod characters;
mod example;
mod fields;
mod row_error;

pub use answer::{Answer, AnswerForm, MAX_ANSWER_LENGTH, MAX_CANDIDATES, SpanCandidate};
pub(crate) use characters::Characters;
pub use example::{Candidate, Details, Example, Label, Mention, Question};
pub use fields::{Column, Fields, LAST_COLUMN, MentionColumns, TextSide};
pub use row_error::{RowError, RowProblem};
