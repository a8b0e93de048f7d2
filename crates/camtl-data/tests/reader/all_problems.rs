//! Reading on after the first problem.

use camtl_data::reader::{CheckedSplit, read_split_with_problems};
use camtl_data::{DataError, TaskSpec};

use crate::spec;

fn checked(spec: &TaskSpec, bytes: &[u8], limit: usize) -> CheckedSplit {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(&spec.files["dev"].path), bytes).unwrap();
    read_split_with_problems(spec, dir.path(), "dev", limit).unwrap()
}

fn places(checked: &CheckedSplit) -> Vec<u64> {
    checked
        .problems
        .iter()
        .map(|problem| match problem {
            DataError::Row(row) => row.line,
            other => panic!("{other} has no line"),
        })
        .collect()
}

#[test]
fn every_bad_row_is_named_up_to_the_limit_and_the_good_ones_are_kept() {
    let text = "id\tfirst\tsecond\tlabel\n1\ta\tb\tentailment\n2\ta\tb\tperhaps\n3\ta\n4\ta\tb\t\n\n6\ta\tb\tnot_entailment\n";
    let all = checked(&spec("tsv", ""), text.as_bytes(), 10);
    assert_eq!(places(&all), [3, 4, 5, 6]);
    assert_eq!(
        (all.examples.len(), all.report.rows, all.more_problems),
        (2, 6, 0)
    );
    assert_eq!(all.examples[1].id, 5);
    let some = checked(&spec("tsv", ""), text.as_bytes(), 1);
    assert_eq!((places(&some), some.more_problems), (vec![3], 3));
}

#[test]
fn csv_and_json_lines_go_on_too() {
    // Behind a stray quote nobody knows where the next row begins: it is the last problem of a file.
    let csv =
        "id,first,second,label\n1,a,b,maybe\n2,a\n3,a,b,entailment\n4,a \"b\",c,entailment\n5,a\n";
    let found = checked(&spec("csv", ""), csv.as_bytes(), 10);
    assert_eq!((places(&found), found.examples.len()), (vec![2, 3, 5], 1));
    let good = "{\"id\": 1, \"first\": \"a\", \"second\": \"b\", \"label\": \"entailment\"}\n";
    let jsonl = format!("{{\n{good}[]\n{{\"id\": 1}}\n");
    let found = checked(&spec("jsonl", ""), jsonl.as_bytes(), 10);
    assert_eq!((places(&found), found.examples.len()), (vec![1, 3, 4], 1));
}

#[test]
fn every_line_that_is_not_utf8_is_named() {
    let text = b"id\tfirst\tsecond\tlabel\n1\t\xe9\tb\tentailment\n2\ta\tb\tentailment\n3\ta\t\xff\tentailment\n";
    let found = checked(&spec("tsv", ""), text, 10);
    assert_eq!(places(&found), [2, 4]);
    let utf16 = checked(&spec("tsv", ""), b"\xff\xfei\0d\0", 10);
    assert_eq!((places(&utf16), utf16.examples.len()), (vec![1], 0));
}

#[test]
fn a_bad_header_an_empty_file_and_an_absent_one_are_problems() {
    let header = checked(&spec("tsv", ""), b"id\tfirst\tlabel\n", 10);
    assert!(
        header.problems[0]
            .to_string()
            .contains("no column `second`")
    );
    let empty = checked(&spec("tsv", ""), b"id\tfirst\tsecond\tlabel\n", 10);
    assert!(matches!(empty.problems[..], [DataError::NoRows { .. }]));
    let dir = tempfile::tempdir().unwrap();
    let absent = read_split_with_problems(&spec("tsv", ""), dir.path(), "dev", 10).unwrap();
    assert!(matches!(absent.problems[..], [DataError::Io { .. }]));
    let unknown = read_split_with_problems(&spec("tsv", ""), dir.path(), "devv", 10);
    assert!(matches!(unknown, Err(DataError::UnknownSplit { .. })));
}
