//! Rows of the wrong shape, headers, positions.

use std::fs;

use camtl_data::reader::read_split_with_report;
use camtl_data::{RowProblem, read_split};

use crate::{pair, read_file, refused, scores, spec};

#[test]
fn wrong_column_counts_are_named() {
    for (format, separator) in [("tsv", "\t"), ("csv", ",")] {
        let spec = spec(format, "");
        let text = |row: &str| {
            format!("id,first,second,label\n1,a,b,entailment\n{row}\n").replace(',', separator)
        };
        for (row, found) in [("2,a,b", 3), ("2,a,b,entailment,x", 5), ("lone", 1)] {
            let (line, _, problem, message) = refused(&spec, text(row).as_bytes());
            assert_eq!(line, 3);
            assert!(
                matches!(problem, RowProblem::ColumnCount { expected: 4, found: n, .. } if n == found)
            );
            assert!(
                message.contains("as in the header") && message.contains("malformed_rows"),
                "{message}"
            );
        }
        let (line, _, problem, _) = refused(&spec, text("\n3,a,b,entailment").as_bytes());
        assert_eq!((line, problem), (3, RowProblem::BlankLine));
        let (line, _, problem, _) = refused(&spec, text("2,a,b,entailment\n").as_bytes());
        assert_eq!(
            (line, problem),
            (4, RowProblem::BlankLine),
            "blank lines at the end are no exception"
        );
    }
    let (line, _, problem, message) = refused(&scores(), b"fine\t1\nonly one\n");
    assert_eq!(line, 2);
    assert!(matches!(
        problem,
        RowProblem::ColumnCount {
            expected: 2,
            found: 1,
            ..
        }
    ));
    assert!(message.contains("`columns` of the task file"), "{message}");
}

#[test]
fn without_columns_the_first_row_decides() {
    let mut spec = scores();
    spec.columns = None;
    assert_eq!(read_file(&spec, "dev", b"a\t1\nb\t2\n").unwrap().len(), 2);
    let (line, _, problem, message) = refused(&spec, b"a\t1\nb\t2\tx\n");
    assert_eq!(line, 2);
    assert!(matches!(
        problem,
        RowProblem::ColumnCount {
            expected: 2,
            found: 3,
            ..
        }
    ));
    assert!(message.contains("as in the first row"), "{message}");
    let (line, _, problem, _) = refused(&spec, b"a\nb\n");
    assert_eq!(
        (line, problem),
        (
            1,
            RowProblem::NoSuchPosition {
                index: 1,
                columns: 1
            }
        )
    );
}

#[test]
fn malformed_rows_are_left_out_and_counted_when_the_file_says_so() {
    let cases = [
        (
            "tsv",
            "id\tfirst\tsecond\tlabel\n1\ta\tb\tentailment\nbroken\n\n2\ta\tb\tentailment\n",
        ),
        (
            "csv",
            "id,first,second,label\n1,a,b,entailment\nbroken\n\n2,a,b,entailment\n",
        ),
        (
            "jsonl",
            "{\"id\":1,\"first\":\"a\",\"second\":\"b\",\"label\":\"entailment\"}\n{\"id\":\n\n[]\n\
             {\"id\":2,\"first\":\"a\",\"second\":\"b\",\"label\":\"entailment\"}\n",
        ),
    ];
    for (format, text) in cases {
        let spec = spec(format, "malformed_rows = \"skip\"");
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!("dev.{format}")), text).unwrap();
        let (examples, report) = read_split_with_report(&spec, dir.path(), "dev").unwrap();
        assert_eq!(
            examples,
            [pair(0, "1", "a", "b", 0), pair(3, "2", "a", "b", 0)],
            "{format}"
        );
        assert_eq!((report.rows, report.skipped_rows), (4, 2), "{format}");

        // Only shapes may be skipped: a label that nobody knows is still an error.
        let wrong = text.replacen("entailment", "entailmant", 1);
        fs::write(dir.path().join(format!("dev.{format}")), wrong).unwrap();
        assert!(read_split(&spec, dir.path(), "dev").is_err());
    }
    let all_broken = read_file(
        &spec("tsv", "malformed_rows = \"skip\""),
        "dev",
        b"id\tfirst\tsecond\tlabel\nx\n",
    );
    let message = all_broken.unwrap_err().to_string();
    assert!(
        message.contains("no rows but 1 malformed one(s)"),
        "{message}"
    );
}

#[test]
fn headers_must_name_the_columns_once() {
    let spec = spec("tsv", "");
    let (line, _, _, message) = refused(&spec, b"id\tfirst\tsecond\tlabels\n1\ta\tb\tentailment\n");
    assert_eq!(line, 1);
    assert!(
        message.contains("no column `label`; it names `id`, `first`, `second` or `labels`"),
        "{message}"
    );
    assert!(message.contains("did you mean `labels`"), "{message}");
    let (_, _, _, message) = refused(
        &spec,
        b"id\tfirst\tsecond\tlabel\tlabel\n1\ta\tb\tentailment\tx\n",
    );
    assert!(
        message.contains("names column `label` 2 times"),
        "{message}"
    );
    let (_, _, _, message) = refused(&spec, b"1\tA text.\tAnother.\tentailment\n");
    assert!(message.contains("header = false"), "{message}");
}

#[test]
fn columns_may_be_given_by_position_under_a_header() {
    let mut spec = spec("tsv", "");
    spec.fields.text_a = camtl_data::Column::Index(2);
    let text = b"id\tfirst\tsecond\tlabel\n1\ta\tb\tentailment\n";
    let examples = read_file(&spec, "dev", text).unwrap();
    assert_eq!(
        (examples[0].text_a.as_str(), examples[0].text_b.as_deref()),
        ("b", Some("b"))
    );
    spec.fields.text_a = camtl_data::Column::Index(4);
    let (line, _, problem, _) = refused(&spec, text);
    assert_eq!(
        (line, problem),
        (
            1,
            RowProblem::NoSuchPosition {
                index: 4,
                columns: 4
            }
        )
    );
}
