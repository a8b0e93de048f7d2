//! Formats of data files, a file each and one list: what their rows are, which fields they have, and how they are read.

mod conll;
mod csv;
mod delimited;
mod format;
mod json_value;
mod jsonl;
mod mrqa;
mod multirc;
mod question;
mod record;
mod row;
mod squad;
mod tsv;

use std::fmt;

use crate::listed::listed;
use crate::spec::Fields;

pub use format::RowForm;
pub(crate) use format::{Format, FormatFields, Header};
pub(crate) use row::{LabelUse, RawRow, Source, unknown_label};

listed! {
    /// Layout of a data file.
    pub enum FileFormat: Format = FORMAT, expecting "the name of a file format" {
        /// Tab-separated, one row per line, no quoting at all: a quote is a character like any other (GLUE).
        Tsv in tsv,
        /// Comma-separated with quoted fields, doubled quotes and line breaks inside quotes (RFC 4180).
        Csv in csv,
        /// One JSON object per line.
        Jsonl in jsonl,
        /// `MultiRC` of `SuperGLUE`: one passage per line, its questions and their answers nested in it. Every answer is a
        /// row.
        MultiRc in multirc,
        /// `ReCoRD` of `SuperGLUE`: one passage per line with its queries. Every entity of the passage, put into the query, is
        /// a row, labelled `1` if it is an accepted answer and else `0`.
        Record in record,
        /// The JSON of SQuAD, v1.1 and v2. Every question is a row.
        Squad in squad,
        /// The JSON Lines of the MRQA shared task. Every question is a row.
        Mrqa in mrqa,
        /// Words and tags in columns, a blank line after each sentence. Every sentence is a row.
        Conll in conll,
    }
}

impl FileFormat {
    /// The fields of a format that has its own.
    pub(crate) fn own_fields(self) -> Option<Fields> {
        match self.definition().fields {
            FormatFields::Own(fields) => Some(fields()),
            FormatFields::Named { .. } => None,
        }
    }

    /// The fields when a task file names none.
    pub(crate) fn default_fields(self) -> Option<Fields> {
        match self.definition().fields {
            FormatFields::Own(fields) => Some(fields()),
            FormatFields::Named { default, .. } => default.map(|fields| fields()),
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.definition().spelling)
    }
}

/// A format is added by one file and one line of a list.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Column;

    mod lines {
        use std::borrow::Cow;

        use crate::formats::delimited::lines;
        use crate::formats::{Format, FormatFields, RawRow, RowForm};
        use crate::spec::{Column, Fields};

        pub(super) const FORMAT: Format = Format {
            spelling: "lines",
            rows: RowForm::Cells,
            fields: FormatFields::Own(|| Fields::new(Column::Index(0))),
            labels: None,
            evidence: None,
            read: |_, text, each| {
                lines(text).try_for_each(|(line, text)| {
                    each(Ok(RawRow {
                        line,
                        text_a: Cow::Borrowed(text),
                        ..RawRow::default()
                    }))
                })
            },
        };
    }

    listed! {
        /// Formats of one's own.
        enum OwnFormat: Format = FORMAT, expecting "the name of a file format" {
            /// A text in each line.
            Lines in lines,
        }
    }

    #[test]
    fn a_format_is_a_file_and_a_line() {
        let format: OwnFormat = serde_json::from_str("\"lines\"").unwrap();
        assert_eq!(format, OwnFormat::Lines);
        let FormatFields::Own(fields) = format.definition().fields else {
            panic!("it has fields of its own");
        };
        let fields = fields();
        assert_eq!(fields.text_a, Column::Index(0));
        let source = Source {
            origin: "two.txt",
            fields: &fields,
            header: false,
            columns: None,
            names: &[],
            no_answer: false,
            labels: LabelUse::Optional,
        };
        let mut texts = Vec::new();
        let read = format.definition().read;
        read(&source, "one\r\ntwo", &mut |row| {
            texts.push(row?.text_a.into_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(texts, ["one", "two"]);
    }
}
