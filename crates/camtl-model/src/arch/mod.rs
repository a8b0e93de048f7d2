//! Families of encoders: one file each, behind [`Architecture`], and one list, [`architecture`].

mod bert;
mod config;
mod roberta;
#[cfg(test)]
mod toy;

use crate::config::{EncoderConfig, HeadKind, ModelType};
use crate::parameters::build::{Builder, Offer};
use crate::parameters::spec::{LinearId, NormId, ParameterId};

/// The family called `model_type`.
pub(crate) fn architecture(model_type: ModelType) -> &'static dyn Architecture {
    match model_type {
        ModelType::Bert => &bert::Bert,
        ModelType::Roberta => &roberta::Roberta,
        #[cfg(test)]
        ModelType::Toy => &toy::Toy,
    }
}

/// What is particular to a family of encoders.
pub(crate) trait Architecture: Sync {
    /// What Hugging Face's classes of the family begin with, such as `Bert` in `BertModel`.
    fn class(&self) -> &'static str;

    /// What tensors of the encoder begin with inside a model that has a head.
    fn prefix(&self) -> &'static str;

    /// Values of `config.json` that the family's own writers leave out.
    fn defaults(&self) -> &'static [(&'static str, i64)];

    /// What is added to a 0-based position before its embedding is read.
    fn position_offset(&self, encoder: &EncoderConfig) -> i64;

    /// Declares the encoder's parameters in state-dict order, and offers their sites.
    fn declare(&self, list: &mut Builder<'_>, modules: &mut dyn Offer) -> Encoder;

    /// What the name of a tensor in a weight file means.
    fn meaning(&self, name: &str) -> Meaning;

    /// Where Hugging Face's model with a head of this kind has the pooler and the decoder.
    fn head_names(&self, kind: HeadKind) -> HeadNames;
}

/// What a name in a weight file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The parameter of this plain name.
    Parameter(String),
    /// Something a plain encoder does not need, and why.
    Ignorable(&'static str),
}

/// Names of an exported head, whole; none for what the exported model has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadNames {
    /// Its class, behind the family's: `ForSequenceClassification`.
    pub(crate) class: &'static str,
    pub(crate) pooler: Option<&'static str>,
    pub(crate) decoder: Option<&'static str>,
}

/// Where the norms of a layer stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockOrder {
    /// `LN(x + f(x))`.
    PostNorm,
    /// `x + f(LN(x))`, and one more norm behind the last layer.
    #[cfg_attr(not(test), expect(dead_code, reason = "for families to come"))]
    PreNorm,
}

/// Where an encoder's parameters are.
#[derive(Debug)]
pub(crate) struct Encoder {
    pub(crate) order: BlockOrder,
    pub(crate) word: ParameterId,
    pub(crate) position: ParameterId,
    pub(crate) token_type: ParameterId,
    pub(crate) embedding_norm: NormId,
    pub(crate) layers: Vec<Layer>,
    /// Behind the last layer.
    pub(crate) final_norm: Option<NormId>,
    pub(crate) pooler: LinearId,
}

/// Where a layer's parameters are; keys and values, with the queries of all layers but the last, are
/// blocks of their own.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) query: LinearId,
    pub(crate) attention_output: LinearId,
    pub(crate) attention_norm: NormId,
    pub(crate) intermediate: LinearId,
    pub(crate) output: LinearId,
    pub(crate) output_norm: NormId,
}
