//! Properties: the output of another CSV writer, and bytes of any kind.

use camtl_data::TaskSpec;
use camtl_data::reader::read_lines;
use proptest::prelude::*;

use crate::spec;

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
    }
}
