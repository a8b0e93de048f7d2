//! Sizes that batches are filled up to, so that a few captured graphs serve all of them.
//!
//! A graph is captured for fixed numbers of tokens and sequences. A batch gets the next larger ones:
//! tokens a multiple of 128, sequences a multiple of eight. What is added are sequences of their own, at
//! least one token each and none longer than the bucket's bound, whose losses count nothing: every
//! gradient they could add is zero.
//!
//! ```
//! use camtl_model::Bucket;
//!
//! // 32 sequences with 1,200 tokens in all, the longest of 70.
//! let bucket = Bucket::holding(1200, 32, 70, 128).unwrap();
//! assert_eq!(bucket, Bucket { tokens: 1280, sequences: 40, max_len: 128 });
//! assert_eq!(bucket.filler(1200, 32), [73, 1, 1, 1, 1, 1, 1, 1]);
//! ```

/// Number of tokens and sequences of a filled batch, and the bound of its sequences' lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Tokens, a multiple of [`Bucket::TOKENS`].
    pub tokens: i64,
    /// Sequences, a multiple of [`Bucket::SEQUENCES`].
    pub sequences: i64,
    /// No sequence is longer: 32, 64, 128, 256, 512 or the model's own longest.
    pub max_len: i64,
}

impl Bucket {
    /// Buckets differ by so many tokens.
    pub const TOKENS: i64 = 128;
    /// Buckets differ by so many sequences.
    pub const SEQUENCES: i64 = 8;

    /// The smallest bucket for a batch of so many tokens and sequences, of which the longest has
    /// `longest` tokens. `max_length` is the model's longest sequence.
    ///
    /// None if the batch has no tokens, or `longest` is above 512 or `max_length`.
    pub fn holding(tokens: i64, sequences: i64, longest: i64, max_length: i64) -> Option<Self> {
        if tokens < 1 || longest > max_length {
            return None;
        }
        let bound = [32, 64, 128, 256, 512]
            .into_iter()
            .find(|bound| longest <= *bound)?;
        let max_len = bound.min(max_length);
        // So many fillers hold what is missing to a multiple, beside their own first tokens.
        let fillers = match max_len {
            1 => Self::TOKENS - 1,
            _ => round_up(Self::TOKENS - 1, max_len - 1) / (max_len - 1),
        };
        let filled = round_up(sequences + fillers, Self::SEQUENCES);
        Some(Bucket {
            tokens: round_up(tokens + filled - sequences, Self::TOKENS),
            sequences: filled,
            max_len,
        })
    }

    /// Lengths of the sequences that fill up a batch of so many tokens and sequences, for which this
    /// bucket was made.
    pub fn filler(&self, tokens: i64, sequences: i64) -> Vec<i64> {
        let count = (self.sequences - sequences).max(0);
        let mut missing = (self.tokens - tokens - count).max(0);
        (0..count)
            .map(|_| {
                let more = missing.min(self.max_len - 1);
                missing -= more;
                1 + more
            })
            .collect()
    }
}

fn round_up(value: i64, multiple: i64) -> i64 {
    (value + multiple - 1) / multiple * multiple
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_filled_batch_has_the_buckets_sizes(
            lengths in prop::collection::vec(1i64..=300, 1..80),
            spare in 0i64..300,
        ) {
            let (tokens, sequences) = (lengths.iter().sum::<i64>(), lengths.len() as i64);
            let longest = lengths.iter().copied().max().unwrap_or(0);
            let bucket = Bucket::holding(tokens, sequences, longest, longest + spare).unwrap();
            let filler = bucket.filler(tokens, sequences);
            prop_assert_eq!(tokens + filler.iter().sum::<i64>(), bucket.tokens);
            prop_assert_eq!(sequences + filler.len() as i64, bucket.sequences);
            prop_assert_eq!((bucket.tokens % 128, bucket.sequences % 8), (0, 0));
            prop_assert!(filler.iter().all(|length| (1..=bucket.max_len).contains(length)));
            prop_assert!(longest <= bucket.max_len && bucket.max_len <= longest + spare);
        }
    }

    #[test]
    fn what_no_graph_takes_has_no_bucket() {
        assert_eq!(Bucket::holding(0, 0, 0, 128), None);
        assert_eq!(Bucket::holding(200, 1, 200, 128), None);
        assert_eq!(Bucket::holding(600, 1, 600, 1024), None);
        // The model's own bound may be the smallest there is.
        assert!(Bucket::holding(3, 3, 1, 1).is_some());
    }
}
