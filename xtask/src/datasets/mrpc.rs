//! MRPC's training, development and test files, as the official GLUE script makes them.
//!
//! MRPC may not be redistributed with GLUE, so the script takes the two texts that SentEval hosts and
//! splits the first by a list of pairs of ids. Rows are kept in order; a row's fields are written as
//! they are; the test file gets an index and loses its labels.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::disk;
use crate::workspace::shown;

/// The three files of the split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows whose ids are not in the list.
    pub train: String,
    /// Rows whose ids are in the list.
    pub dev: String,
    /// The test rows: an index, no label.
    pub test: String,
}

/// Splits the official texts.
///
/// ```
/// let train = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t10\t11\ta\tb\n0\t20\t21\tc\td\n";
/// let test = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t30\t31\te\tf\n";
/// let split = xtask::datasets::mrpc::split(train, test, "20\t21\n")?;
/// assert!(split.train.ends_with("\n1\t10\t11\ta\tb\n"));
/// assert!(split.dev.ends_with("\n0\t20\t21\tc\td\n"));
/// assert_eq!(split.test, "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t30\t31\te\tf\n");
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If a row has not five fields, or a listed pair of ids has no row.
pub fn split(train_text: &str, test_text: &str, dev_ids: &str) -> anyhow::Result<Split> {
    let mut wanted = BTreeSet::new();
    for (number, line) in lines(dev_ids).enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let pair = line.split_once('\t').with_context(|| {
            format!(
                "list of development ids, line {}: expected two ids",
                number + 1
            )
        })?;
        wanted.insert(pair);
    }
    let mut rows = lines(train_text);
    let header = rows.next().context("the training text is empty")?;
    let (mut train, mut dev) = (format!("{header}\n"), format!("{header}\n"));
    let mut seen = BTreeSet::new();
    for (number, row) in rows.enumerate() {
        let fields = five_fields(row, "training text", number + 2)?;
        let ids = (fields[1], fields[2]);
        let out = if wanted.contains(&ids) {
            &mut dev
        } else {
            &mut train
        };
        seen.insert(ids);
        out.push_str(&fields.join("\t"));
        out.push('\n');
    }
    if let Some((a, b)) = wanted.iter().find(|ids| !seen.contains(*ids)) {
        bail!("the training text has no row with the development ids {a}, {b}");
    }
    let mut test = String::from("index\t#1 ID\t#2 ID\t#1 String\t#2 String\n");
    for (index, row) in lines(test_text).skip(1).enumerate() {
        let fields = five_fields(row, "test text", index + 2)?;
        test.push_str(&format!("{index}\t{}\n", fields[1..].join("\t")));
    }
    Ok(Split { train, dev, test })
}

/// Reads the three texts and writes `train.tsv`, `dev.tsv`, `test.tsv` into `folder`.
///
/// # Errors
/// If a text cannot be read or split, or a file cannot be written.
pub fn make(train: &Path, test: &Path, dev_ids: &Path, folder: &Path) -> anyhow::Result<()> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", shown(path)))
    };
    let split = split(&read(train)?, &read(test)?, &read(dev_ids)?)
        .with_context(|| format!("cannot split MRPC ({})", shown(train)))?;
    for (name, text) in [
        ("train.tsv", &split.train),
        ("dev.tsv", &split.dev),
        ("test.tsv", &split.test),
    ] {
        disk::write_atomically(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// Lines as Python reads text: ended by `\n`, `\r\n` or `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['\n', '\r'])
        .scan(false, |after_return, piece| {
            // The `\n` of `\r\n` comes as a piece of its own.
            let skip = *after_return && piece == "\n";
            *after_return = piece.ends_with('\r');
            Some((!skip).then(|| piece.trim_end_matches(['\n', '\r'])))
        })
        .flatten()
}

fn five_fields<'a>(row: &'a str, what: &str, number: usize) -> anyhow::Result<Vec<&'a str>> {
    let fields: Vec<&str> = row.trim().split('\t').collect();
    ensure!(
        fields.len() == 5,
        "{what}, line {number}: expected 5 tab-separated fields, found {}",
        fields.len()
    );
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String";

    #[test]
    fn line_ends_of_every_kind_and_the_byte_order_mark_are_kept_apart() -> anyhow::Result<()> {
        let train = format!("{HEADER}\r\n1\t1\t2\tsaid \"x\t y \r\n0\t3\t4\tc\td\n");
        let split = split(&train, &format!("{HEADER}\n1\t5\t6\te\tf"), "3\t4\r\n")?;
        assert_eq!(split.train, format!("{HEADER}\n1\t1\t2\tsaid \"x\t y\n"));
        assert_eq!(split.dev, format!("{HEADER}\n0\t3\t4\tc\td\n"));
        assert_eq!(
            split.test,
            "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t5\t6\te\tf\n"
        );
        assert_eq!(
            lines("a\rb\r\nc\n\nd").collect::<Vec<_>>(),
            ["a", "b", "c", "", "d"]
        );
        Ok(())
    }

    #[test]
    fn a_wrong_row_names_its_line() {
        let train = format!("{HEADER}\n1\t1\t2\ta\tb\n1\t1\t2\ta\n");
        let error = split(&train, HEADER, "").expect_err("four fields");
        assert_eq!(
            error.to_string(),
            "training text, line 3: expected 5 tab-separated fields, found 4"
        );
        let error = split(HEADER, HEADER, "8\t9\n").expect_err("no such row");
        assert!(error.to_string().contains("8, 9"), "{error}");
    }
}
