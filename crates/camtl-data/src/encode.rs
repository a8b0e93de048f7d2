//! From examples to a split in tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use crate::encoded::EncodedSplit;
use crate::kinds::span::{WindowPlaces, windows};
use crate::kinds::{encode_mentions, encode_options, encode_words};
use crate::reader::ReadReport;
use crate::source::{Rows, Source};
use crate::spec::{Details, Example};
use crate::task::TaskSpec;
use crate::tokenize::{Encoded, TextTokenizer, TokenizerError};

/// A row in tokens.
#[derive(Debug)]
struct Sequences {
    /// Its sequences: one, or one for each window of a question's context. The options of a multiple choice are one, end to end.
    encoded: Vec<Encoded>,
    /// Where the windows stand in the context, if the row is a question.
    places: Option<WindowPlaces>,
}

impl TextTokenizer {
    /// Encodes examples in parallel; the result does not depend on the number of threads. Windows of a context begin
    /// 128 tokens apart, at most half a window; [`TextTokenizer::encode_for`] follows a task file.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode`], for the first example that fails.
    pub fn encode_all(
        &self,
        examples: &[Example],
        max_length: usize,
    ) -> Result<EncodedSplit, TokenizerError> {
        self.encode_rows(examples, max_length, None)
    }

    /// Encodes the examples of a task, which may be given by its users rather than read from its files. Ids tell questions
    /// apart: no two may have the same.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode_all`].
    pub fn encode_for(
        &self,
        spec: &TaskSpec,
        examples: &[Example],
        max_length: usize,
    ) -> Result<EncodedSplit, TokenizerError> {
        self.encode_rows(examples, max_length, spec.doc_stride)
    }

    fn encode_rows(
        &self,
        examples: &[Example],
        max_length: usize,
        doc_stride: Option<usize>,
    ) -> Result<EncodedSplit, TokenizerError> {
        let report = ReadReport::of(examples);
        let all = self.encode_each(examples, max_length, doc_stride, |row| row)?;
        let mut encoded = Vec::with_capacity(all.len());
        let mut places = BTreeMap::new();
        for (row, sequences) in all.into_iter().enumerate() {
            encoded.push(sequences.encoded);
            places.extend(sequences.places.map(|places| (row, places)));
        }
        let mut split = EncodedSplit::from_encoded(examples, encoded, &report);
        split.source = Some(Arc::new(Source {
            rows: Rows::Held {
                rows: Arc::new(examples.to_vec()),
                places,
            },
            tokenizer: self.clone(),
            max_length,
            doc_stride,
        }));
        Ok(split)
    }

    /// Encodes examples without keeping them: the split does not know what it was made of.
    pub(crate) fn encode_with_report(
        &self,
        examples: &[Example],
        max_length: usize,
        doc_stride: Option<usize>,
        report: &ReadReport,
    ) -> Result<EncodedSplit, TokenizerError> {
        let encoded = self.encode_each(examples, max_length, doc_stride, |row| row.encoded)?;
        Ok(EncodedSplit::from_encoded(examples, encoded, report))
    }

    /// Encodes examples in parallel: what `keep` makes of each one's sequences, in order.
    fn encode_each<T: Send>(
        &self,
        examples: &[Example],
        max_length: usize,
        doc_stride: Option<usize>,
        keep: impl Fn(Sequences) -> T + Sync,
    ) -> Result<Vec<T>, TokenizerError> {
        let all: Vec<Result<T, TokenizerError>> = examples
            .par_iter()
            .map(|example| {
                self.encode_example(example, max_length, doc_stride)
                    .map(&keep)
                    .map_err(|error| match error {
                        TokenizerError::Encode { what, reason } => TokenizerError::Encode {
                            what: format!("{what} of example {}", example.id),
                            reason,
                        },
                        other => other,
                    })
            })
            .collect();
        // Collected first, so that the error reported is that of the first example in order.
        all.into_iter().collect()
    }

    /// The sequences of a row of any kind.
    fn encode_example(
        &self,
        example: &Example,
        max_length: usize,
        doc_stride: Option<usize>,
    ) -> Result<Sequences, TokenizerError> {
        let text_b = example.text_b.as_deref();
        let encoded = match &example.details {
            Details::None | Details::Candidate(_) => {
                self.encode(&example.text_a, text_b, max_length)?
            }
            Details::Options(options) => {
                encode_options(self, &example.text_a, text_b, options, max_length)?
            }
            Details::Words { words, tags } => {
                encode_words(self, words, tags.as_deref(), max_length)?
            }
            Details::Question(question) => {
                let (encoded, places) = windows(
                    self,
                    &example.text_a,
                    text_b.unwrap_or_default(),
                    &question.spans,
                    max_length,
                    doc_stride,
                )?;
                return Ok(Sequences {
                    encoded,
                    places: Some(places),
                });
            }
            Details::Mentions(mentions) => {
                encode_mentions(self, &example.text_a, text_b, mentions, max_length)?
            }
        };
        Ok(Sequences {
            encoded: vec![encoded],
            places: None,
        })
    }
}
