//! Which parameters are trained.
//!
//! `Layers` is the rule of the released code (docs/method.md): all `embeddings.*` and the
//! layers `first..=last` are frozen, except for names that contain one of four fragments. The
//! attention generator is called `cond_block_diag_attn.gb_weights` there and matches none of them,
//! so it stays frozen at its start; the method switch `attention_generators_in_frozen_layers`
//! decides whether that slip is kept.
//!
//! ```
//! use camtl_model::{Freeze, FrozenAttentionGenerators};
//!
//! let freeze: Freeze = "0-4".parse().unwrap();
//! let slip = FrozenAttentionGenerators::Frozen;
//! assert!(freeze.freezes("bert.encoder.layer.4.output.dense.bias", slip));
//! assert!(!freeze.freezes("bert.encoder.layer.5.output.dense.bias", slip));
//! assert!(!freeze.freezes("bert.encoder.layer.0.attention.self.random_weight_matrix", slip));
//! ```

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::FrozenAttentionGenerators;
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

/// Names with one of these stay trained inside frozen layers.
const TRAINED_IN_FROZEN_LAYERS: [&str; 4] = [
    "random_weight_matrix",
    "film.gb_weights",
    "ln_weight_modulation.gb_weights",
    "adapter",
];

/// The attention generator's name, which the released list above misses.
const ATTENTION_GENERATOR: &str = "cond_block_diag_attn.gb_weights";

impl Freeze {
    /// Whether the parameter `name` (a released state-dict name) is frozen.
    pub fn freezes(&self, name: &str, attention: FrozenAttentionGenerators) -> bool {
        match self {
            Freeze::None => false,
            Freeze::Layers { first, last } => {
                if name.starts_with("bert.embeddings.") {
                    return true;
                }
                let Some(layer) = layer_of(name) else {
                    return false;
                };
                let excepted = TRAINED_IN_FROZEN_LAYERS
                    .iter()
                    .any(|part| name.contains(part))
                    || (attention == FrozenAttentionGenerators::Trained
                        && name.contains(ATTENTION_GENERATOR));
                (*first..=*last).contains(&layer) && !excepted
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
                                 stands for any text, as in \"bert.encoder.layer.0.*\"{}",
                                crate::error::nearest(pattern, names.clone())
                            ),
                        ));
                    }
                }
                Ok(())
            }
        }
    }
}

/// The number in `bert.encoder.layer.N.`; none for every other name.
pub(crate) fn layer_of(name: &str) -> Option<i64> {
    name.strip_prefix("bert.encoder.layer.")?
        .split('.')
        .next()?
        .parse()
        .ok()
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
    fn adapters_of_the_large_model_are_no_layers() {
        assert_eq!(
            layer_of("bert.encoder.adapter_layer.3.emb_transf.weight"),
            None
        );
        assert_eq!(
            layer_of("bert.encoder.layer.13.output.dense.bias"),
            Some(13)
        );
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
