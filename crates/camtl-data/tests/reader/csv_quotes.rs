//! CSV with quotes: in place, and astray.

use camtl_data::RowProblem;

use crate::{read_file, refused, spec};

#[test]
fn csv_fields_may_hold_line_breaks_and_lines_stay_counted() {
    let spec = spec("csv", "");
    let text = "id,first,second,label\r\n1,\"two\nlines\",\"b\r\nb\",entailment\r\n2,a,b,wrong\r\n";
    let (line, column, problem, _) = refused(&spec, text.as_bytes());
    assert_eq!((line, column.as_deref()), (5, Some("`label` (position 3)")));
    assert!(matches!(problem, RowProblem::UnknownLabel { .. }));
    let text = text.replace("wrong", "entailment");
    let examples = read_file(&spec, "dev", text.as_bytes()).unwrap();
    assert_eq!(examples[0].text_a, "two\nlines");
    assert_eq!(examples[0].text_b.as_deref(), Some("b\r\nb"));
}

#[test]
fn stray_quotes_in_csv_are_refused_where_they_stand() {
    let spec = spec("csv", "malformed_rows = \"skip\"");
    let header = "id,first,second,label\n1,a,b,entailment\n";
    for (row, expected) in [
        (
            "2,say \"hi\",b,entailment\n",
            RowProblem::StrayQuote { line: 3 },
        ),
        (
            "2,\"hi\" he said,b,entailment\n",
            RowProblem::StrayQuote { line: 3 },
        ),
        (
            "2,\"a\nb\" c,b,entailment\n",
            RowProblem::StrayQuote { line: 4 },
        ),
        (
            "2,\"never closed,b,entailment\n3,a,b,entailment\n",
            RowProblem::UnclosedQuote,
        ),
    ] {
        let (line, _, problem, message) = refused(&spec, format!("{header}{row}").as_bytes());
        assert_eq!((line, &problem), (3, &expected), "{row}");
        assert!(message.contains("written twice"), "{message}");
    }
}
