//! Lengths of examples in tokens.

use serde::Serialize;

use crate::encoded::EncodedExample;
use crate::reader::{Example, ReadReport};
use crate::tokenize::{TextTokenizer, TokenizerError};

/// Lengths in tokens before truncation, special tokens included. Percentiles are lengths that occur (nearest rank). Each
/// option of a multiple choice has a length of its own; a question's is that with its whole context.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lengths {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// Examples longer than the maximum length, which lose tokens or, for spans, are read in several windows.
    pub truncated: u64,
}

impl Lengths {
    /// `None` without examples.
    pub(super) fn of(
        tokenizer: &TextTokenizer,
        examples: &[Example],
        max_length: usize,
    ) -> Result<Option<Self>, TokenizerError> {
        let report = ReadReport::of(examples);
        let encoded = tokenizer.encode_with_report(examples, usize::MAX, None, &report)?;
        let mut lengths: Vec<u64> = encoded
            .iter()
            .flat_map(|example| example.sequence_lengths())
            .map(|length| length as u64)
            .collect();
        lengths.sort_unstable();
        let Some(&max) = lengths.last() else {
            return Ok(None);
        };
        let too_long = |example: &EncodedExample<'_>| {
            example.sequence_lengths().any(|length| length > max_length)
        };
        Ok(Some(Self {
            p50: nearest_rank(&lengths, 50),
            p90: nearest_rank(&lengths, 90),
            p99: nearest_rank(&lengths, 99),
            max,
            truncated: encoded.iter().filter(too_long).count() as u64,
        }))
    }
}

/// The smallest value that at least so many percent do not exceed; 0 of none. The values are sorted.
pub(super) fn nearest_rank(values: &[u64], percent: usize) -> u64 {
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(0)
}
