//! GLUE's form: the header `index<TAB>prediction` and one line per row of the test file, numbered from 0.

use super::{Answered, Said};
use crate::failure::Failure;

/// The first line.
pub(super) const HEADER: &str = "index\tprediction\n";

/// The lines, each with its end.
pub(super) fn lines(answered: &Answered<'_>) -> Result<Vec<String>, Failure> {
    let line = |(index, answer)| {
        Ok(match answered.said(answer)? {
            Said::Label(label) => format!("{index}\t{label}\n"),
            Said::Score(score) => format!("{index}\t{score}\n"),
        })
    };
    answered.answers.iter().enumerate().map(line).collect()
}
