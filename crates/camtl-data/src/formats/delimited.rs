//! Rows of cells in columns: what TSV and CSV have in common.

use std::borrow::Cow;

use super::format::Header;
use super::row::{Each, LabelUse, RawRow, Source};
use crate::spec::{Column, RowError, RowProblem};
use camtl_files::nearest;

/// A row before its columns are looked at: its first line, and its cells.
pub(super) type Record<'a> = (u64, Result<Vec<Cow<'a, str>>, RowProblem>);

/// What is wrong with the column of a field of a delimited file.
pub(super) fn column_problem(header: &Header, field: &str, column: &Column) -> Option<String> {
    match (header.header, column) {
        (false, Column::Name(name)) => Some(format!(
            "field `{field}` is column `{name}`, but the file has no header (`header = false`); give a position from 0"
        )),
        (false, Column::Index(index)) => (header.columns)
            .filter(|columns| index >= columns)
            .map(|columns| format!(
                "field `{field}` is position {index} (from 0), but `columns` says there are {columns}"
            )),
        (true, Column::Name(_) | Column::Index(_)) => None,
    }
}

/// Calls `each` with every data row, in order, until it refuses one.
pub(super) fn rows_of<'a>(
    source: &Source<'_>,
    mut records: impl Iterator<Item = Record<'a>>,
    separator: char,
    each: Each<'_>,
) -> Result<(), Box<RowError>> {
    let mut columns: Option<ResolvedColumns> = None;
    if source.header {
        let Some((line, header)) = records.next() else {
            return Ok(());
        };
        let header = header.map_err(|problem| source.error(line, None, problem))?;
        let names: Vec<&str> = header.iter().map(AsRef::as_ref).collect();
        columns = Some(ResolvedColumns::from_header(source, line, &names)?);
    }
    for (line, cells) in records {
        let columns = match &mut columns {
            Some(columns) => columns,
            columns => {
                let found = cells.as_ref().map_or(0, Vec::len);
                columns.insert(ResolvedColumns::from_count(source, line, found)?)
            }
        };
        each(columns.pick(source, line, cells, separator))?;
    }
    Ok(())
}

/// Where in a row the task's columns are.
struct ResolvedColumns {
    count: usize,
    known_from: &'static str,
    text_a: usize,
    text_b: Option<usize>,
    key: Option<usize>,
    label: Option<(usize, String)>,
    further: Vec<usize>,
}

impl ResolvedColumns {
    fn from_header(source: &Source<'_>, line: u64, names: &[&str]) -> Result<Self, Box<RowError>> {
        let place = |column: &Column| match column {
            Column::Index(index) => position(*index, names.len()),
            Column::Name(name) => {
                let times = names.iter().filter(|other| *other == name).count();
                let at = names.iter().position(|other| other == name);
                at.filter(|_| times == 1).ok_or_else(|| RowProblem::Header {
                    name: name.clone(),
                    times,
                    found: names.iter().map(|&name| name.to_owned()).collect(),
                    suggestion: nearest(name, names.iter().copied()).map(str::to_owned),
                })
            }
        };
        Self::new(source, line, names.len(), "as in the header", place)
    }

    fn from_count(source: &Source<'_>, line: u64, found: usize) -> Result<Self, Box<RowError>> {
        let (count, known_from) = source
            .columns
            .map_or((found, "as in the first row"), |count| {
                (count, "`columns` of the task file")
            });
        let place = |column: &Column| match column {
            Column::Index(index) => position(*index, count),
            // Refused when the task file was read.
            Column::Name(name) => Err(RowProblem::Header {
                name: name.clone(),
                times: 0,
                found: Vec::new(),
                suggestion: None,
            }),
        };
        Self::new(source, line, count, known_from, place)
    }

    fn new(
        source: &Source<'_>,
        line: u64,
        count: usize,
        known_from: &'static str,
        place: impl Fn(&Column) -> Result<usize, RowProblem>,
    ) -> Result<Self, Box<RowError>> {
        let fields = source.fields;
        let required =
            |column: &Column| place(column).map_err(|problem| source.error(line, None, problem));
        let label =
            match &fields.label {
                None => None,
                Some(column) => match place(column) {
                    Ok(at) => Some((at, column_name(column, at))),
                    Err(
                        RowProblem::Header { times: 0, .. } | RowProblem::NoSuchPosition { .. },
                    ) if source.labels == LabelUse::Optional => None,
                    Err(problem) => return Err(source.error(line, None, problem)),
                },
            };
        Ok(Self {
            count,
            known_from,
            text_a: required(&fields.text_a)?,
            text_b: fields.text_b.as_ref().map(required).transpose()?,
            key: fields.key.as_ref().map(required).transpose()?,
            label,
            further: (fields.further().into_iter())
                .map(required)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The cells that the task file names.
    fn pick<'a>(
        &self,
        source: &Source<'_>,
        line: u64,
        cells: Result<Vec<Cow<'a, str>>, RowProblem>,
        separator: char,
    ) -> Result<RawRow<'a>, Box<RowError>> {
        let mut cells = cells.map_err(|problem| source.error(line, None, problem))?;
        if cells.len() != self.count {
            let blank = cells.len() == 1 && cells[0].is_empty();
            let problem = if blank {
                RowProblem::BlankLine
            } else {
                RowProblem::ColumnCount {
                    expected: self.count,
                    known_from: self.known_from,
                    found: cells.len(),
                    separator,
                }
            };
            return Err(source.error(line, None, problem));
        }
        // Two fields may name the same column, so only the texts (the long ones) are moved out, and last.
        let key = self.key.map(|at| cells[at].clone());
        let label = self
            .label
            .as_ref()
            .map(|(at, name)| (cells[*at].clone(), name.clone()));
        let further = self.further.iter().map(|at| cells[*at].clone()).collect();
        let text_b = self.text_b.map(|at| {
            if at == self.text_a {
                cells[at].clone()
            } else {
                std::mem::take(&mut cells[at])
            }
        });
        let text_a = std::mem::take(&mut cells[self.text_a]);
        Ok(RawRow {
            line,
            key,
            text_a,
            text_b,
            label,
            further,
            ..RawRow::default()
        })
    }
}

fn position(index: usize, columns: usize) -> Result<usize, RowProblem> {
    if index < columns {
        Ok(index)
    } else {
        Err(RowProblem::NoSuchPosition { index, columns })
    }
}

fn column_name(column: &Column, at: usize) -> String {
    match column {
        Column::Name(name) => format!("`{name}` (position {at})"),
        Column::Index(_) => format!("at position {at}"),
    }
}

/// Lines with their numbers from 1, without LF or CRLF; what follows the last line end is a line unless it is empty.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    (1..).zip(text.split_inclusive('\n').map(|line| {
        let line = line.strip_suffix('\n').unwrap_or(line);
        line.strip_suffix('\r').unwrap_or(line)
    }))
}
