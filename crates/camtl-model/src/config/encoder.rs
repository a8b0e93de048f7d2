//! The encoder's configuration: Hugging Face's `config.json` of a `BertModel` or `RobertaModel`.
//!
//! Only fields that change the numbers are read, and those are read strictly: a value that this
//! crate would compute differently is an error, never ignored.
//!
//! ```
//! use camtl_model::EncoderConfig;
//!
//! let text = r#"{"model_type": "bert", "vocab_size": 100, "hidden_size": 32,
//!   "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
//!   "max_position_embeddings": 64, "type_vocab_size": 2, "layer_norm_eps": 1e-12}"#;
//! let config = EncoderConfig::from_json(text, "config.json").unwrap();
//! assert_eq!(config.head_size(), 8);
//!
//! let error = EncoderConfig::from_json(&text.replace(": 4,", ": 5,"), "config.json").unwrap_err();
//! assert!(error.to_string().contains("not a multiple of num_attention_heads"));
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// Family of the encoder: they differ in how positions and segments are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelType {
    /// `BertModel`: positions from 0, segments.
    #[default]
    Bert,
    /// `RobertaModel`: positions start at `pad_token_id + 1`, one segment.
    Roberta,
}

/// Activation between the two dense layers of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Activation {
    /// `x Φ(x)` with the exact error function.
    #[default]
    #[serde(rename = "gelu")]
    Gelu,
    /// The tanh approximation of GELU.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
}

/// Shapes and constants of a BERT-style encoder, under Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderConfig {
    /// Family: `bert` or `roberta`.
    #[serde(default)]
    pub model_type: ModelType,
    /// Rows of the word embedding.
    pub vocab_size: i64,
    /// Width D of the hidden states.
    pub hidden_size: i64,
    /// Number of Transformer layers.
    pub num_hidden_layers: i64,
    /// Attention heads per layer; divides `hidden_size`.
    pub num_attention_heads: i64,
    /// Width of the feed-forward block.
    pub intermediate_size: i64,
    /// Activation of the feed-forward block.
    #[serde(default)]
    pub hidden_act: Activation,
    /// Dropout after embeddings, dense layers and before the heads.
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f64,
    /// Dropout on the attention probabilities.
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f64,
    /// Rows of the position embedding.
    pub max_position_embeddings: i64,
    /// Rows of the segment embedding.
    #[serde(default = "two")]
    pub type_vocab_size: i64,
    /// Epsilon of every layer norm.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Standard deviation of new weights.
    #[serde(default = "initializer_range")]
    pub initializer_range: f64,
    /// Id of the padding token; moves RoBERTa's positions.
    #[serde(default)]
    pub pad_token_id: i64,
}

fn tenth() -> f64 {
    0.1
}

fn two() -> i64 {
    2
}

fn layer_norm_eps() -> f64 {
    1e-12
}

fn initializer_range() -> f64 {
    0.02
}

/// Fields that must be false because nothing else is implemented.
const NOT_IMPLEMENTED: [&str; 3] = ["is_decoder", "add_cross_attention", "is_encoder_decoder"];

impl EncoderConfig {
    /// Shapes of `bert-base-cased`.
    pub fn bert_base_cased() -> Self {
        EncoderConfig::bert(28_996, 768, 12, 12, 3_072, 512)
    }

    /// Shapes of `bert-large-cased`.
    pub fn bert_large_cased() -> Self {
        EncoderConfig::bert(28_996, 1_024, 24, 16, 4_096, 512)
    }

    /// A `BertModel` of the given shapes with the usual constants (two segments, exact GELU,
    /// dropout 0.1, epsilon 1e-12).
    pub fn bert(
        vocab_size: i64,
        hidden_size: i64,
        num_hidden_layers: i64,
        num_attention_heads: i64,
        intermediate_size: i64,
        max_position_embeddings: i64,
    ) -> Self {
        EncoderConfig {
            model_type: ModelType::Bert,
            vocab_size,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            initializer_range: 0.02,
            pad_token_id: 0,
        }
    }

    /// Reads `config.json` of a Hugging Face folder.
    ///
    /// # Errors
    /// The file is missing or unreadable, is not JSON, lacks a field, or asks for something that
    /// would be computed differently here.
    pub fn from_dir(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ModelError::io("read the encoder configuration", &path, source))?;
        EncoderConfig::from_json(&text, &path.display().to_string())
    }

    /// Parses the text of a `config.json`; `origin` is named in errors.
    ///
    /// # Errors
    /// As [`EncoderConfig::from_dir`].
    pub fn from_json(text: &str, origin: &str) -> Result<Self, ModelError> {
        let fail = |problem: String| ModelError::Encoder {
            origin: origin.to_string(),
            problem,
        };
        let mut value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| fail(format!("not JSON: {error}")))?;
        let Some(object) = value.as_object_mut() else {
            return Err(fail("expected a JSON object at the top level".into()));
        };
        // Some writers spell "not set" as null.
        object.retain(|_, field| !field.is_null());
        match object.get("model_type").and_then(|value| value.as_str()) {
            Some("bert" | "roberta") | None => {}
            Some(other) => {
                return Err(fail(format!(
                    "model_type is `{other}`; this crate computes `bert` and `roberta` encoders. \
                     Choose an encoder of one of these families"
                )));
            }
        }
        let unusual = |field: &str, found: &serde_json::Value, expected: &str| {
            Err(fail(format!(
                "{field} is {found}, but only {expected} is implemented; choose another encoder"
            )))
        };
        match object.get("position_embedding_type") {
            Some(found) if found != "absolute" => {
                return unusual("position_embedding_type", found, "\"absolute\"");
            }
            _ => {}
        }
        for field in NOT_IMPLEMENTED {
            match object.get(field) {
                Some(found) if found != &serde_json::Value::Bool(false) => {
                    return unusual(field, found, "false");
                }
                _ => {}
            }
        }
        let config: EncoderConfig =
            serde_json::from_value(value).map_err(|error| fail(error.to_string()))?;
        config.check(origin)?;
        Ok(config)
    }

    /// Checks that the numbers fit together; `origin` is named in errors.
    ///
    /// # Errors
    /// A size that is not positive or absurdly large, heads that do not divide the width, a
    /// probability outside [0, 1).
    pub fn check(&self, origin: &str) -> Result<(), ModelError> {
        let fail = |problem: String| {
            Err(ModelError::Encoder {
                origin: origin.to_string(),
                problem,
            })
        };
        // Far above any real encoder, and small enough that every product of two fits in i64.
        const LIMIT: i64 = 1 << 26;
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            if !(1..=LIMIT).contains(&value) {
                return fail(format!("{field} is {value}; expected 1 to {LIMIT}"));
            }
        }
        if self.hidden_size % self.num_attention_heads != 0 {
            return fail(format!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        for (field, value) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            (
                "attention_probs_dropout_prob",
                self.attention_probs_dropout_prob,
            ),
        ] {
            if !(0.0..1.0).contains(&value) {
                return fail(format!("{field} is {value}; expected a number in [0, 1)"));
            }
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return fail(format!(
                "layer_norm_eps is {}; expected a small positive number such as 1e-12",
                self.layer_norm_eps
            ));
        }
        if !(self.initializer_range >= 0.0 && self.initializer_range.is_finite()) {
            return fail(format!("initializer_range is {}", self.initializer_range));
        }
        if self.pad_token_id < 0 || self.pad_token_id >= self.vocab_size {
            return fail(format!(
                "pad_token_id is {}, outside the vocabulary of {}",
                self.pad_token_id, self.vocab_size
            ));
        }
        if self.max_sequence_length() < 1 {
            return fail(format!(
                "max_position_embeddings {} leaves no position after pad_token_id {}",
                self.max_position_embeddings, self.pad_token_id
            ));
        }
        Ok(())
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> i64 {
        self.hidden_size / self.num_attention_heads
    }

    /// What is added to a 0-based position before its embedding is read.
    pub fn position_offset(&self) -> i64 {
        match self.model_type {
            ModelType::Bert => 0,
            ModelType::Roberta => self.pad_token_id + 1,
        }
    }

    /// Longest sequence that has position embeddings.
    pub fn max_sequence_length(&self) -> i64 {
        self.max_position_embeddings - self.position_offset()
    }

    /// First layer of the upper half (0-based): half of the layers, rounded down, lie below it.
    pub fn upper_half(&self) -> i64 {
        self.num_hidden_layers / 2
    }
}
