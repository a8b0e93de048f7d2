//! Texts into token ids, as Hugging Face's slow tokenizers lay them out.
//!
//! The word pieces come from the `tokenizers` crate. Special tokens, segments and truncation are ours: settings for
//! truncation and padding inside a `tokenizer.json` are switched off, so that one folder gives one result whatever it
//! was saved with.
//!
//! One difference to *recent* slow tokenizers is known: cased ones of transformers 4 and later compose accents (NFC)
//! before anything else. Those of 2.11, which the method was published with, and all fast ones do not, nor do we.
//!
//! ```
//! use camtl_data::TextTokenizer;
//!
//! let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nrain\nfall\n##ing\n.\n";
//! let tokenizer = TextTokenizer::from_vocab(vocab, true)?;
//! let encoded = tokenizer.encode("Rain falling.", Some("rain"), 16)?;
//!
//! let tokens: Vec<_> = encoded.input_ids.iter().filter_map(|id| tokenizer.token(*id)).collect();
//! assert_eq!(tokens, ["[CLS]", "rain", "fall", "##ing", ".", "[SEP]", "rain", "[SEP]"]);
//! assert_eq!(encoded.token_type_ids, [0, 0, 0, 0, 0, 0, 1, 1]);
//! # Ok::<(), camtl_data::TokenizerError>(())
//! ```

mod load;
mod pieces;
mod truncate;

use std::path::PathBuf;
use std::sync::Arc;

use tokenizers::Tokenizer;

pub use truncate::longest_first;

/// A tokenizer with its special tokens and pair layout.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: Arc<Tokenizer>,
    special: SpecialTokens,
    layout: PairLayout,
    vocab_size: usize,
    fingerprint: String,
}

/// Ids of the tokens with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SpecialTokens {
    cls: u32,
    sep: u32,
    pad: u32,
    unk: u32,
    mask: u32,
}

/// How a text, or a pair of texts, becomes one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PairLayout {
    /// `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`; the second text and its `[SEP]` are segment 1.
    Bert,
    /// `<s> a </s>` and `<s> a </s> </s> b </s>`; a single segment.
    Roberta,
}

impl PairLayout {
    /// Number of special tokens around one text, or around a pair.
    #[must_use]
    pub fn num_special(self, pair: bool) -> usize {
        match (self, pair) {
            (_, false) => 2,
            (Self::Bert, true) => 3,
            (Self::Roberta, true) => 4,
        }
    }
}

/// One encoded text or pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included.
    pub input_ids: Vec<u32>,
    /// Segment of each token: 1 for the second text of a BERT pair, else 0.
    pub token_type_ids: Vec<u8>,
    /// Whether tokens were cut off to keep to the maximum length.
    pub truncated: bool,
    /// What the task's kind adds: see [`EncodedExample::extra`](crate::EncodedExample::extra).
    pub extra: Vec<i32>,
}

/// A tokenizer that cannot be loaded, or a text that it cannot encode.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder has neither of the two files.
    #[error("{} has neither tokenizer.json nor vocab.txt; expected the folder of a Hugging Face encoder", dir.display())]
    NoTokenizer {
        /// The folder.
        dir: PathBuf,
    },
    /// A JSON file that cannot be understood.
    #[error("{}: {reason}", path.display())]
    Json {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A vocabulary with a line that cannot be a token.
    #[error("{origin}:{line}: {problem}")]
    Vocabulary {
        /// The file, or what the text was called.
        origin: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Special tokens that the vocabulary lacks.
    #[error("{origin}: the vocabulary lacks {}; expected [CLS], [SEP], [PAD], [UNK] and [MASK] (BERT) or <s>, </s>, <pad>, <unk> and <mask> (RoBERTa)", tokens.join(", "))]
    MissingSpecialTokens {
        /// The file, or what the text was called.
        origin: String,
        /// The tokens.
        tokens: Vec<String>,
    },
    /// No room for a single token of text.
    #[error("a maximum length of {max_length} leaves no room for text beside {special} special tokens; use at least {}", special + 1)]
    MaxLength {
        /// What was asked for.
        max_length: usize,
        /// Special tokens of a sequence.
        special: usize,
    },
    /// The tokenizer failed on a text.
    #[error("cannot tokenise {what}: {reason}")]
    Encode {
        /// Which text.
        what: String,
        /// The tokenizer's reason.
        reason: String,
    },
}

impl TextTokenizer {
    /// Encodes a text, or a pair of texts, in at most `max_length` tokens, special tokens included.
    ///
    /// A sequence that is too long loses its last tokens, one at a time, from the longer text ([`longest_first`]).
    /// Special tokens spelled out in a text (`[SEP]`) are taken as such, as Hugging Face does.
    ///
    /// # Errors
    /// When `max_length` leaves no room for text, or the tokenizer fails.
    pub fn encode(
        &self,
        text_a: &str,
        text_b: Option<&str>,
        max_length: usize,
    ) -> Result<Encoded, TokenizerError> {
        let room = self.room(max_length, text_b.is_some())?;
        let a = self.pieces(text_a, "the first text")?;
        let b = text_b
            .map(|text| self.pieces(text, "the second text"))
            .transpose()?;
        Ok(self.assemble(&a, b.as_deref(), room))
    }

    /// Tokens of text in a sequence of at most `max_length`.
    pub(crate) fn room(&self, max_length: usize, pair: bool) -> Result<usize, TokenizerError> {
        let special = self.layout.num_special(pair);
        match max_length.checked_sub(special) {
            Some(room) if room > 0 => Ok(room),
            _ => Err(TokenizerError::MaxLength {
                max_length,
                special,
            }),
        }
    }

    pub(crate) fn assemble(&self, a: &[u32], b: Option<&[u32]>, room: usize) -> Encoded {
        let (kept_a, kept_b) = longest_first(a.len(), b.map_or(0, <[u32]>::len), room);
        let truncated = kept_a < a.len() || b.is_some_and(|b| kept_b < b.len());
        let SpecialTokens { cls, sep, .. } = self.special;

        let length = kept_a + kept_b + self.layout.num_special(b.is_some());
        let mut input_ids = Vec::with_capacity(length);
        input_ids.push(cls);
        input_ids.extend_from_slice(&a[..kept_a]);
        input_ids.push(sep);
        let mut token_type_ids = vec![0; input_ids.len()];
        if let Some(b) = b {
            if self.layout == PairLayout::Roberta {
                input_ids.push(sep);
            }
            input_ids.extend_from_slice(&b[..kept_b]);
            input_ids.push(sep);
            token_type_ids.resize(input_ids.len(), u8::from(self.layout == PairLayout::Bert));
        }
        Encoded {
            input_ids,
            token_type_ids,
            truncated,
            extra: Vec::new(),
        }
    }

    /// How texts are laid out.
    #[must_use]
    pub fn layout(&self) -> PairLayout {
        self.layout
    }

    /// SHA-256 (in hex) of everything that decides what a text becomes. It is part of the cache key.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Number of tokens, added ones included. Every id is below it where ids have no gaps.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Id of `[CLS]` or `<s>`, the first token of every sequence.
    #[must_use]
    pub fn cls_id(&self) -> u32 {
        self.special.cls
    }

    /// Id of `[SEP]` or `</s>`, the last token of every text.
    #[must_use]
    pub fn sep_id(&self) -> u32 {
        self.special.sep
    }

    /// Id of `[PAD]` or `<pad>`.
    #[must_use]
    pub fn pad_id(&self) -> u32 {
        self.special.pad
    }

    /// Id of `[UNK]` or `<unk>`.
    #[must_use]
    pub fn unk_id(&self) -> u32 {
        self.special.unk
    }

    /// Id of `[MASK]` or `<mask>`.
    #[must_use]
    pub fn mask_id(&self) -> u32 {
        self.special.mask
    }

    /// The token of an id.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
}
