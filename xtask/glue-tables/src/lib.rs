//! GLUE's official tables from the Parquet files that the Hugging Face hub has of it.
//!
//! The `tables` say which column of a table comes from where. What the Parquet files do not have is `n/a`:
//! sources, parses, the labels of single annotators. Labels are spelled as the official files spell them, and
//! test files have none.

mod rows;
mod tables;

use std::path::Path;

use anyhow::Context as _;

/// Writes the table `table` of the data set `set` (`CoLA` and `dev.tsv`, say) to `out`, from its Parquet file.
///
/// # Errors
/// If there is no such table, or the file is damaged, lacks a column, numbers its classes otherwise, or has a
/// text that does not fit into a table; file and row are named. What was written so far is removed.
pub fn convert(set: &str, table: &str, parquet: &Path, out: &Path) -> anyhow::Result<()> {
    let found = tables::named(set, table)
        .with_context(|| format!("GLUE has no table {table} of a data set {set}"))?;
    let written = found
        .convert(parquet, out)
        .with_context(|| format!("cannot convert {}", parquet.display()));
    if written.is_err() {
        // Half a table must not be taken for one.
        let _ = std::fs::remove_file(out);
    }
    written
}
