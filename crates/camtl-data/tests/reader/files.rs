//! Files as wholes: formats, encodings, line ends, nothing in them, not there.

use std::fs;

use camtl_data::{DataError, RowProblem, read_split};

use crate::{pair, read_file, refused, spec};

#[test]
fn the_three_formats_hold_the_same_examples() {
    let expected = [
        pair(0, "x1", "A dog, \"Rex\", barks.", "Rex is a dog.", 0),
        pair(1, "x2", "Ça va?", "", 1),
    ];
    let tsv = "id\tfirst\tsecond\tlabel\nx1\tA dog, \"Rex\", barks.\tRex is a dog.\tentailment\nx2\tÇa va?\t\tnot_entailment\n";
    let csv = "id,first,second,label\nx1,\"A dog, \"\"Rex\"\", barks.\",Rex is a dog.,entailment\nx2,Ça va?,,not_entailment\n";
    let jsonl = concat!(
        r#"{"id": "x1", "first": "A dog, \"Rex\", barks.", "second": "Rex is a dog.", "label": "entailment", "more": [1]}"#,
        "\n",
        r#"{"label": "not_entailment", "second": "", "first": "\u00c7a va?", "id": "x2"}"#,
        "\n"
    );
    for (format, text) in [("tsv", tsv), ("csv", csv), ("jsonl", jsonl)] {
        let spec = spec(format, "");
        let bare = text.trim_end_matches('\n');
        for (what, text) in [
            ("as it is", text.to_owned()),
            ("with a byte order mark", format!("\u{feff}{text}")),
            ("with CRLF", text.replace('\n', "\r\n")),
            ("without a last line end", bare.to_owned()),
            (
                "with CRLF and without a last line end",
                bare.replace('\n', "\r\n"),
            ),
        ] {
            let examples = read_file(&spec, "dev", text.as_bytes()).unwrap();
            assert_eq!(examples, expected, "{format} {what}");
        }
    }
}

#[test]
fn quotes_mean_nothing_in_tsv() {
    let spec = spec("tsv", "");
    let text =
        "id\tfirst\tsecond\tlabel\n\"1\t\"open\tclose\"\tentailment\n2\t'\t\"\"\"\tentailment\n";
    let examples = read_file(&spec, "dev", text.as_bytes()).unwrap();
    assert_eq!(examples[0], pair(0, "\"1", "\"open", "close\"", 0));
    assert_eq!(examples[1].text_b.as_deref(), Some("\"\"\""));
}

#[test]
fn only_line_feeds_end_lines() {
    // U+2028, U+0085, vertical tab and a lone carriage return are text, as they are to GLUE's own readers of bytes.
    let spec = spec("tsv", "");
    let text = "id\tfirst\tsecond\tlabel\n1\ta\u{2028}b\u{85}c\u{b}d\re\tf\tentailment\n";
    let examples = read_file(&spec, "dev", text.as_bytes()).unwrap();
    assert_eq!(examples[0].text_a, "a\u{2028}b\u{85}c\u{b}d\re");
}

#[test]
fn bytes_that_are_not_utf8_are_named() {
    let spec = spec("tsv", "");
    let text = b"id\tfirst\tsecond\tlabel\n1\ta\tb\tentailment\n2\tcaf\xe9\tb\tentailment\n";
    let (line, column, problem, message) = refused(&spec, text);
    assert_eq!((line, column.as_deref()), (3, Some("at position 1")));
    assert_eq!(
        problem,
        RowProblem::InvalidUtf8 {
            byte: 6,
            value: 0xe9
        }
    );
    assert!(message.contains("convert the file to UTF-8"), "{message}");
    // Cut off in the middle of a character.
    let (line, _, problem, _) = refused(&spec, b"id\tfirst\tsecond\tlabel\n1\tx\xe2\x82");
    assert_eq!(
        (line, problem),
        (
            2,
            RowProblem::InvalidUtf8 {
                byte: 4,
                value: 0xe2
            }
        )
    );
    for utf16 in [&b"\xff\xfei\x00d\x00"[..], b"\xfe\xff\x00i\x00d"] {
        let (_, _, problem, message) = refused(&spec, utf16);
        assert_eq!(problem, RowProblem::Utf16);
        assert!(message.contains("UTF-16"), "{message}");
    }
}

#[test]
fn files_without_rows_are_refused() {
    for (format, texts) in [
        (
            "tsv",
            vec![
                "",
                "\u{feff}",
                "id\tfirst\tsecond\tlabel\n",
                "id\tfirst\tsecond\tlabel",
            ],
        ),
        ("csv", vec!["", "id,first,second,label\r\n"]),
        ("jsonl", vec!["", "\n", "\n\r\n  \n"]),
    ] {
        for text in texts {
            let error = read_file(&spec(format, ""), "dev", text.as_bytes()).unwrap_err();
            assert!(
                matches!(error, DataError::NoRows { skipped: 0, .. }),
                "{format} {text:?}"
            );
            assert!(
                error
                    .to_string()
                    .contains("no rows; expected at least one example")
            );
        }
    }
}

#[test]
fn files_and_splits_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec("tsv", "");
    let message = read_split(&spec, dir.path(), "dev")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("dev.tsv") && message.contains("check the data folder"),
        "{message}"
    );
    let message = read_split(&spec, dir.path(), "dve")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("its task file names `dev` or `test` (did you mean `dev`?)"),
        "{message}"
    );
    fs::create_dir(dir.path().join("dev.tsv")).unwrap();
    assert!(matches!(
        read_split(&spec, dir.path(), "dev").unwrap_err(),
        DataError::Io { .. }
    ));
}

#[test]
fn messages_stay_short_and_printable() {
    let spec = spec("tsv", "");
    let text = format!(
        "id\tfirst\tsecond\tlabel\n1\ta\tb\t\u{1b}[2J{}\n",
        "x".repeat(100_000)
    );
    let message = read_file(&spec, "dev", text.as_bytes())
        .unwrap_err()
        .to_string();
    assert!(
        message.len() < 1000 && !message.contains('\u{1b}'),
        "{message}"
    );
    let header = (0..10_000)
        .map(|n| format!("column{n}\t"))
        .collect::<String>();
    let message = read_file(&spec, "dev", header.as_bytes())
        .unwrap_err()
        .to_string();
    assert!(message.len() < 1000, "{message}");
}
