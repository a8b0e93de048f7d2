//! Which parameters are trained.
//!
//! `Layers` is the rule of the released code (docs/method.md): the embeddings and the layers
//! `first..=last` are frozen, but not the modules in them. The attention generator's name is missing
//! there among the modules', so it stays frozen at its start; the method switch
//! `attention_generators_in_frozen_layers` decides whether that slip is kept. A parameter says itself
//! which layer it is frozen with.
//!
//! ```
//! use camtl_model::{EncoderConfig, Freeze, MethodConfig, Model, ModelConfig, Preset, TaskHead, Variant};
//!
//! let freeze: Freeze = "0-4".parse().unwrap();
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 48, 6, 4, 96, 32),
//!     method: MethodConfig::new(Preset::Released, Variant::Base),
//!     tasks: vec![TaskHead::classification("rte", 2)],
//!     max_length: 16,
//!     freeze,
//! };
//! let model = Model::new(&config, tch::Device::Cpu, 1).unwrap();
//! let trained = |name: &str| model.parameters().entry(name).unwrap().trainable;
//! assert!(!trained("bert.encoder.layer.4.output.dense.bias"));
//! assert!(trained("bert.encoder.layer.5.new_output.dense.bias"));
//! assert!(trained("bert.encoder.layer.0.attention.self.random_weight_matrix"));
//! ```

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// Which parameters stay as they are. In configuration files: `"none"`, a range of layers such as
/// `"0-4"`, or a list of names with `*` for any text, such as
/// `["bert.embeddings.*", "bert.encoder.layer.0.*"]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub enum Freeze {
    /// Everything is trained.
    #[default]
    None,
    /// Embeddings and the layers `first..=last` (0-based) are frozen, modules in them excepted.
    Layers {
        /// First frozen layer.
        first: i64,
        /// Last frozen layer.
        last: i64,
    },
    /// Parameters whose whole name matches one of the patterns (`*` stands for any text) are frozen.
    Patterns(Vec<String>),
}

/// How [`Freeze`] is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Patterns(Vec<String>),
}

impl TryFrom<Form> for Freeze {
    type Error = ModelError;

    fn try_from(form: Form) -> Result<Self, ModelError> {
        match form {
            Form::Text(text) => text.parse(),
            Form::Patterns(patterns) => Ok(Freeze::Patterns(patterns)),
        }
    }
}

impl From<Freeze> for Form {
    fn from(freeze: Freeze) -> Self {
        match freeze {
            Freeze::None => Form::Text("none".into()),
            Freeze::Layers { first, last } => Form::Text(format!("{first}-{last}")),
            Freeze::Patterns(patterns) => Form::Patterns(patterns),
        }
    }
}

impl FromStr for Freeze {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if text == "none" {
            return Ok(Freeze::None);
        }
        let range = text.split_once('-').unwrap_or((text, text));
        let number = |part: &str| {
            part.trim()
                .parse::<i64>()
                .ok()
                .filter(|value| (0..1 << 26).contains(value))
        };
        match (number(range.0), number(range.1)) {
            (Some(first), Some(last)) if first <= last => Ok(Freeze::Layers { first, last }),
            _ => Err(ModelError::config(
                "freeze",
                format!(
                    "`{text}` is not understood; expected \"none\", a range of layers such as \
                     \"0-4\", or a list of parameter names with `*`"
                ),
            )),
        }
    }
}

impl Freeze {
    /// Whether the parameter `name` is frozen, which belongs to the embeddings or is frozen with
    /// `layer`, if any.
    pub(crate) fn freezes(&self, name: &str, embedding: bool, layer: Option<i64>) -> bool {
        match self {
            Freeze::None => false,
            Freeze::Layers { first, last } => {
                embedding || layer.is_some_and(|layer| (*first..=*last).contains(&layer))
            }
            Freeze::Patterns(patterns) => patterns.iter().any(|pattern| matches(pattern, name)),
        }
    }

    /// Checks the rule against a model's parameter names and number of layers.
    ///
    /// # Errors
    /// A layer that does not exist, or a pattern that matches no parameter.
    pub fn check<'a>(
        &self,
        layers: i64,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), ModelError> {
        match self {
            Freeze::None => Ok(()),
            Freeze::Layers { last, .. } if *last >= layers => Err(ModelError::config(
                "freeze",
                format!(
                    "layer {last} does not exist: the encoder has layers 0 to {}",
                    layers - 1
                ),
            )),
            Freeze::Layers { .. } => Ok(()),
            Freeze::Patterns(patterns) => {
                for pattern in patterns {
                    if !names.clone().any(|name| matches(pattern, name)) {
                        return Err(ModelError::config(
                            "freeze",
                            format!(
                                "the pattern `{pattern}` matches no parameter of this model; `*` \
                                 stands for any text, as in \"*.encoder.layer.0.*\"{}",
                                camtl_files::did_you_mean(pattern, names.clone())
                            ),
                        ));
                    }
                }
                Ok(())
            }
        }
    }
}

/// Whether `pattern`, in which `*` stands for any text, matches the whole of `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_text_and_whole_names_only() {
        for (pattern, name, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.b.c", true),
            ("*.weight", "x.weight", true),
            ("*.weight", "x.weights", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("*", "", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn forms_round_trip_and_bad_ones_are_named() {
        for text in ["\"none\"", "\"0-4\"", "[\"a.*\"]"] {
            let freeze: Freeze = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&freeze).unwrap(), text);
        }
        for text in ["\"4-0\"", "\"half\"", "\"-1\"", "\"0-\""] {
            let error = serde_json::from_str::<Freeze>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains("range of layers"), "{text}: {error}");
        }
        assert!(
            Freeze::Layers { first: 0, last: 4 }
                .check(4, std::iter::empty())
                .is_err()
        );
        let error = Freeze::Patterns(vec!["bert.embedings.*".into()])
            .check(4, ["bert.embeddings.x"].into_iter())
            .unwrap_err();
        assert!(error.to_string().contains("matches no parameter"));
    }
}
