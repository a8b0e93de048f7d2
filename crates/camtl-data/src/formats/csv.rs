//! CSV as RFC 4180 has it.

use std::borrow::Cow;

use super::delimited::{Record, column_problem, rows_of};
use super::format::{Format, FormatFields, RowForm};
use crate::spec::RowProblem;

pub(super) const FORMAT: Format = Format {
    spelling: "csv",
    rows: RowForm::Cells,
    fields: FormatFields::Named {
        default: None,
        problem: column_problem,
    },
    labels: None,
    evidence: None,
    read: |source, text, each| rows_of(source, CsvRecords::new(text), ',', each),
};

/// Strict CSV: a field is quoted as a whole or not at all, so that a stray quote cannot swallow rows unnoticed.
struct CsvRecords<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl<'a> CsvRecords<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
        }
    }

    /// A quoted field, from behind its opening quote to behind its closing one.
    fn quoted(&mut self) -> Result<Cow<'a, str>, RowProblem> {
        let mut unescaped = String::new();
        let mut start = self.at;
        loop {
            let Some(length) = self.text[start..].find('"') else {
                return Err(RowProblem::UnclosedQuote);
            };
            let piece = &self.text[start..start + length];
            self.line += piece.matches('\n').count() as u64;
            let behind = start + length + 1;
            if self.text[behind..].starts_with('"') {
                unescaped.push_str(piece);
                unescaped.push('"');
                start = behind + 1;
                continue;
            }
            self.at = behind;
            if unescaped.is_empty() {
                return Ok(Cow::Borrowed(piece));
            }
            unescaped.push_str(piece);
            return Ok(Cow::Owned(unescaped));
        }
    }

    /// An unquoted field, up to its separator or line end.
    fn unquoted(&mut self) -> Result<Cow<'a, str>, RowProblem> {
        let rest = &self.text[self.at..];
        let length = rest.find([',', '\n', '"']).unwrap_or(rest.len());
        if rest[length..].starts_with('"') {
            return Err(RowProblem::StrayQuote { line: self.line });
        }
        let mut field = &rest[..length];
        if !rest[length..].starts_with(',') {
            field = field.strip_suffix('\r').unwrap_or(field);
        }
        self.at += length;
        Ok(Cow::Borrowed(field))
    }

    fn record(&mut self) -> Result<Vec<Cow<'a, str>>, RowProblem> {
        let mut cells = Vec::new();
        loop {
            let quoted = self.text[self.at..].starts_with('"');
            let cell = if quoted {
                self.at += 1;
                self.quoted()?
            } else {
                self.unquoted()?
            };
            cells.push(cell);
            let rest = &self.text[self.at..];
            let end = ["\r\n", "\n"].into_iter().find(|end| rest.starts_with(end));
            if let Some(end) = end {
                self.at += end.len();
                self.line += 1;
                return Ok(cells);
            }
            if rest.starts_with(',') {
                self.at += 1;
            } else if rest.is_empty() {
                return Ok(cells);
            } else {
                return Err(RowProblem::StrayQuote { line: self.line });
            }
        }
    }
}

impl<'a> Iterator for CsvRecords<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.at >= self.text.len() {
            return None;
        }
        let line = self.line;
        let record = self.record();
        if record.is_err() {
            // Behind a stray quote nobody knows where the next row begins.
            self.at = self.text.len();
        }
        Some((line, record))
    }
}
