//! Which column of which table comes from where.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::rows::{Cell, Classes, for_each_row};

/// Stands where the official files have something that the Parquet files lack.
const NOT_KNOWN: &str = "n/a";

/// A table: its data set, its file and its columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    set: &'static str,
    files: &'static [&'static str],
    header: bool,
    columns: &'static [Column],
}

/// A column of a table: its official name and what it holds.
type Column = (&'static str, Content);

/// What a column holds.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// A column with texts.
    Text(&'static str),
    /// The column `idx`.
    Index,
    /// The column `label`: what the hub calls the classes, and how the official files spell them.
    Label(&'static [(&'static str, &'static str)]),
    /// The column `label` with scores.
    Score,
    /// Nowhere.
    Nowhere,
}

use Content::{Index, Label, Nowhere, Score, Text};

const IDX: &str = "idx";
const LABEL: &str = "label";
const ENTAILMENT: &[(&str, &str)] = &[
    ("entailment", "entailment"),
    ("not_entailment", "not_entailment"),
];
const NLI: &[(&str, &str)] = &[
    ("entailment", "entailment"),
    ("neutral", "neutral"),
    ("contradiction", "contradiction"),
];

/// The table of a data set with this file name.
pub(crate) fn named(set: &str, file: &str) -> Option<&'static Table> {
    TABLES
        .iter()
        .find(|table| table.set == set && table.files.contains(&file))
}

impl Table {
    /// Writes the table from its Parquet file.
    ///
    /// # Errors
    /// If the file is damaged, lacks a column, spells its classes otherwise, or a text does not fit into a
    /// table; the row is named.
    pub(crate) fn convert(&self, parquet: &Path, table: &Path) -> anyhow::Result<()> {
        let writing = || format!("cannot write {}", table.display());
        let mut out = BufWriter::new(File::create(table).with_context(writing)?);
        if self.header {
            let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
            writeln!(out, "{}", names.join("\t")).with_context(writing)?;
        }
        let wanted: Vec<&str> = (self.columns.iter())
            .filter_map(|(_, content)| content.column())
            .collect();
        let mut line = String::new();
        for_each_row(
            parquet,
            &wanted,
            |classes| self.check_classes(classes),
            |row, cells| {
                line.clear();
                let mut cells = cells.iter();
                for (number, (_, content)) in self.columns.iter().enumerate() {
                    if number > 0 {
                        line.push('\t');
                    }
                    match content.column() {
                        None => line.push_str(NOT_KNOWN),
                        Some(column) => {
                            let cell = cells.next().unwrap_or(&Cell::Null);
                            content
                                .write(cell, &mut line)
                                .with_context(|| format!("row {row} (from 0): `{column}`"))?;
                        }
                    }
                }
                writeln!(out, "{line}").with_context(writing)
            },
        )?;
        let file = out
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .with_context(writing)?;
        file.sync_all().with_context(writing)
    }

    /// The hub may number the classes anew; numbers are only right while the names are.
    fn check_classes(&self, classes: &Classes) -> anyhow::Result<()> {
        let label = self.columns.iter().find_map(|(_, content)| match content {
            Label(names) => Some(*names),
            _ => None,
        });
        let (Some(expected), Some(found)) = (label, classes.of(LABEL)) else {
            return Ok(());
        };
        let expected: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
        if expected != found {
            bail!(
                "its classes are {}, and {} were expected",
                found.join(", "),
                expected.join(", ")
            );
        }
        Ok(())
    }
}

impl Content {
    /// The Parquet column.
    fn column(self) -> Option<&'static str> {
        match self {
            Text(column) => Some(column),
            Index => Some(IDX),
            Label(_) | Score => Some(LABEL),
            Nowhere => None,
        }
    }

    fn write(self, cell: &Cell, line: &mut String) -> anyhow::Result<()> {
        match (self, cell) {
            (Text(_), Cell::Text(text)) => {
                // The official files know neither quotes nor escapes.
                if let Some(found) = text.chars().find(|c| matches!(c, '\t' | '\n' | '\r')) {
                    bail!("holds {found:?}, for which the official table has no place");
                }
                line.push_str(text);
            }
            (Index, Cell::Number(number)) => line.push_str(&number.to_string()),
            (Label(names), Cell::Number(number)) => {
                let known = usize::try_from(*number).ok().and_then(|at| names.get(at));
                let Some((_, name)) = known else {
                    bail!("is {number}, and 0 to {} were expected", names.len() - 1);
                };
                line.push_str(name);
            }
            (Score, Cell::Score(score)) => {
                if !(0.0..=5.0).contains(score) {
                    bail!("is {score}, and 0 to 5 were expected");
                }
                line.push_str(&format!("{score:.3}"));
            }
            (_, Cell::Null) => bail!("has no value"),
            (_, other) => bail!("is {other:?}, which is of another kind than expected"),
        }
        Ok(())
    }
}

const TRAIN_DEV: &[&str] = &["train.tsv", "dev.tsv"];
const TEST: &[&str] = &["test.tsv"];

const fn table(
    set: &'static str,
    files: &'static [&'static str],
    columns: &'static [Column],
) -> Table {
    Table {
        set,
        files,
        header: true,
        columns,
    }
}

/// Index, two texts and a label, under the same names on both sides; test rows lack the label.
macro_rules! pairs {
    ($a:literal, $b:literal $(, $label:expr)?) => {
        &[
            ("index", Index),
            ($a, Text($a)),
            ($b, Text($b)),
            $(("label", Label($label)))?
        ]
    };
}

/// A table of MNLI: its columns before the labels, then these.
macro_rules! mnli {
    ($($label:expr),*) => {
        &[
            ("index", Index),
            ("promptID", Nowhere),
            ("pairID", Nowhere),
            ("genre", Nowhere),
            ("sentence1_binary_parse", Nowhere),
            ("sentence2_binary_parse", Nowhere),
            ("sentence1_parse", Nowhere),
            ("sentence2_parse", Nowhere),
            ("sentence1", Text("premise")),
            ("sentence2", Text("hypothesis")),
            $($label),*
        ]
    };
}

/// A table of STS-B: its columns before the score, then these.
macro_rules! sts {
    ($($score:expr),*) => {
        &[
            ("index", Index),
            ("genre", Nowhere),
            ("filename", Nowhere),
            ("year", Nowhere),
            ("old_index", Nowhere),
            ("source1", Nowhere),
            ("source2", Nowhere),
            ("sentence1", Text("sentence1")),
            ("sentence2", Text("sentence2")),
            $($score),*
        ]
    };
}

const ONE_TEXT: &[Column] = &[("index", Index), ("sentence", Text("sentence"))];
const WNLI: &[(&str, &str)] = &[("not_entailment", "0"), ("entailment", "1")];

const TABLES: &[Table] = &[
    Table {
        // CoLA's labelled files have no header.
        header: false,
        ..table(
            "CoLA",
            TRAIN_DEV,
            &[
                ("source", Nowhere),
                (
                    "label",
                    Label(&[("unacceptable", "0"), ("acceptable", "1")]),
                ),
                ("original label", Nowhere),
                ("sentence", Text("sentence")),
            ],
        )
    },
    table("CoLA", TEST, ONE_TEXT),
    table(
        "SST-2",
        TRAIN_DEV,
        &[
            ("sentence", Text("sentence")),
            ("label", Label(&[("negative", "0"), ("positive", "1")])),
        ],
    ),
    table("SST-2", TEST, ONE_TEXT),
    table(
        "MRPC",
        TRAIN_DEV,
        &[
            (
                "Quality",
                Label(&[("not_equivalent", "0"), ("equivalent", "1")]),
            ),
            ("#1 ID", Nowhere),
            ("#2 ID", Nowhere),
            ("#1 String", Text("sentence1")),
            ("#2 String", Text("sentence2")),
        ],
    ),
    table(
        "MRPC",
        TEST,
        &[
            ("index", Index),
            ("#1 ID", Nowhere),
            ("#2 ID", Nowhere),
            ("#1 String", Text("sentence1")),
            ("#2 String", Text("sentence2")),
        ],
    ),
    table("STS-B", TRAIN_DEV, sts!(("score", Score))),
    table("STS-B", TEST, sts!()),
    table(
        "QQP",
        TRAIN_DEV,
        &[
            ("id", Index),
            ("qid1", Nowhere),
            ("qid2", Nowhere),
            ("question1", Text("question1")),
            ("question2", Text("question2")),
            (
                "is_duplicate",
                Label(&[("not_duplicate", "0"), ("duplicate", "1")]),
            ),
        ],
    ),
    table(
        "QQP",
        TEST,
        &[
            ("id", Index),
            ("question1", Text("question1")),
            ("question2", Text("question2")),
        ],
    ),
    table(
        "MNLI",
        &["train.tsv"],
        mnli!(("label1", Nowhere), ("gold_label", Label(NLI))),
    ),
    table(
        "MNLI",
        &["dev_matched.tsv", "dev_mismatched.tsv"],
        mnli!(
            ("label1", Nowhere),
            ("label2", Nowhere),
            ("label3", Nowhere),
            ("label4", Nowhere),
            ("label5", Nowhere),
            ("gold_label", Label(NLI))
        ),
    ),
    table(
        "MNLI",
        &["test_matched.tsv", "test_mismatched.tsv"],
        mnli!(),
    ),
    table(
        "QNLI",
        TRAIN_DEV,
        pairs!("question", "sentence", ENTAILMENT),
    ),
    table("QNLI", TEST, pairs!("question", "sentence")),
    table(
        "RTE",
        TRAIN_DEV,
        pairs!("sentence1", "sentence2", ENTAILMENT),
    ),
    table("RTE", TEST, pairs!("sentence1", "sentence2")),
    table("WNLI", TRAIN_DEV, pairs!("sentence1", "sentence2", WNLI)),
    table("WNLI", TEST, pairs!("sentence1", "sentence2")),
    table(
        "diagnostic",
        &["diagnostic.tsv"],
        &[
            ("index", Index),
            ("sentence1", Text("premise")),
            ("sentence2", Text("hypothesis")),
        ],
    ),
];
