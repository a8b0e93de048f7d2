//! Loading a tokenizer from a Hugging Face folder or a vocabulary.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer};

use super::{PairLayout, SpecialTokens, TextTokenizer, TokenizerError};

const BERT: [&str; 5] = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"];
const ROBERTA: [&str; 5] = ["<s>", "</s>", "<pad>", "<unk>", "<mask>"];

/// The switches of BERT's text normalisation that `tokenizer_config.json` may hold.
#[derive(Clone, Copy, Default)]
struct NormalizerSettings {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

impl TextTokenizer {
    /// Loads `tokenizer.json`, or else `vocab.txt` (BERT word pieces), from the folder of a Hugging Face encoder.
    ///
    /// `do_lower_case`, `strip_accents` and `tokenize_chinese_chars` of `tokenizer_config.json` win over what
    /// `tokenizer.json` says, as in Hugging Face's own loading. With `vocab.txt` and no word about case, text is
    /// lowercased (their default).
    ///
    /// # Errors
    /// When the files are absent or damaged, or the vocabulary lacks a special token.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let dir = dir.as_ref();
        let settings = NormalizerSettings::read(&dir.join("tokenizer_config.json"))?;
        let json = dir.join("tokenizer.json");
        if let Some(bytes) = read_if_there(&json)? {
            let problem = |reason: String| TokenizerError::Json {
                path: json.clone(),
                reason,
            };
            let mut document: Value = serde_json::from_slice(strip_bom(&bytes))
                .map_err(|error| problem(error.to_string()))?;
            settings.apply(&mut document);
            let tokenizer: Tokenizer = document
                .to_string()
                .parse()
                .map_err(|error: tokenizers::Error| problem(error.to_string()))?;
            return Self::build(tokenizer, &json.display().to_string());
        }
        let vocab = dir.join("vocab.txt");
        if let Some(bytes) = read_if_there(&vocab)? {
            let origin = vocab.display().to_string();
            let text = utf8(&bytes, &origin)?;
            return Self::from_word_pieces(text, settings, &origin);
        }
        Err(TokenizerError::NoTokenizer {
            dir: dir.to_owned(),
        })
    }

    /// BERT's word pieces over a vocabulary with one token per line; its line number is a token's id.
    ///
    /// # Errors
    /// When a token is empty or named twice, or a special token is missing.
    pub fn from_vocab(text: &str, lowercase: bool) -> Result<Self, TokenizerError> {
        let settings = NormalizerSettings {
            do_lower_case: Some(lowercase),
            ..NormalizerSettings::default()
        };
        Self::from_word_pieces(text, settings, "vocabulary")
    }

    fn from_word_pieces(
        text: &str,
        settings: NormalizerSettings,
        origin: &str,
    ) -> Result<Self, TokenizerError> {
        let vocab = parse_vocab(text, origin)?;
        // By way of the serialised form: the builder takes the map type of a crate that is not ours to name.
        let model = json!({
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        });
        let model: WordPiece = serde_json::from_str(&model.to_string()).map_err(|error| {
            TokenizerError::Vocabulary {
                origin: origin.to_owned(),
                line: 1,
                problem: error.to_string(),
            }
        })?;
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_normalizer(Some(BertNormalizer::new(
            true,
            settings.tokenize_chinese_chars.unwrap_or(true),
            settings.strip_accents,
            settings.do_lower_case.unwrap_or(true),
        )));
        tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
        // Only those the vocabulary has: adding an unknown one would give it a new id behind the last.
        let present: Vec<AddedToken> = BERT
            .iter()
            .filter(|token| tokenizer.token_to_id(token).is_some())
            .map(|token| AddedToken::from(*token, true))
            .collect();
        tokenizer.add_special_tokens(&present);
        Self::build(tokenizer, origin)
    }

    fn build(mut inner: Tokenizer, origin: &str) -> Result<Self, TokenizerError> {
        let failed = |error: tokenizers::Error| TokenizerError::Vocabulary {
            origin: origin.to_owned(),
            line: 1,
            problem: error.to_string(),
        };
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        inner.with_post_processor(None::<PostProcessorWrapper>);
        inner.set_encode_special_tokens(false);

        let (layout, special) = special_tokens(&inner, origin)?;
        let vocab_size = inner.get_vocab_size(true);
        let serialised = inner.to_string(false).map_err(failed)?;
        let mut hash = Sha256::new();
        hash.update(format!("camtl tokenizer 1 {layout:?} {special:?}\n"));
        hash.update(serialised);
        let fingerprint = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self {
            inner: inner.into(),
            special,
            layout,
            vocab_size,
            fingerprint,
        })
    }
}

fn special_tokens(
    tokenizer: &Tokenizer,
    origin: &str,
) -> Result<(PairLayout, SpecialTokens), TokenizerError> {
    let look_up = |names: [&str; 5]| names.map(|name| tokenizer.token_to_id(name));
    for (layout, names) in [(PairLayout::Bert, BERT), (PairLayout::Roberta, ROBERTA)] {
        if let [Some(cls), Some(sep), Some(pad), Some(unk), Some(mask)] = look_up(names) {
            return Ok((
                layout,
                SpecialTokens {
                    cls,
                    sep,
                    pad,
                    unk,
                    mask,
                },
            ));
        }
    }
    // Name what is missing from the family that the vocabulary comes nearer to.
    let present = |names: [&str; 5]| look_up(names).iter().flatten().count();
    let names = if present(ROBERTA) > present(BERT) {
        ROBERTA
    } else {
        BERT
    };
    let tokens = names
        .iter()
        .filter(|name| tokenizer.token_to_id(name).is_none())
        .map(|name| (*name).to_owned())
        .collect();
    Err(TokenizerError::MissingSpecialTokens {
        origin: origin.to_owned(),
        tokens,
    })
}

fn parse_vocab(text: &str, origin: &str) -> Result<BTreeMap<String, u32>, TokenizerError> {
    let problem = |line: usize, problem: String| TokenizerError::Vocabulary {
        origin: origin.to_owned(),
        line,
        problem,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() {
        return Err(problem(
            1,
            "the vocabulary is empty; expected one token per line".to_owned(),
        ));
    }
    let mut vocab = BTreeMap::new();
    for (index, line) in text.split('\n').enumerate() {
        let token = line.strip_suffix('\r').unwrap_or(line);
        if token.is_empty() {
            return Err(problem(
                index + 1,
                "blank line; expected one token per line (its number is the token's id)".to_owned(),
            ));
        }
        let id = u32::try_from(index)
            .map_err(|_| problem(index + 1, "more tokens than ids of 32 bits".to_owned()))?;
        if let Some(first) = vocab.insert(token.to_owned(), id) {
            return Err(problem(
                index + 1,
                format!("token `{token}` stands already in line {}", first + 1),
            ));
        }
    }
    Ok(vocab)
}

impl NormalizerSettings {
    fn read(path: &Path) -> Result<Self, TokenizerError> {
        let Some(bytes) = read_if_there(path)? else {
            return Ok(Self::default());
        };
        let document: Value =
            serde_json::from_slice(strip_bom(&bytes)).map_err(|error| TokenizerError::Json {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
        let switch = |key: &str| match document.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(TokenizerError::Json {
                path: path.to_owned(),
                reason: format!("`{key}` is {other}; expected true or false"),
            }),
        };
        Ok(Self {
            do_lower_case: switch("do_lower_case")?,
            strip_accents: switch("strip_accents")?,
            tokenize_chinese_chars: switch("tokenize_chinese_chars")?,
        })
    }

    /// Writes what is said into the BERT normaliser of a `tokenizer.json`; other normalisers have no such switches.
    fn apply(self, document: &mut Value) {
        let Some(normalizer) = document
            .get_mut("normalizer")
            .and_then(Value::as_object_mut)
        else {
            return;
        };
        if normalizer.get("type").and_then(Value::as_str) != Some("BertNormalizer") {
            return;
        }
        let switches = [
            ("lowercase", self.do_lower_case),
            ("strip_accents", self.strip_accents),
            ("handle_chinese_chars", self.tokenize_chinese_chars),
        ];
        for (key, value) in switches {
            if let Some(value) = value {
                normalizer.insert(key.to_owned(), Value::Bool(value));
            }
        }
    }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TokenizerError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn strip_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn utf8<'a>(bytes: &'a [u8], origin: &str) -> Result<&'a str, TokenizerError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        TokenizerError::Vocabulary {
            origin: origin.to_owned(),
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            problem: "not UTF-8; convert the file to UTF-8".to_owned(),
        }
    })
}
