//! The encoder's shapes and constants, under Hugging Face's names.

use serde::{Deserialize, Serialize};

/// Family of the encoder: they differ in how positions and segments are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelType {
    /// `BertModel`: positions from 0, segments.
    #[default]
    Bert,
    /// `RobertaModel`: positions start at `pad_token_id + 1`, one segment.
    Roberta,
    /// Only in tests.
    #[cfg(test)]
    Toy,
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

    /// Width of one attention head.
    pub fn head_size(&self) -> i64 {
        self.hidden_size / self.num_attention_heads
    }

    /// First layer of the upper half (0-based): half of the layers, rounded down, lie below it.
    pub fn upper_half(&self) -> i64 {
        self.num_hidden_layers / 2
    }
}
