//! Examples without a label, as someone asks them rather than as a file holds them.

use super::details::{from_cells, replace_text_b};
use crate::formats::RawRow;
use crate::kinds::Parts;
use crate::spec::Characters;
use crate::spec::RowProblem;
use crate::spec::{Details, Example, Mention, Question, TextSide};
use crate::task::{Column, TaskSpec};

/// Why cells make up no example.
#[derive(Debug, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct AskedError {
    /// The column in words.
    pub column: String,
    /// What is wrong with it.
    pub problem: RowProblem,
}

/// The columns of the task file that an example without a label has, in order: the text or texts, then options or
/// mentions.
#[must_use]
pub fn asked_columns(spec: &TaskSpec) -> Vec<&Column> {
    let fields = &spec.fields;
    let texts = std::iter::once(&fields.text_a).chain(&fields.text_b);
    texts.chain(fields.further()).collect()
}

impl Example {
    /// The example that `cells` make up, one for each of [`asked_columns`]. The text of a tagging task is split into words
    /// at white space.
    ///
    /// ```
    /// use camtl_data::{Details, Example, TaskSpec};
    ///
    /// let spec = TaskSpec::from_toml(
    ///     r#"
    ///     name = "names"
    ///     kind = "tagging"
    ///     labels = ["O", "B-PER", "I-PER"]
    ///     metrics = ["entity-f1"]
    ///     format = "conll"
    ///     "#,
    ///     "names.toml",
    /// )?;
    /// let example = Example::asked(&spec, &["Ada  Lovelace wrote"])?;
    /// assert!(matches!(example.details, Details::Words { words, .. } if words.len() == 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Too few or too many cells, and what a file could not hold either: a mention outside of its text, a second text that
    /// the task file does not know how to replace. The column is named.
    pub fn asked<T: AsRef<str>>(spec: &TaskSpec, cells: &[T]) -> Result<Self, AskedError> {
        let columns = asked_columns(spec);
        if cells.len() != columns.len() {
            let names: Vec<String> = columns.iter().map(ToString::to_string).collect();
            return Err(AskedError {
                column: names.join(", "),
                problem: RowProblem::ColumnCount {
                    expected: columns.len(),
                    known_from: "the task file",
                    found: cells.len(),
                    separator: '\t',
                },
            });
        }
        let mut cells = cells.iter().map(|cell| cell.as_ref().into());
        let mut row = RawRow {
            text_a: cells.next().unwrap_or_default(),
            ..RawRow::default()
        };
        if spec.is_pair() {
            row.text_b = cells.next();
        }
        row.further = cells.collect();
        let misplaced = |(column, problem)| AskedError { column, problem };
        replace_text_b(&spec.replace_text_b, &spec.fields, &mut row).map_err(misplaced)?;
        let details = match spec.kind.parts() {
            Parts::Words => Details::Words {
                words: row.text_a.split_whitespace().map(str::to_owned).collect(),
                tags: None,
            },
            Parts::Question => Details::Question(Question::default()),
            Parts::Texts | Parts::Options | Parts::Mentions => {
                from_cells(&spec.fields, &row).map_err(misplaced)?
            }
        };
        Ok(Self {
            text_a: row.text_a.into_owned(),
            text_b: row.text_b.map(Into::into),
            details,
            ..Self::default()
        })
    }
}

impl Mention {
    /// From character `start` of a text, counted from 0, to the one before `end`.
    ///
    /// # Errors
    /// [`RowProblem::PlaceOutside`] if that is no part of the text, or empty.
    pub fn of_characters(
        side: TextSide,
        text: &str,
        start: usize,
        end: usize,
    ) -> Result<Self, RowProblem> {
        let characters = Characters::new(text);
        match (characters.byte(start), characters.byte(end)) {
            (Some(from), Some(to)) if from < to => Ok(Self {
                side,
                range: from..to,
            }),
            _ => Err(RowProblem::PlaceOutside {
                what: "the mention's characters",
                start,
                end,
                length: characters.len(),
            }),
        }
    }
}
