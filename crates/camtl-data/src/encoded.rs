//! Token ids of whole splits, held as columns in memory or mapped from the cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::columns::Tokens;
use crate::reader::ReadReport;
use crate::source::Source;
use crate::spec::{Details, Example, Label};
use crate::task::TaskSpec;
use crate::tokenize::{Encoded, TextTokenizer, TokenizerError};

/// One encoded example, borrowed from its split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncodedExample<'a> {
    /// Row number within the split's file, from 0.
    pub id: u64,
    /// Token ids, special tokens included, `[length]`.
    pub input_ids: &'a [u32],
    /// Segment of each token, `[length]`.
    pub token_type_ids: &'a [u8],
    /// The label, where the split has labels.
    pub label: Option<Label>,
    /// What the task's kind adds, in numbers: [`Kind::extra`](crate::kinds::Kind::extra) says what they mean.
    pub extra: &'a [i32],
    /// Sequences in `input_ids`, end to end: 1, or the options of a multiple choice.
    pub sequences: usize,
}

impl<'a> EncodedExample<'a> {
    /// Number of tokens of each sequence.
    pub fn sequence_lengths(&self) -> impl Iterator<Item = usize> + use<'a> {
        let several = self.sequences > 1;
        let lengths = if several { self.extra } else { &[] };
        let whole = (!several).then_some(self.len());
        (lengths.iter().map(|length| *length as usize)).chain(whole)
    }

    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.input_ids.len()
    }

    /// Whether there is no token (never the case for what a tokenizer made).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.input_ids.is_empty()
    }
}

/// A split in token ids. Cloning is cheap: the columns are shared.
///
/// Tokens live in memory or in a mapped cache file; the short columns (offsets, ids, labels, groups) are always in memory,
/// and offsets have been checked against the long columns before the value exists, so [`EncodedSplit::get`] cannot read
/// out of bounds.
#[derive(Clone, Debug)]
pub struct EncodedSplit {
    pub(crate) tokens: Tokens,
    /// `offsets[i]..offsets[i + 1]` are the tokens of example `i`.
    pub(crate) offsets: Arc<Vec<u64>>,
    pub(crate) ids: Arc<Vec<u64>>,
    pub(crate) labels: Arc<Vec<Option<Label>>>,
    /// `extra_offsets[i]..extra_offsets[i + 1]` are the values of example `i`; empty where no example has any.
    pub(crate) extra_offsets: Arc<Vec<u64>>,
    /// The group of each example; empty where there are none.
    pub(crate) groups: Arc<Vec<u64>>,
    /// Sequences of each example.
    pub(crate) sequences: usize,
    pub(crate) counts: SplitCounts,
    /// What it was made of, for metrics and answers in words.
    pub(crate) source: Option<Arc<Source>>,
}

/// What was noticed while a split was read and encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SplitCounts {
    pub(crate) skipped_rows: u64,
    pub(crate) skipped_labels: u64,
    pub(crate) empty_texts: u64,
    pub(crate) truncated: u64,
}

impl EncodedSplit {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no example.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of tokens of all examples.
    #[must_use]
    pub fn num_tokens(&self) -> usize {
        self.tokens.input_ids().len()
    }

    /// Number of examples whose texts were cut to the maximum length.
    #[must_use]
    pub fn num_truncated(&self) -> u64 {
        self.counts.truncated
    }

    /// Number of malformed rows that the task file asked to leave out.
    #[must_use]
    pub fn num_skipped_rows(&self) -> u64 {
        self.counts.skipped_rows
    }

    /// Number of rows left out because their label is one of the task file's `skip_labels`.
    #[must_use]
    pub fn num_skipped_labels(&self) -> u64 {
        self.counts.skipped_labels
    }

    /// Whether the tokens are read from a mapped cache file.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.tokens, Tokens::Mapped(_))
    }

    /// Example `index`, counted from 0 in the order of the file.
    ///
    /// # Panics
    /// When `index` is not below [`EncodedSplit::len`], like a slice.
    #[must_use]
    pub fn get(&self, index: usize) -> EncodedExample<'_> {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        let extra = match self.extra_offsets.get(index..index + 2) {
            Some(ends) => &self.tokens.extra()[ends[0] as usize..ends[1] as usize],
            None => &[],
        };
        EncodedExample {
            id: self.ids[index],
            input_ids: &self.tokens.input_ids()[range.clone()],
            token_type_ids: &self.tokens.token_type_ids()[range],
            label: self.labels[index],
            extra,
            sequences: self.sequences,
        }
    }

    /// All examples in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EncodedExample<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Labels in the order of the file.
    #[must_use]
    pub fn labels(&self) -> &[Option<Label>] {
        &self.labels
    }

    /// The group of each example, where examples are scored in groups: windows of one question, answers to one question
    /// (`MultiRC`), candidates of one query (`ReCoRD`).
    #[must_use]
    pub fn groups(&self) -> Option<&[u64]> {
        (!self.groups.is_empty()).then_some(self.groups.as_slice())
    }

    /// Counts, lengths and label balance, for reports.
    #[must_use]
    pub fn summary(&self) -> SplitSummary {
        let mut lengths: Vec<u64> = self
            .offsets
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        lengths.sort_unstable();
        let percentile = |share: f64| {
            let last = lengths.len().saturating_sub(1) as f64;
            lengths
                .get((last * share).round() as usize)
                .copied()
                .unwrap_or(0)
        };
        let mut label_counts = BTreeMap::new();
        let mut unlabelled = 0;
        for label in self.labels.iter() {
            match label {
                Some(Label::Class(class)) => *label_counts.entry(*class).or_insert(0) += 1,
                Some(Label::Score(_) | Label::Structured) => {}
                None => unlabelled += 1,
            }
        }
        SplitSummary {
            examples: self.len() as u64,
            tokens: self.num_tokens() as u64,
            skipped_rows: self.counts.skipped_rows,
            skipped_labels: self.counts.skipped_labels,
            empty_texts: self.counts.empty_texts,
            truncated: self.counts.truncated,
            median_length: percentile(0.5),
            p95_length: percentile(0.95),
            max_length: percentile(1.0),
            label_counts,
            unlabelled,
        }
    }

    /// Puts the sequences of each row (several for the windows of a question) into columns.
    pub(crate) fn from_encoded(
        examples: &[Example],
        encoded: Vec<Vec<Encoded>>,
        report: &ReadReport,
    ) -> Self {
        let all = || encoded.iter().flatten();
        let count = all().count();
        let tokens = all().map(|one| one.input_ids.len()).sum();
        let extras = all().map(|one| one.extra.len()).sum();
        let mut input_ids = Vec::with_capacity(tokens);
        let mut token_type_ids = Vec::with_capacity(tokens);
        let mut extra: Vec<i32> = Vec::with_capacity(extras);
        let mut offsets = Vec::with_capacity(count + 1);
        offsets.push(0);
        let mut extra_offsets = vec![0];
        let mut ids = Vec::with_capacity(count);
        let mut labels = Vec::with_capacity(count);
        let mut groups = Vec::new();
        let mut truncated = 0;
        for (example, windows) in examples.iter().zip(encoded) {
            for one in windows {
                input_ids.extend_from_slice(&one.input_ids);
                token_type_ids.extend_from_slice(&one.token_type_ids);
                offsets.push(input_ids.len() as u64);
                if extras > 0 {
                    extra.extend_from_slice(&one.extra);
                    extra_offsets.push(extra.len() as u64);
                }
                truncated += u64::from(one.truncated);
                ids.push(example.id);
                labels.push(example.label);
                groups.extend(example.group);
            }
        }
        if extras == 0 {
            extra_offsets.clear();
        }
        let sequences = examples
            .first()
            .map_or(1, |example| match &example.details {
                Details::Options(options) => options.len(),
                _ => 1,
            });
        Self {
            tokens: Tokens::Owned {
                input_ids: Arc::new(input_ids),
                token_type_ids: Arc::new(token_type_ids),
                extra: Arc::new(extra),
            },
            offsets: Arc::new(offsets),
            ids: Arc::new(ids),
            labels: Arc::new(labels),
            extra_offsets: Arc::new(extra_offsets),
            groups: Arc::new(groups),
            sequences,
            counts: SplitCounts {
                skipped_rows: report.skipped_rows,
                skipped_labels: report.skipped_labels,
                empty_texts: report.empty_texts,
                truncated,
            },
            source: None,
        }
    }
}

// Equal contents, wherever they are held.
impl PartialEq for EncodedSplit {
    fn eq(&self, other: &Self) -> bool {
        self.offsets == other.offsets
            && self.ids == other.ids
            && self.labels == other.labels
            && self.extra_offsets == other.extra_offsets
            && self.groups == other.groups
            && self.sequences == other.sequences
            && self.counts == other.counts
            && self.tokens.extra() == other.tokens.extra()
            && self.tokens.input_ids() == other.tokens.input_ids()
            && self.tokens.token_type_ids() == other.tokens.token_type_ids()
    }
}

/// What a split holds, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SplitSummary {
    /// Examples.
    pub examples: u64,
    /// Tokens, special tokens included.
    pub tokens: u64,
    /// Malformed rows left out because the task file says so.
    pub skipped_rows: u64,
    /// Rows left out because their label is one of the task file's `skip_labels`.
    pub skipped_labels: u64,
    /// Texts without a single character.
    pub empty_texts: u64,
    /// Examples cut to the maximum length.
    pub truncated: u64,
    /// Median length in tokens.
    pub median_length: u64,
    /// 95th percentile of the length.
    pub p95_length: u64,
    /// Longest example.
    pub max_length: u64,
    /// Examples per class; empty for regression.
    pub label_counts: BTreeMap<u32, u64>,
    /// Examples without a label.
    pub unlabelled: u64,
}

/// A task with its encoded splits.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskDataset {
    /// The task.
    pub spec: TaskSpec,
    /// Its splits, by name.
    pub splits: BTreeMap<String, EncodedSplit>,
}

impl TaskDataset {
    /// Encodes examples that are already in memory (a synthetic suite, a test).
    ///
    /// # Errors
    /// When the tokenizer fails or `max_length` leaves no room for text.
    pub fn from_examples(
        spec: TaskSpec,
        splits: BTreeMap<String, Vec<Example>>,
        tokenizer: &TextTokenizer,
        max_length: usize,
    ) -> Result<Self, TokenizerError> {
        let splits = splits
            .into_iter()
            .map(|(name, examples)| Ok((name, tokenizer.encode_for(&spec, &examples, max_length)?)))
            .collect::<Result<_, TokenizerError>>()?;
        Ok(Self { spec, splits })
    }

    /// The split of that name.
    #[must_use]
    pub fn split(&self, name: &str) -> Option<&EncodedSplit> {
        self.splits.get(name)
    }

    /// Counts, lengths and label balance of every split.
    #[must_use]
    pub fn summary(&self) -> BTreeMap<String, SplitSummary> {
        self.splits
            .iter()
            .map(|(name, split)| (name.clone(), split.summary()))
            .collect()
    }
}
