//! The table of modulations: what every conditional module multiplies and adds, for each task.
//!
//! Modulation depends on the task, not on the example, so one table with T rows serves a whole step
//! (docs/method.md). The task modules fill it; see `modules/`.
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, Preset, TaskHead, Variant};
//! use tch::Device;
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 48, 2, 4, 96, 32),
//!     method: MethodConfig::new(Preset::Released, Variant::Base),
//!     tasks: vec![TaskHead::classification("rte", 2), TaskHead::classification("mnli", 3)],
//!     max_length: 16,
//!     freeze: Default::default(),
//! };
//! let model = Model::new(&config, Device::Cpu, 1).unwrap();
//! let modulation = model.modulation().unwrap();
//! // N = 48/16 = 3 blocks of width ⌈16/3⌉ = 6.
//! assert_eq!(modulation.attention_band(0).unwrap().size(), [2, 16, 6]);
//! // Layer 0 lies in the lower half: its norms are plain.
//! assert!(modulation.attention_norm(0).is_none());
//! ```

use tch::Tensor;

use crate::error::ModelError;
use crate::parameters::build::NormPlace;

/// Gain γ and offset β of a FiLM, [T, D] each, for `(1+γ)⊙x + β`.
#[derive(Debug)]
pub struct Film {
    /// γ, [T, D].
    pub gamma: Tensor,
    /// β, [T, D].
    pub beta: Tensor,
}

/// Weight and bias of a conditional layer norm.
#[derive(Debug)]
pub struct NormRows {
    /// [T, D].
    pub weight: Tensor,
    /// `[T, D]` if modulated, else `[D]`.
    pub bias: Tensor,
}

/// The modulations of one layer; absent where the layer is not conditional.
#[derive(Debug, Default)]
pub(crate) struct LayerModulation {
    pub(crate) band: Option<Tensor>,
    pub(crate) attention_norm: Option<NormRows>,
    pub(crate) output_norm: Option<NormRows>,
    pub(crate) bottleneck: Option<Film>,
    pub(crate) adapter_norm: Option<NormRows>,
}

impl LayerModulation {
    pub(crate) fn norm_rows(&self, place: NormPlace) -> Option<&NormRows> {
        match place {
            NormPlace::Attention => self.attention_norm.as_ref(),
            NormPlace::Output => self.output_norm.as_ref(),
            NormPlace::Adapter => self.adapter_norm.as_ref(),
        }
    }

    pub(crate) fn norm(&mut self, place: NormPlace) -> &mut Option<NormRows> {
        match place {
            NormPlace::Attention => &mut self.attention_norm,
            NormPlace::Output => &mut self.output_norm,
            NormPlace::Adapter => &mut self.adapter_norm,
        }
    }
}

/// Everything that depends on the task, for all T tasks.
#[derive(Debug, Default)]
pub struct Modulation {
    pub(crate) task_vectors: Option<Tensor>,
    pub(crate) alignment: Option<Film>,
    pub(crate) layers: Vec<LayerModulation>,
}

impl Film {
    fn map(&self, f: &mut Replace<'_>) -> Result<Self, ModelError> {
        Ok(Film {
            gamma: f(&self.gamma)?,
            beta: f(&self.beta)?,
        })
    }
}

impl NormRows {
    fn map(&self, f: &mut Replace<'_>) -> Result<Self, ModelError> {
        Ok(NormRows {
            weight: f(&self.weight)?,
            bias: f(&self.bias)?,
        })
    }
}

/// What becomes of each tensor of a table.
type Replace<'a> = dyn FnMut(&Tensor) -> Result<Tensor, ModelError> + 'a;

impl Modulation {
    /// The transformed task vectors z', [T, D]; none if no module reads them.
    pub fn task_vectors(&self) -> Option<&Tensor> {
        self.task_vectors.as_ref()
    }

    /// FiLM on the embeddings.
    pub fn alignment(&self) -> Option<&Film> {
        self.alignment.as_ref()
    }

    /// What `layer` adds to its scaled query-key scores, in band form [T, L, w] (element (i, c)
    /// belongs to key column ⌊i/w⌋·w + c).
    pub fn attention_band(&self, layer: usize) -> Option<&Tensor> {
        self.layers.get(layer)?.band.as_ref()
    }

    /// Weight and bias of the norm after `layer`'s attention, if conditional.
    pub fn attention_norm(&self, layer: usize) -> Option<&NormRows> {
        self.layers.get(layer)?.attention_norm.as_ref()
    }

    /// Weight and bias of the norm at `layer`'s end, if conditional.
    pub fn output_norm(&self, layer: usize) -> Option<&NormRows> {
        self.layers.get(layer)?.output_norm.as_ref()
    }

    /// FiLM before the down-projection of `layer`'s bottleneck.
    pub fn bottleneck(&self, layer: usize) -> Option<&Film> {
        self.layers.get(layer)?.bottleneck.as_ref()
    }

    /// Weight and bias of the norm after CA-MTL base's bottleneck, if there is one and it is
    /// conditional.
    pub fn adapter_norm(&self, layer: usize) -> Option<&NormRows> {
        self.layers.get(layer)?.adapter_norm.as_ref()
    }

    /// A second handle on the same tensors.
    pub(crate) fn shallow_clone(&self) -> Result<Self, ModelError> {
        self.map(&mut |tensor| Ok(tensor.shallow_clone()))
    }

    /// The table with every tensor replaced by what `f` makes of it.
    pub(crate) fn map(&self, f: &mut Replace<'_>) -> Result<Self, ModelError> {
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let mut norm =
                |norm: &Option<NormRows>| norm.as_ref().map(|norm| norm.map(f)).transpose();
            layers.push(LayerModulation {
                attention_norm: norm(&layer.attention_norm)?,
                output_norm: norm(&layer.output_norm)?,
                adapter_norm: norm(&layer.adapter_norm)?,
                band: layer.band.as_ref().map(&mut *f).transpose()?,
                bottleneck: layer
                    .bottleneck
                    .as_ref()
                    .map(|film| film.map(f))
                    .transpose()?,
            });
        }
        Ok(Modulation {
            task_vectors: self.task_vectors.as_ref().map(&mut *f).transpose()?,
            alignment: self
                .alignment
                .as_ref()
                .map(|film| film.map(f))
                .transpose()?,
            layers,
        })
    }
}
