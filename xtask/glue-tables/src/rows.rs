//! Rows of a Parquet file without nesting, and the names of its classes.
//!
//! Data sets on the hub store labels as numbers; what a number means is in the file's metadata, under the
//! key `huggingface`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde::Deserialize;

/// What a row has in a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A score.
    Score(f64),
    /// Nothing.
    Null,
}

/// Calls `each` with the cells of `columns` of every row, in order, and the row's number from 0, until it
/// refuses one; `begin` is asked first whether the names of the classes of a column are right.
///
/// # Errors
/// If the file is no whole Parquet file, lacks a column, holds nested values or others than texts and
/// numbers, or `each` refuses a row. The caller names the file.
pub(crate) fn for_each_row(
    path: &Path,
    columns: &[&str],
    begin: impl FnOnce(&Classes) -> anyhow::Result<()>,
    mut each: impl FnMut(u64, &[Cell]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    const DAMAGED: &str = "it is no whole Parquet file";
    let file = File::open(path).context("it cannot be opened")?;
    let reader = SerializedFileReader::new(file).context(DAMAGED)?;
    let metadata = reader.metadata().file_metadata();
    let fields = metadata.schema().get_fields();
    let mut places = Vec::with_capacity(columns.len());
    for column in columns {
        let place = fields.iter().position(|field| field.name() == *column);
        places.push(place.with_context(|| {
            let found: Vec<&str> = fields.iter().map(|field| field.name()).collect();
            format!(
                "it has no column `{column}`; its columns are {}",
                found.join(", ")
            )
        })?);
    }
    if let Some(nested) = fields.iter().find(|field| !field.is_primitive()) {
        bail!("its column `{}` holds nested values", nested.name());
    }
    let classes = metadata
        .key_value_metadata()
        .into_iter()
        .flatten()
        .find(|entry| entry.key == "huggingface")
        .and_then(|entry| entry.value.as_deref());
    begin(&Classes::read(classes)?)?;

    let expected = metadata.num_rows();
    let mut cells = vec![Cell::Null; columns.len()];
    let mut count = 0u64;
    for row in reader.get_row_iter(None).context(DAMAGED)? {
        let row = row.context(DAMAGED)?;
        let fields = row.into_columns();
        for ((cell, place), column) in cells.iter_mut().zip(&places).zip(columns) {
            let (_, field) = (fields.get(*place))
                .with_context(|| format!("row {count} (from 0) has no `{column}`"))?;
            *cell = value(field).with_context(|| {
                format!("row {count} (from 0): `{column}` is neither text nor number")
            })?;
        }
        each(count, &cells)?;
        count += 1;
    }
    ensure!(
        i64::try_from(count).ok() == Some(expected),
        "{DAMAGED}: it claims {expected} rows and has {count}"
    );
    Ok(())
}

fn value(field: &Field) -> Option<Cell> {
    Some(match field {
        Field::Null => Cell::Null,
        Field::Str(text) => Cell::Text(text.clone()),
        Field::Byte(number) => Cell::Number((*number).into()),
        Field::Short(number) => Cell::Number((*number).into()),
        Field::Int(number) => Cell::Number((*number).into()),
        Field::Long(number) => Cell::Number(*number),
        Field::UByte(number) => Cell::Number((*number).into()),
        Field::UShort(number) => Cell::Number((*number).into()),
        Field::UInt(number) => Cell::Number((*number).into()),
        Field::Float(score) => Cell::Score((*score).into()),
        Field::Double(score) => Cell::Score(*score),
        _ => return None,
    })
}

/// The names of classes that the file itself gives, by column.
#[derive(Debug, Default)]
pub(crate) struct Classes(BTreeMap<String, Feature>);

#[derive(Debug, Deserialize)]
struct Feature {
    names: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Metadata {
    info: Option<Info>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    features: BTreeMap<String, Feature>,
}

impl Classes {
    fn read(text: Option<&str>) -> anyhow::Result<Self> {
        let Some(text) = text else {
            return Ok(Self::default());
        };
        let metadata: Metadata =
            serde_json::from_str(text).context("its metadata `huggingface` cannot be read")?;
        Ok(Self(
            metadata.info.map(|info| info.features).unwrap_or_default(),
        ))
    }

    /// The names of the classes of a column, in the order of their numbers; none where the file does not
    /// say.
    pub(crate) fn of(&self, column: &str) -> Option<&[String]> {
        self.0.get(column)?.names.as_deref()
    }
}
