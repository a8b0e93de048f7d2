//! Random parts of a split: how well does a task learn from a tenth of its data, and a part that is kept for choosing
//! settings.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::columns::Tokens;
use crate::encoded::EncodedSplit;
use crate::random::{Stream, derive_seed};

/// The split that [`EncodedSplit::hold_out`] makes of a part of a training split.
pub const HOLDOUT: &str = "holdout";

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
        let count = rows_of(fraction, rows.len());
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

    /// The rest and a random part of `fraction` that is held out from it, both in their order: rounded down, with at
    /// least one row on either side. Smaller fractions of the same seed and name are parts of larger ones. Examples that
    /// were made from one row, or are scored together ([`EncodedSplit::groups`]), stay on one side.
    ///
    /// `None` if there is less than two rows or groups to share out.
    ///
    /// ```
    /// use camtl_data::{Example, TextTokenizer};
    ///
    /// let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nrain\n";
    /// let tokenizer = TextTokenizer::from_vocab(vocabulary, true)?;
    /// let rows: Vec<Example> = (0..50)
    ///     .map(|id| Example { id, text_a: "rain".into(), ..Example::default() })
    ///     .collect();
    /// let (rest, held_out) = tokenizer.encode_all(&rows, 8)?.hold_out(0.1, 12, "weather").unwrap();
    /// assert_eq!((rest.len(), held_out.len()), (45, 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn hold_out(&self, fraction: f64, seed: u64, name: &str) -> Option<(Self, Self)> {
        let unit = |place: usize| {
            self.groups()
                .map_or(self.ids[place], |groups| groups[place])
        };
        let units: BTreeSet<u64> = (0..self.len()).map(unit).collect();
        let most = units.len().checked_sub(1).filter(|most| *most > 0)?;
        let mut order: Vec<u64> = units.into_iter().collect();
        Stream::new(seed, &format!("holdout/{name}")).shuffle(&mut order);
        order.truncate(rows_of(fraction, order.len()).min(most));
        let held_out: BTreeSet<u64> = order.into_iter().collect();
        let (out, rest): (Vec<usize>, Vec<usize>) =
            (0..self.len()).partition(|&place| held_out.contains(&unit(place)));
        Some((self.at(&rest), self.at(&out)))
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

/// `fraction` of `rows`, rounded down, at least one.
fn rows_of(fraction: f64, rows: usize) -> usize {
    // 0.29 of 100 rows is 29 rows, although 100.0 * 0.29 is a little less.
    ((rows as f64 * fraction + 1e-9).floor() as usize).max(1)
}
