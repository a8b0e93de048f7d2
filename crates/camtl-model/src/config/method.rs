//! The method's switches: where the authors' code and the paper differ, both can be chosen.
//!
//! A [`MethodConfig`] starts from a [`Preset`] and every switch can be set alone. `released` is the
//! authors' code, `paper` the published equations, `recommended` what this project advises.
//!
//! | switch | `released` | `paper` | `recommended` |
//! |---|---|---|---|
//! | `generator_init` | normal | normal | zero |
//! | `attention_modulation` | per-column | per-element | per-column |
//! | `attention_layers` | all | upper | all (provisional) |
//! | `layer_norm` | weight | weight-and-bias | weight-and-bias (provisional) |
//! | `base_top_layer` | scratch | scratch | pretrained |
//! | `bottleneck_residual` | released | released | layer-output (provisional) |
//! | `attention_generators_in_frozen_layers` | frozen | trained | trained |
//! | `task_vector_init` | small | small | unit |
//! | `head_bias_init` | zero | zero | label-prior |
//!
//! *Provisional* values wait for the ablation on real tasks.
//!
//! ```
//! use camtl_model::{GeneratorInit, MethodConfig, Preset, Variant};
//!
//! let mut method = MethodConfig::new(Preset::Released, Variant::Base);
//! assert_eq!(method.generator_init, GeneratorInit::Normal);
//! method.generator_init = GeneratorInit::Zero; // one switch alone
//! let text = serde_json::to_string(&method).unwrap();
//! assert_eq!(serde_json::from_str::<MethodConfig>(&text).unwrap(), method);
//!
//! let short = r#"{"preset": "paper", "variant": "large", "conditional_attention": false}"#;
//! let method: MethodConfig = serde_json::from_str(short).unwrap();
//! assert!(!method.conditional_attention && method.conditional_layer_norm);
//! ```

use serde::{Deserialize, Serialize};

use crate::config::EncoderConfig;
use crate::error::ModelError;

macro_rules! switch {
    ($(#[$docs:meta])* $name:ident { $($(#[$variant_docs:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_docs])* $variant),+ }
    };
}

switch! {
    /// Where the switches start.
    Preset {
        /// The authors' code: parity with their numbers.
        Released,
        /// The published equations.
        Paper,
        /// What this project advises.
        Recommended,
    }
}

switch! {
    /// The shape of the conditional model.
    Variant {
        /// CA-MTL base: a bottleneck on the top layer only (docs/method.md).
        Base,
        /// CA-MTL large: a bottleneck beside every layer, joined by a running skip path.
        Large,
        /// A plain encoder with one head per task.
        None,
    }
}

switch! {
    /// How the generators (linear maps from the task vector to gain and offset) start.
    GeneratorInit {
        /// Weights from N(0, `initializer_range`), biases zero: near identity.
        Normal,
        /// All zero: every modulation is exactly the identity at step 0.
        Zero,
    }
}

switch! {
    /// What the attention generator modulates in the L×w matrix A (docs/method.md).
    AttentionModulation {
        /// One gain and one offset per column, shared by rows and blocks.
        PerColumn,
        /// One gain and one offset per element of a w×w block, shared by blocks.
        PerElement,
    }
}

switch! {
    /// Which layers have conditional attention.
    AttentionLayers {
        /// Every layer.
        All,
        /// The upper half.
        Upper,
    }
}

switch! {
    /// What the conditional layer norm modulates (docs/method.md).
    LayerNormModulation {
        /// `weight = (1+γ)·w + β`, bias untouched.
        Weight,
        /// `weight = (1+γ)·w`, `bias = b + β`.
        WeightAndBias,
    }
}

switch! {
    /// Where the top layer of CA-MTL base starts when it carries the bottleneck.
    BaseTopLayer {
        /// From scratch, under the names `new_attention`, `new_intermediate`, `new_output`.
        Scratch,
        /// From the pretrained encoder, under its own names.
        Pretrained,
    }
}

switch! {
    /// What the bottleneck's output is added to.
    BottleneckResidual {
        /// Base: `norm(bottleneck(h) + attention_output)` with a new conditional layer norm;
        /// large: the skip path alone is the encoder's output.
        Released,
        /// `h + bottleneck(h)` (large: `h + s`), without a new norm. With `generator_init = "zero"`
        /// the up-projection starts at zero, so that step 0 is exactly the pretrained network.
        LayerOutput,
    }
}

switch! {
    /// Whether attention generators inside frozen layers are trained (docs/method.md).
    FrozenAttentionGenerators {
        /// Frozen at their start, as the released code does through a name mismatch.
        Frozen,
        /// Trained like the other modules.
        Trained,
    }
}

switch! {
    /// How task vectors start.
    TaskVectorInit {
        /// Rows and the linear maps behind them from N(0, `initializer_range`), as in the released
        /// code. With 384 dimensions z' = W z + b has then a norm of about 0.15, and the shared bias
        /// soon outweighs what tells tasks apart.
        Small,
        /// Rows from N(0, 1/D), of norm 1 and nearly orthogonal, and the maps behind them the
        /// identity: a generator moves one task's modulation without moving the others'.
        Unit,
    }
}

switch! {
    /// How the biases of the heads start.
    HeadBiasInit {
        /// At zero.
        Zero,
        /// At what answers best without reading the text: a regression's mean label, the logarithms
        /// of a classification's label frequencies. A regression whose bias starts at zero moves its
        /// mean answer through the pooler that all tasks share (docs/method.md).
        LabelPrior,
    }
}

macro_rules! method {
    ($($(#[$docs:meta])+ $field:ident: $type:ty,)+) => {
        /// All switches of the method that concern the model. Written out, it names every switch; read,
        /// a missing one takes the value of `preset` (default `recommended`).
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "MethodOptions")]
        pub struct MethodConfig {
            $($(#[$docs])+ pub $field: $type,)+
            /// First layer (0-based) of the upper half; none for `num_hidden_layers / 2`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub upper_half_from: Option<i64>,
        }

        /// The switches as a user writes them: each may be left to the preset, the preset to
        /// `recommended`, the variant to `base`.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct MethodOptions {
            $($(#[$docs])+ pub $field: Option<$type>,)+
            /// First layer (0-based) of the upper half.
            pub upper_half_from: Option<i64>,
        }

        impl From<MethodOptions> for MethodConfig {
            fn from(options: MethodOptions) -> Self {
                let base = MethodConfig::new(
                    options.preset.unwrap_or(Preset::Recommended),
                    options.variant.unwrap_or(Variant::Base),
                );
                MethodConfig {
                    $($field: options.$field.unwrap_or(base.$field),)+
                    upper_half_from: options.upper_half_from,
                }
            }
        }
    };
}

method! {
    /// The preset that the switches started from.
    preset: Preset,
    /// Base, large or none.
    variant: Variant,
    /// FiLM on the embeddings (docs/method.md).
    conditional_alignment: bool,
    /// Task-dependent block-diagonal bias on the attention scores (section 2.2).
    conditional_attention: bool,
    /// Task-dependent layer norms in the upper half (section 2.3).
    conditional_layer_norm: bool,
    /// Task-dependent bottleneck adapters (section 2.4).
    conditional_bottleneck: bool,
    /// How generators start.
    generator_init: GeneratorInit,
    /// What the attention generator modulates.
    attention_modulation: AttentionModulation,
    /// Which layers have conditional attention.
    attention_layers: AttentionLayers,
    /// What the conditional layer norm modulates.
    layer_norm: LayerNormModulation,
    /// Where the top layer of CA-MTL base starts.
    base_top_layer: BaseTopLayer,
    /// What the bottleneck's output is added to.
    bottleneck_residual: BottleneckResidual,
    /// Attention generators inside frozen layers.
    attention_generators_in_frozen_layers: FrozenAttentionGenerators,
    /// How task vectors start.
    task_vector_init: TaskVectorInit,
    /// How the biases of the heads start; the trainer, which has the labels, sees to it.
    head_bias_init: HeadBiasInit,
}

impl MethodConfig {
    /// All switches of `preset` for `variant`, every module on (`none`: every module off).
    pub fn new(preset: Preset, variant: Variant) -> Self {
        let on = variant != Variant::None;
        let released = MethodConfig {
            preset,
            variant,
            conditional_alignment: on,
            conditional_attention: on,
            conditional_layer_norm: on,
            conditional_bottleneck: on,
            generator_init: GeneratorInit::Normal,
            attention_modulation: AttentionModulation::PerColumn,
            attention_layers: AttentionLayers::All,
            layer_norm: LayerNormModulation::Weight,
            base_top_layer: BaseTopLayer::Scratch,
            bottleneck_residual: BottleneckResidual::Released,
            attention_generators_in_frozen_layers: FrozenAttentionGenerators::Frozen,
            task_vector_init: TaskVectorInit::Small,
            head_bias_init: HeadBiasInit::Zero,
            upper_half_from: None,
        };
        match preset {
            Preset::Released => released,
            Preset::Paper => MethodConfig {
                attention_modulation: AttentionModulation::PerElement,
                attention_layers: AttentionLayers::Upper,
                layer_norm: LayerNormModulation::WeightAndBias,
                attention_generators_in_frozen_layers: FrozenAttentionGenerators::Trained,
                ..released
            },
            Preset::Recommended => MethodConfig {
                generator_init: GeneratorInit::Zero,
                layer_norm: LayerNormModulation::WeightAndBias,
                base_top_layer: BaseTopLayer::Pretrained,
                bottleneck_residual: BottleneckResidual::LayerOutput,
                attention_generators_in_frozen_layers: FrozenAttentionGenerators::Trained,
                task_vector_init: TaskVectorInit::Unit,
                head_bias_init: HeadBiasInit::LabelPrior,
                ..released
            },
        }
    }

    /// A plain encoder with one head per task: the multi-task and single-task baseline.
    pub fn plain() -> Self {
        MethodConfig::new(Preset::Recommended, Variant::None)
    }

    /// Whether any module reads the task vector.
    pub fn is_conditional(&self) -> bool {
        self.conditional_alignment || self.reads_transformed_task()
    }

    /// Whether any module reads the transformed task vector z'.
    pub(crate) fn reads_transformed_task(&self) -> bool {
        self.conditional_attention || self.conditional_layer_norm || self.conditional_bottleneck
    }

    /// First layer of the upper half.
    pub(crate) fn upper_half(&self, encoder: &EncoderConfig) -> i64 {
        self.upper_half_from.unwrap_or_else(|| encoder.upper_half())
    }

    /// Whether `layer` carries the bottleneck of CA-MTL base.
    pub(crate) fn has_base_bottleneck(&self, encoder: &EncoderConfig, layer: i64) -> bool {
        self.conditional_bottleneck
            && self.variant == Variant::Base
            && layer == encoder.num_hidden_layers - 1
    }

    /// Whether a bottleneck runs beside every layer.
    pub(crate) fn has_skip_path(&self) -> bool {
        self.conditional_bottleneck && self.variant == Variant::Large
    }

    /// Checks the switches against the encoder and the longest sequence L.
    ///
    /// # Errors
    /// `variant = "none"` with a module on; a length that does not divide the width (conditional
    /// attention needs N = D/L blocks), naming the lengths that do; an upper half beyond the layers.
    pub fn check(&self, encoder: &EncoderConfig, max_length: usize) -> Result<(), ModelError> {
        if self.variant == Variant::None && self.is_conditional() {
            return Err(ModelError::config(
                "variant",
                "\"none\" is the plain encoder, but a conditional module is switched on; set the \
                 conditional_* switches to false or choose variant \"base\" or \"large\"",
            ));
        }
        if let Some(from) = self.upper_half_from
            && !(0..=encoder.num_hidden_layers).contains(&from)
        {
            return Err(ModelError::config(
                "upper_half_from",
                format!(
                    "{from} is outside 0 to {}, the encoder's number of layers",
                    encoder.num_hidden_layers
                ),
            ));
        }
        let longest = encoder.max_sequence_length();
        let length = i64::try_from(max_length).unwrap_or(i64::MAX);
        if length < 1 || length > longest {
            return Err(ModelError::config(
                "max_length",
                format!("{max_length} is outside 1 to {longest}, the encoder's positions"),
            ));
        }
        if self.conditional_attention && encoder.hidden_size % length != 0 {
            let fitting: Vec<String> = (8..=longest)
                .filter(|candidate| encoder.hidden_size % candidate == 0)
                .map(|candidate| candidate.to_string())
                .collect();
            return Err(ModelError::config(
                "max_length",
                format!(
                    "conditional attention needs a max_length that divides the hidden size {}, and \
                     {max_length} does not; lengths that fit: {}",
                    encoder.hidden_size,
                    fitting.join(", ")
                ),
            ));
        }
        Ok(())
    }
}

/// Width w = ⌈L/N⌉ of the attention blocks, with N = D/L (docs/method.md).
pub(crate) fn block_width(encoder: &EncoderConfig, max_length: usize) -> i64 {
    let length = max_length as i64;
    let blocks = (encoder.hidden_size / length).max(1);
    (length + blocks - 1) / blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_widths_of_the_paper() {
        let base = EncoderConfig::bert_base_cased();
        let large = EncoderConfig::bert_large_cased();
        assert_eq!(block_width(&base, 128), 22);
        assert_eq!(block_width(&base, 256), 86);
        assert_eq!(block_width(&large, 128), 16);
        assert_eq!(block_width(&large, 256), 64);
    }

    #[test]
    fn lengths_that_do_not_fit_name_those_that_do() {
        let method = MethodConfig::new(Preset::Released, Variant::Base);
        let base = EncoderConfig::bert_base_cased();
        for length in [128, 192, 256, 384] {
            method.check(&base, length).unwrap();
        }
        let error = method.check(&base, 512).unwrap_err().to_string();
        assert!(error.contains("128, 192, 256, 384"), "{error}");
        let large = EncoderConfig::bert_large_cased();
        assert!(method.check(&large, 512).is_ok() && method.check(&large, 192).is_err());
        assert!(
            method
                .check(&base, 1024)
                .unwrap_err()
                .to_string()
                .contains("1 to 512")
        );
        assert!(MethodConfig::plain().check(&base, 100).is_ok());
    }

    #[test]
    fn unknown_switches_are_refused() {
        let error = serde_json::from_str::<MethodConfig>(r#"{"attention_layer": "all"}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("attention_layers"), "{error}");
        let none = MethodConfig {
            variant: Variant::None,
            ..MethodConfig::new(Preset::Paper, Variant::Base)
        };
        assert!(none.check(&EncoderConfig::bert_base_cased(), 128).is_err());
    }
}
