//! Readers of every format: what is accepted, and the place and remedy of everything that is not.

use std::fs;
use std::io::{BufReader, Read};

use camtl_data::reader::{read_lines, read_split_with_report, read_texts};
use camtl_data::{DataError, Example, Label, RowProblem, TaskSpec, read_split};
use proptest::prelude::*;

fn spec(format: &str, more: &str) -> TaskSpec {
    TaskSpec::from_toml(
        &format!(
            r#"
            name = "pairs"
            kind = "classification"
            labels = ["entailment", "not_entailment"]
            metrics = ["accuracy"]
            format = "{format}"
            fields = {{ key = "id", text_a = "first", text_b = "second", label = "label" }}
            {more}
            [files]
            dev = "dev.{format}"
            test = {{ path = "test.{format}", labelled = false }}
            "#
        ),
        "pairs.toml",
    )
    .unwrap()
}

fn scores() -> TaskSpec {
    TaskSpec::from_toml(
        r#"
        name = "scores"
        kind = "regression"
        range = [0.0, 5.0]
        metrics = ["pearson"]
        format = "tsv"
        header = false
        columns = 2
        fields = { text_a = 0, label = 1 }
        files = { dev = "dev.tsv" }
        "#,
        "scores.toml",
    )
    .unwrap()
}

/// Reads `bytes` as the file of a split, labels required.
fn read_file(spec: &TaskSpec, split: &str, bytes: &[u8]) -> Result<Vec<Example>, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(&spec.files[split].path);
    fs::write(path, bytes).unwrap();
    read_split(spec, dir.path(), split)
}

fn problem(spec: &TaskSpec, bytes: &[u8]) -> (u64, Option<String>, RowProblem, String) {
    let error = read_file(spec, "dev", bytes).unwrap_err();
    let message = error.to_string();
    match error {
        DataError::Row(row) => {
            assert!(message.contains(&format!("dev.{}:{}: ", extension(&row.origin), row.line)));
            (row.line, row.column, row.problem, message)
        }
        other => panic!("expected a problem in a row: {other}"),
    }
}

fn extension(path: &str) -> &str {
    path.rsplit('.').next().unwrap()
}

fn pair(id: u64, key: &str, a: &str, b: &str, label: u32) -> Example {
    Example {
        id,
        key: Some(key.to_owned()),
        text_a: a.to_owned(),
        text_b: Some(b.to_owned()),
        label: Some(Label::Class(label)),
    }
}

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
fn csv_fields_may_hold_line_breaks_and_lines_stay_counted() {
    let spec = spec("csv", "");
    let text = "id,first,second,label\r\n1,\"two\nlines\",\"b\r\nb\",entailment\r\n2,a,b,wrong\r\n";
    let (line, column, problem, _) = problem(&spec, text.as_bytes());
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
        let (line, _, problem, message) = problem(&spec, format!("{header}{row}").as_bytes());
        assert_eq!((line, &problem), (3, &expected), "{row}");
        assert!(message.contains("written twice"), "{message}");
    }
}

#[test]
fn wrong_column_counts_are_named() {
    for (format, separator) in [("tsv", "\t"), ("csv", ",")] {
        let spec = spec(format, "");
        let text = |row: &str| {
            format!("id,first,second,label\n1,a,b,entailment\n{row}\n").replace(',', separator)
        };
        for (row, found) in [("2,a,b", 3), ("2,a,b,entailment,x", 5), ("lone", 1)] {
            let (line, _, problem, message) = problem(&spec, text(row).as_bytes());
            assert_eq!(line, 3);
            assert!(
                matches!(problem, RowProblem::ColumnCount { expected: 4, found: n, .. } if n == found)
            );
            assert!(
                message.contains("as in the header") && message.contains("malformed_rows"),
                "{message}"
            );
        }
        let (line, _, problem, _) = problem(&spec, text("\n3,a,b,entailment").as_bytes());
        assert_eq!((line, problem), (3, RowProblem::BlankLine));
        let (line, _, problem, _) = problem_at_end(&spec, &text("2,a,b,entailment\n"));
        assert_eq!(
            (line, problem),
            (4, RowProblem::BlankLine),
            "blank lines at the end are no exception"
        );
    }
    let (line, _, problem, message) = problem(&scores(), b"fine\t1\nonly one\n");
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

fn problem_at_end(spec: &TaskSpec, text: &str) -> (u64, Option<String>, RowProblem, String) {
    problem(spec, text.as_bytes())
}

#[test]
fn without_columns_the_first_row_decides() {
    let mut spec = scores();
    spec.columns = None;
    assert_eq!(read_file(&spec, "dev", b"a\t1\nb\t2\n").unwrap().len(), 2);
    let (line, _, problem, message) = problem(&spec, b"a\t1\nb\t2\tx\n");
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
    let (line, _, problem, _) = crate::problem(&spec, b"a\nb\n");
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
fn unknown_labels_come_with_the_nearest_known() {
    let spec = spec("tsv", "");
    let text = |label: &str| format!("id\tfirst\tsecond\tlabel\n1\ta\tb\t{label}\n");
    let (line, column, _, message) = problem(&spec, text("not-entailment").as_bytes());
    assert_eq!((line, column.as_deref()), (2, Some("`label` (position 3)")));
    assert!(
        message
            .contains("unknown label `not-entailment`; expected `entailment` or `not_entailment`")
    );
    assert!(
        message.contains("(did you mean `not_entailment`?)"),
        "{message}"
    );
    let (_, _, _, message) = problem(&spec, text("maybe").as_bytes());
    assert!(!message.contains("did you mean"), "{message}");
    let (_, _, _, message) = problem(&spec, text(" entailment").as_bytes());
    assert!(
        message.contains("unknown label ` entailment`"),
        "spaces are not forgiven: {message}"
    );
    let (_, _, problem, message) = problem(&spec, text("").as_bytes());
    assert_eq!(problem, RowProblem::EmptyLabel);
    assert!(message.contains("labelled = false"), "{message}");
}

#[test]
fn scores_must_be_finite_numbers_within_the_range() {
    let spec = scores();
    let read = |score: &str| read_file(&spec, "dev", format!("a\t{score}\n").as_bytes());
    for (text, score) in [
        ("0", 0.0),
        ("5.000", 5.0),
        (" 2.5 ", 2.5),
        ("1e0", 1.0),
        ("-0", 0.0),
    ] {
        assert_eq!(
            read(text).unwrap()[0].label,
            Some(Label::Score(score)),
            "{text}"
        );
    }
    for text in [
        "NaN", "nan", "inf", "-inf", "infinity", "1e99", "2,5", "two", "0x1", "1 2",
    ] {
        let message = read(text).unwrap_err().to_string();
        assert!(
            message.contains(&format!("`{text}` is not a finite number")),
            "{message}"
        );
        assert!(message.contains(":1: column at position 1"), "{message}");
    }
    for text in ["-0.001", "5.001", "1e9"] {
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains("is outside [0, 5]"), "{message}");
    }
}

#[test]
fn headers_must_name_the_columns_once() {
    let spec = spec("tsv", "");
    let (line, _, _, message) = problem(&spec, b"id\tfirst\tsecond\tlabels\n1\ta\tb\tentailment\n");
    assert_eq!(line, 1);
    assert!(
        message.contains("no column `label`; it names `id`, `first`, `second` or `labels`"),
        "{message}"
    );
    assert!(message.contains("did you mean `labels`"), "{message}");
    let (_, _, _, message) = problem(
        &spec,
        b"id\tfirst\tsecond\tlabel\tlabel\n1\ta\tb\tentailment\tx\n",
    );
    assert!(
        message.contains("names column `label` 2 times"),
        "{message}"
    );
    let (_, _, _, message) = problem(&spec, b"1\tA text.\tAnother.\tentailment\n");
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
    let (line, _, problem, _) = problem(&spec, text);
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

#[test]
fn bytes_that_are_not_utf8_are_named() {
    let spec = spec("tsv", "");
    let text = b"id\tfirst\tsecond\tlabel\n1\ta\tb\tentailment\n2\tcaf\xe9\tb\tentailment\n";
    let (line, column, problem, message) = problem(&spec, text);
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
    let (line, _, problem, _) = crate::problem(&spec, b"id\tfirst\tsecond\tlabel\n1\tx\xe2\x82");
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
        let (_, _, problem, message) = crate::problem(&spec, utf16);
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
fn json_lines_are_told_what_is_wrong_with_them() {
    let spec = spec("jsonl", "");
    let line = |more: &str| format!("{{\"id\": 1, \"first\": \"a\", \"second\": \"b\"{more}}}\n");
    let good = line(", \"label\": \"entailment\"");
    let cases = [
        (
            line(""),
            Some("`label`"),
            "the object has no such key; it has `id`, `first` or `second`",
        ),
        (
            line(", \"lable\": 1"),
            Some("`label`"),
            "did you mean `lable`",
        ),
        (
            line(", \"label\": null"),
            Some("`label`"),
            "expected a string, a number, true or false, found null",
        ),
        (line(", \"label\": {}"), Some("`label`"), "found an object"),
        (
            good.replace("\"a\"", "3"),
            Some("`first`"),
            "expected a string, found a number",
        ),
        (
            good.replace("\"b\"", "[\"b\"]"),
            Some("`second`"),
            "expected a string, found an array",
        ),
        (
            "[1]\n".to_owned(),
            None,
            "not a JSON object: found an array",
        ),
        ("{\"id\": 1".to_owned(), None, "not a JSON object: EOF"),
        (
            good.replace("\"a\"", "'a'"),
            None,
            "not a JSON object: expected value at character 20",
        ),
        (
            format!("{} {}", good.trim_end(), good),
            None,
            "not a JSON object: trailing characters",
        ),
        (
            "{\"first\": \"\\ud800\"}\n".to_owned(),
            None,
            "not a JSON object",
        ),
        ("[".repeat(100_000), None, "recursion limit"),
    ];
    for (text, column, words) in cases {
        let (at, found, _, message) = problem(&spec, format!("{good}\n{text}").as_bytes());
        assert_eq!((at, found.as_deref()), (3, column), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn json_labels_may_be_numbers_or_truth_values_and_fields_may_be_nested() {
    let spec = TaskSpec::from_toml(
        r#"
        name = "yes-no"
        kind = "classification"
        labels = ["false", "true"]
        metrics = ["accuracy"]
        format = "jsonl"
        fields = { text_a = "/passage/text", text_b = "question", label = "label", key = "/ids/0" }
        files = { dev = "dev.jsonl" }
        "#,
        "yes-no.toml",
    )
    .unwrap();
    let text = r#"{"passage": {"text": "It rains."}, "question": "does it rain", "label": true, "ids": [17]}"#;
    let examples = read_file(&spec, "dev", text.as_bytes()).unwrap();
    assert_eq!(examples[0], pair(0, "17", "It rains.", "does it rain", 1));
}

#[test]
fn unlabelled_splits_need_no_label_column() {
    let spec = spec("tsv", "");
    let examples = read_file(&spec, "test", b"id\tfirst\tsecond\n0\ta\tb\n").unwrap();
    assert_eq!(examples[0].label, None);
    // A label column that happens to be there is not looked at.
    let examples = read_file(&spec, "test", b"id\tfirst\tsecond\tlabel\n0\ta\tb\t?\n").unwrap();
    assert_eq!(examples[0].label, None);
}

#[test]
fn streams_may_come_without_labels() {
    let spec = spec("tsv", "");
    let read = |text: &str| read_lines(&spec, "dev", text.as_bytes(), "standard input");
    assert_eq!(read("id\tfirst\tsecond\n1\ta\tb\n").unwrap()[0].label, None);
    let some = read("id\tfirst\tsecond\tlabel\n1\ta\tb\t\n2\ta\tb\tentailment\n").unwrap();
    assert_eq!(
        (some[0].label, some[1].label),
        (None, Some(Label::Class(0)))
    );
    assert!(read("").unwrap().is_empty());
    let message = read("id\tfirst\tsecond\tlabel\n1\ta\tb\twhat\n")
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("standard input:2: column `label`"),
        "{message}"
    );
    let message = read("id\tfirst\n1\ta\n").unwrap_err().to_string();
    assert!(
        message.starts_with("standard input:1: the header has no column `second`"),
        "{message}"
    );
    let message = read_lines(&spec, "devv", "".as_bytes(), "standard input")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("no split `devv`") && message.contains("did you mean `dev`"),
        "{message}"
    );

    let scores = scores();
    let one = read_lines(&scores, "dev", "a\t\nb\t3\n".as_bytes(), "standard input").unwrap();
    assert_eq!(
        (one[0].label, one[1].label),
        (None, Some(Label::Score(3.0)))
    );
}

#[test]
fn bare_texts_are_one_example_per_line() {
    let pairs = spec("tsv", "");
    let examples = read_texts(&pairs, "a b\tc d\r\ne\t\n".as_bytes(), "standard input").unwrap();
    assert_eq!(examples[0].text_a, "a b");
    assert_eq!(examples[0].text_b.as_deref(), Some("c d"));
    assert_eq!(
        (examples[1].id, examples[1].text_b.as_deref()),
        (1, Some(""))
    );
    let message = read_texts(&pairs, "a\tb\nalone\n".as_bytes(), "standard input")
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("standard input:2: 1 tab-separated column(s), expected 2"),
        "{message}"
    );
    assert!(message.contains("pairs of texts"), "{message}");

    let single = scores();
    let examples = read_texts(&single, "one\n\ntab\tstays\n".as_bytes(), "standard input").unwrap();
    let texts: Vec<_> = examples
        .iter()
        .map(|example| example.text_a.as_str())
        .collect();
    assert_eq!(
        texts,
        ["one", "", "tab\tstays"],
        "every line is an example, so that answers stay in step"
    );
}

#[test]
fn a_stream_that_fails_is_named() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the wire was cut"))
        }
    }
    let error = read_lines(&scores(), "dev", BufReader::new(Broken), "standard input").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read standard input: the wire was cut"
    );
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

fn csv_text() -> impl Strategy<Value = Vec<Vec<String>>> {
    let cell = "[a-c\",\n\r é]{0,6}";
    prop::collection::vec(prop::collection::vec(cell, 3), 1..8)
}

proptest! {
    /// What the csv crate writes, we read, whatever is in the cells.
    #[test]
    fn csv_of_another_writer_is_read_as_written(rows in csv_text(), crlf in any::<bool>()) {
        let spec = TaskSpec::from_toml(
            r#"
            name = "any"
            kind = "classification"
            labels = ["x", "y"]
            metrics = ["accuracy"]
            format = "csv"
            header = false
            fields = { key = 0, text_a = 1, text_b = 2 }
            files = { dev = { path = "dev.csv", labelled = false } }
            "#,
            "any.toml",
        ).unwrap();
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let examples = read_lines(&spec, "dev", bytes.as_slice(), "csv").unwrap();
        let read: Vec<Vec<String>> = examples
            .into_iter()
            .map(|example| vec![example.key.unwrap(), example.text_a, example.text_b.unwrap()])
            .collect();
        prop_assert_eq!(read, rows);
    }

    /// Whatever the bytes, there is an answer or an error, and a skipped row is never silent.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\t'), Just(b'\n'), Just(b'"'), Just(b','), Just(b'{')], 0..200),
        format in prop_oneof![Just("tsv"), Just("csv"), Just("jsonl")],
        skip in any::<bool>()
    ) {
        let spec = spec(format, if skip { "malformed_rows = \"skip\"" } else { "" });
        let mut text: Vec<u8> = match format {
            "tsv" => b"id\tfirst\tsecond\tlabel\n".to_vec(),
            "csv" => b"id,first,second,label\n".to_vec(),
            _ => Vec::new(),
        };
        text.extend(bytes);
        let _ = read_lines(&spec, "dev", text.as_slice(), "fuzz");
        let _ = read_texts(&spec, text.as_slice(), "fuzz");
    }
}
