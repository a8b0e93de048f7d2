//! Rows from streams, for prediction.

use std::io::{BufReader, Read};

use camtl_data::Label;
use camtl_data::reader::read_lines;

use crate::{scores, spec};

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
