//! Files that pyarrow wrote (`fixtures/make_parquet.py`), as the hub's are.

use std::fs;
use std::path::{Path, PathBuf};

use glue_tables::convert;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/parquet")
        .join(name)
}

fn table(set: &str, file: &str, parquet: &str) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join(file);
    convert(set, file, &fixture(parquet), &out).unwrap_or_else(|error| panic!("{error:#}"));
    fs::read_to_string(out).expect("the table")
}

#[test]
fn every_row_group_is_read() {
    let rows = [
        "The kettle is on the stove.\tThere is a kettle on the stove.\tentailment",
        "Nora said \"wait\" and left.\tNora never left.\tnot_entailment",
        "A café opened near the harbour.\tIt sells tea.\tnot_entailment",
    ];
    let mut expected = "index\tsentence1\tsentence2\tlabel\n".to_owned();
    for (index, row) in rows.iter().chain(&rows).enumerate() {
        expected += &format!("{index}\t{row}\n");
    }
    assert_eq!(table("RTE", "train.tsv", "rte.parquet"), expected);
}

#[test]
fn scores_and_test_rows_are_written() {
    let text = table("STS-B", "dev.tsv", "stsb.parquet");
    let scores: Vec<&str> = text
        .lines()
        .filter_map(|line| line.rsplit('\t').next())
        .collect();
    assert_eq!(scores, ["score", "4.750", "0.000", "5.000"]);
    assert_eq!(
        table("CoLA", "test.tsv", "cola-test.parquet"),
        "index\tsentence\n0\tThe kettle is on the stove.\n1\tNora said \"wait\" and left.\n\
         2\tA café opened near the harbour.\n"
    );
}

#[test]
fn what_fails_leaves_no_table() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("train.tsv");
    let told = |set: &str, file: &str, parquet: &Path| {
        let error = convert(set, file, parquet, &out).expect_err("refused");
        assert!(!out.exists());
        format!("{error:#}")
    };
    // Test rows have no labels that a training table could have.
    let refused = told("CoLA", "train.tsv", &fixture("cola-test.parquet"));
    assert!(
        refused.contains("cola-test.parquet")
            && refused.contains("row 0 (from 0): `label`: is -1, and 0 to 1 were expected"),
        "{refused}"
    );
    let refused = told("QQP", "train.tsv", &fixture("rte.parquet"));
    assert!(
        refused.contains("it has no column `question1`"),
        "{refused}"
    );
    let refused = told("RTE", "train.csv", &fixture("rte.parquet"));
    assert!(
        refused.contains("no table train.csv of a data set RTE"),
        "{refused}"
    );
    let refused = told("RTE", "train.tsv", &dir.path().join("none.parquet"));
    assert!(
        refused.contains("none.parquet") && refused.contains("cannot be opened"),
        "{refused}"
    );
    // Every beginning of a file is told from a whole one.
    let whole = fs::read(fixture("rte.parquet")).expect("a file");
    let part = dir.path().join("part.parquet");
    for length in (0..whole.len()).step_by(37) {
        fs::write(&part, &whole[..length]).expect("a part");
        let refused = told("RTE", "train.tsv", &part);
        assert!(
            refused.contains("it is no whole Parquet file"),
            "{length}: {refused}"
        );
    }
}
