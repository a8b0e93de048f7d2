//! A random part of a split: how well does a task learn from a tenth, a hundredth of its data?

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::encoded::{EncodedSplit, Tokens};
use crate::random::{Stream, derive_seed};

impl EncodedSplit {
    /// A random `fraction` of the rows, in their order: rounded down, and at least one. Smaller
    /// fractions of the same seed are parts of larger ones. Examples that were made from one row stay
    /// together.
    ///
    /// A fraction of 1 or more is everything; one that is not positive, or no number, is one row.
    ///
    /// ```
    /// use camtl_data::{Example, TextTokenizer};
    ///
    /// let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nrain\n";
    /// let tokenizer = TextTokenizer::from_vocab(vocabulary, true)?;
    /// let rows: Vec<Example> = (0..50)
    ///     .map(|id| Example { id, text_a: "rain".into(), ..Example::default() })
    ///     .collect();
    /// let split = tokenizer.encode_all(&rows, 8)?;
    /// assert_eq!(split.sample(0.1, 12).len(), 5);
    /// assert_eq!(split.sample(0.001, 12).len(), 1);
    /// assert_eq!(split.sample(1.0, 12), split);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sample(&self, fraction: f64, seed: u64) -> Self {
        let rows: BTreeSet<u64> = self.ids.iter().copied().collect();
        // 0.29 of 100 rows is 29 rows, although 100.0 * 0.29 is a little less.
        let count = ((rows.len() as f64 * fraction + 1e-9).floor() as usize).max(1);
        if count >= rows.len() {
            return self.clone();
        }
        let mut order: Vec<u64> = rows.into_iter().collect();
        Stream::new(derive_seed(seed, "sample of a split", 0), "rows").shuffle(&mut order);
        let kept: BTreeSet<u64> = order.into_iter().take(count).collect();
        let places: Vec<usize> = (0..self.len())
            .filter(|&place| kept.contains(&self.ids[place]))
            .collect();
        self.at(&places)
    }

    /// The examples at these places.
    fn at(&self, places: &[usize]) -> Self {
        let mut input_ids = Vec::new();
        let mut token_type_ids = Vec::new();
        let mut extra = Vec::new();
        let mut offsets = vec![0];
        let mut extra_offsets = Vec::new();
        for &place in places {
            let example = self.get(place);
            input_ids.extend_from_slice(example.input_ids);
            token_type_ids.extend_from_slice(example.token_type_ids);
            offsets.push(input_ids.len() as u64);
            if !self.extra_offsets.is_empty() {
                extra_offsets.push(extra.len() as u64);
                extra.extend_from_slice(example.extra);
            }
        }
        if !self.extra_offsets.is_empty() {
            extra_offsets.push(extra.len() as u64);
        }
        let groups = places.iter().filter_map(|&place| self.groups.get(place));
        Self {
            tokens: Tokens::Owned {
                input_ids: Arc::new(input_ids),
                token_type_ids: Arc::new(token_type_ids),
                extra: Arc::new(extra),
            },
            offsets: Arc::new(offsets),
            ids: Arc::new(places.iter().map(|&place| self.ids[place]).collect()),
            labels: Arc::new(places.iter().map(|&place| self.labels[place]).collect()),
            extra_offsets: Arc::new(extra_offsets),
            groups: Arc::new(groups.copied().collect()),
            sequences: self.sequences,
            counts: self.counts,
            source: self.source.clone(),
        }
    }
}
