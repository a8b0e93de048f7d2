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

use super::architecture;
use crate::config::{EncoderConfig, ModelType};
use crate::error::ModelError;

/// Fields that must be false because nothing else is implemented.
const NOT_IMPLEMENTED: [&str; 3] = ["is_decoder", "add_cross_attention", "is_encoder_decoder"];

impl EncoderConfig {
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
        let model_type = match object.get("model_type") {
            None => ModelType::default(),
            Some(name) => serde_json::from_value(name.clone()).map_err(|_| {
                fail(format!(
                    "model_type is `{}`; this crate computes `bert` and `roberta` encoders. \
                     Choose an encoder of one of these families",
                    name.as_str().unwrap_or("no text")
                ))
            })?,
        };
        for (field, value) in architecture(model_type).defaults() {
            object
                .entry(*field)
                .or_insert_with(|| serde_json::Value::from(*value));
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

    /// What is added to a 0-based position before its embedding is read.
    pub fn position_offset(&self) -> i64 {
        architecture(self.model_type).position_offset(self)
    }

    /// Longest sequence that has position embeddings.
    pub fn max_sequence_length(&self) -> i64 {
        self.max_position_embeddings - self.position_offset()
    }
}
