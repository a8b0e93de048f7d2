//! The table of modulations: what every conditional module multiplies and adds, for each task.
//!
//! Modulation depends on the task, not on the example, so one table with T rows serves a whole step
//! (docs/method.md). All linear maps that read the transformed task vector z' (attention
//! and norm generators, the bottlenecks' own transformations) have their rows side by side in
//! memory, so one matrix product evaluates them all (for eight tasks at a time, so that the number of
//! tasks changes nobody's bits).
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

use std::collections::BTreeMap;

use camtl_ops::band_bias;
use tch::Tensor;

use crate::config::ModelConfig;
use crate::config::{AttentionModulation, BottleneckResidual, LayerNormModulation};
use crate::error::ModelError;
use crate::execution::invariance as tiles;
use crate::parameters::ParameterStore;
use crate::parameters::{Block, LayerNames};

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

/// Everything that depends on the task, for all T tasks.
#[derive(Debug)]
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
            layers.push(LayerModulation {
                band: layer.band.as_ref().map(&mut *f).transpose()?,
                attention_norm: layer
                    .attention_norm
                    .as_ref()
                    .map(|norm| norm.map(f))
                    .transpose()?,
                output_norm: layer
                    .output_norm
                    .as_ref()
                    .map(|norm| norm.map(f))
                    .transpose()?,
                bottleneck: layer
                    .bottleneck
                    .as_ref()
                    .map(|film| film.map(f))
                    .transpose()?,
                adapter_norm: layer
                    .adapter_norm
                    .as_ref()
                    .map(|norm| norm.map(f))
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

    /// Evaluates all generators.
    pub(crate) fn new(config: &ModelConfig, store: &ParameterStore) -> Result<Self, ModelError> {
        Evaluation::new(config, store)?.run()
    }
}

/// One evaluation: the outputs of all linear maps of z', by name.
struct Evaluation<'a> {
    config: &'a ModelConfig,
    store: &'a ParameterStore,
    task_embeddings: Option<Tensor>,
    task_vectors: Option<Tensor>,
    maps: BTreeMap<String, Vec<Tensor>>,
}

impl<'a> Evaluation<'a> {
    fn new(config: &'a ModelConfig, store: &'a ParameterStore) -> Result<Self, ModelError> {
        let method = &config.method;
        let task_embeddings = method
            .is_conditional()
            .then(|| store.tracked("bert.task_type_embeddings.weight"))
            .transpose()?;
        let mut task_vectors = None;
        let mut maps = BTreeMap::new();
        if let Some(z) = task_embeddings
            .as_ref()
            .filter(|_| method.reads_transformed_task())
        {
            let weight = store.tracked("bert.encoder.task_transformation.weight")?;
            let bias = store.tracked("bert.encoder.task_transformation.bias")?;
            let z = tiles::linear(z, &weight, Some(&bias), Some(tiles::TASKS))?;
            for (weight, members) in store.block_leaves(Block::TaskMapWeight) {
                apply_maps(store, &z, &weight, &members, &mut maps)?;
            }
            task_vectors = Some(z);
        }
        Ok(Evaluation {
            config,
            store,
            task_embeddings,
            task_vectors,
            maps,
        })
    }

    fn run(mut self) -> Result<Modulation, ModelError> {
        let config = self.config;
        let method = &config.method;
        let encoder = &config.encoder;
        let alignment = match &self.task_embeddings {
            Some(z) if method.conditional_alignment => {
                Some(self.film(z, "bert.conditional_alignment")?)
            }
            _ => None,
        };
        let mut bands = self.bands()?.into_iter();
        let mut norms = self.norms()?;
        let mut layers = Vec::new();
        for index in 0..encoder.num_hidden_layers {
            let mut layer = LayerModulation::default();
            let names = LayerNames::new(method, encoder, index);
            if method.has_attention(encoder, index) {
                layer.band = bands.next();
            }
            if method.has_layer_norm(encoder, index) {
                let name = format!("{}.output.LayerNorm", names.attention);
                layer.attention_norm = norms.remove(&name);
                layer.output_norm = norms.remove(&format!("{}.LayerNorm", names.output));
            }
            if method.has_base_bottleneck(encoder, index) {
                let name = format!("{}.bottleneck", names.adapter);
                layer.bottleneck = Some(self.bottleneck(&name)?);
                layer.adapter_norm = norms.remove(&format!("{}.condlayernorm", names.adapter));
            }
            if method.has_skip_path() {
                let name = format!("bert.encoder.adapter_layer.{index}");
                layer.bottleneck = Some(self.bottleneck(&name)?);
            }
            layers.push(layer);
        }
        Ok(Modulation {
            task_vectors: self.task_vectors,
            alignment,
            layers,
        })
    }

    /// The halves of a generator that reads z'.
    fn take(&mut self, name: &str) -> Result<Vec<Tensor>, ModelError> {
        self.maps
            .remove(name)
            .ok_or_else(|| ModelError::UnknownParameter {
                name: format!("{name}.weight"),
                hint: String::new(),
            })
    }

    fn take_pair(&mut self, name: &str) -> Result<(Tensor, Tensor), ModelError> {
        let mut parts = self.take(name)?.into_iter();
        match (parts.next(), parts.next()) {
            (Some(gamma), Some(beta)) => Ok((gamma, beta)),
            _ => Err(ModelError::Input(format!(
                "`{name}` has no gain and offset"
            ))),
        }
    }

    /// FiLM of a generator outside the block of maps that read z'.
    fn film(&self, z: &Tensor, name: &str) -> Result<Film, ModelError> {
        let weight = self.store.tracked(&format!("{name}.gb_weights.weight"))?;
        let bias = self.store.tracked(&format!("{name}.gb_weights.bias"))?;
        let both = tiles::linear(z, &weight, Some(&bias), Some(tiles::TASKS))?;
        let mut halves = both.f_chunk(2, 1)?.into_iter();
        match (halves.next(), halves.next()) {
            (Some(gamma), Some(beta)) => Ok(Film { gamma, beta }),
            _ => Err(ModelError::Input(format!(
                "`{name}` has no gain and offset"
            ))),
        }
    }

    fn bottleneck(&mut self, name: &str) -> Result<Film, ModelError> {
        let transformed = self.take(&format!("{name}.emb_transf"))?;
        match transformed.first() {
            Some(z) => self.film(z, &format!("{name}.hidden_modulation")),
            None => Err(ModelError::Input(format!("`{name}.emb_transf` is empty"))),
        }
    }

    /// The bands of all layers with conditional attention, in order.
    fn bands(&mut self) -> Result<Vec<Tensor>, ModelError> {
        let (method, encoder) = (&self.config.method, &self.config.encoder);
        let (mut matrices, mut gammas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..encoder.num_hidden_layers {
            if !method.has_attention(encoder, index) {
                continue;
            }
            let name = format!("{}.self", LayerNames::new(method, encoder, index).attention);
            let matrix = self
                .store
                .tracked(&format!("{name}.random_weight_matrix"))?;
            let width = matrix.size().get(1).copied().unwrap_or(1);
            let (gamma, beta) =
                self.take_pair(&format!("{name}.cond_block_diag_attn.gb_weights"))?;
            let shaped = |table: Tensor| match method.attention_modulation {
                AttentionModulation::PerColumn => Ok(table),
                AttentionModulation::PerElement => table.f_reshape([-1, width, width]),
            };
            matrices.push(matrix);
            gammas.push(shaped(gamma)?);
            betas.push(shaped(beta)?);
        }
        if matrices.is_empty() {
            return Ok(Vec::new());
        }
        let stack = |parts: &[Tensor]| Tensor::f_stack(parts, 0);
        let all = band_bias(&stack(&matrices)?, &stack(&gammas)?, &stack(&betas)?)?;
        Ok(all.f_unbind(0)?)
    }

    /// Names of the conditional norms.
    fn norm_names(&self) -> Vec<String> {
        let (method, encoder) = (&self.config.method, &self.config.encoder);
        let mut found = Vec::new();
        for index in 0..encoder.num_hidden_layers {
            let names = LayerNames::new(method, encoder, index);
            if method.has_layer_norm(encoder, index) {
                found.push(format!("{}.output.LayerNorm", names.attention));
                found.push(format!("{}.LayerNorm", names.output));
            }
            if method.has_base_bottleneck(encoder, index)
                && method.bottleneck_residual == BottleneckResidual::Released
                && method.conditional_layer_norm
            {
                found.push(format!("{}.condlayernorm", names.adapter));
            }
        }
        found
    }

    /// All conditional norms at once, [norms, T, D]: a handful of operations instead of as many for
    /// each.
    fn norms(&mut self) -> Result<BTreeMap<String, NormRows>, ModelError> {
        let names = self.norm_names();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (mut gammas, mut betas, mut weights, mut biases) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for name in &names {
            let (gamma, beta) =
                self.take_pair(&format!("{name}.ln_weight_modulation.gb_weights"))?;
            gammas.push(gamma);
            betas.push(beta);
            weights.push(self.store.tracked(&format!("{name}.weight"))?);
            biases.push(self.store.tracked(&format!("{name}.bias"))?);
        }
        let own = |parts: &[Tensor]| Tensor::f_stack(parts, 0)?.f_unsqueeze(1);
        let beta = Tensor::f_stack(&betas, 0)?;
        let scaled = Tensor::f_stack(&gammas, 0)?
            .f_add_scalar(1.0)?
            .f_mul(&own(&weights)?)?;
        let (weight, bias) = match self.config.method.layer_norm {
            LayerNormModulation::Weight => (scaled.f_add(&beta)?, biases),
            LayerNormModulation::WeightAndBias => {
                (scaled, beta.f_add(&own(&biases)?)?.f_unbind(0)?)
            }
        };
        let rows = weight.f_unbind(0)?.into_iter().zip(bias);
        Ok(names
            .into_iter()
            .zip(rows.map(|(weight, bias)| NormRows { weight, bias }))
            .collect())
    }
}

/// Applies one leaf of stacked linear maps to z' and files the outputs under their names (without
/// `.weight`), generators in halves.
fn apply_maps(
    store: &ParameterStore,
    z: &Tensor,
    weight: &Tensor,
    members: &[(&str, i64)],
    maps: &mut BTreeMap<String, Vec<Tensor>>,
) -> Result<(), ModelError> {
    let names: Vec<&str> = members
        .iter()
        .map(|(name, _)| name.trim_end_matches(".weight"))
        .collect();
    let bias = stacked_bias(store, &names)?;
    let mut sizes = Vec::new();
    for (name, &(_, rows)) in names.iter().zip(members) {
        // Splitting once into the final pieces keeps the backward pass to one concatenation.
        if name.ends_with("gb_weights") {
            sizes.extend([rows / 2, rows - rows / 2]);
        } else {
            sizes.push(rows);
        }
    }
    let mut pieces = tiles::linear(z, weight, Some(&bias), Some(tiles::TASKS))?
        .f_split_with_sizes(&sizes[..], 1)?
        .into_iter();
    for name in names {
        let count = if name.ends_with("gb_weights") { 2 } else { 1 };
        maps.insert(name.to_string(), pieces.by_ref().take(count).collect());
    }
    Ok(())
}

/// The biases of `names`, one after another; without a copy if they share one leaf.
fn stacked_bias(store: &ParameterStore, names: &[&str]) -> Result<Tensor, ModelError> {
    for (bias, members) in store.block_leaves(Block::TaskMapBias) {
        let same = members.len() == names.len()
            && members
                .iter()
                .zip(names)
                .all(|((member, _), name)| member.strip_suffix(".bias") == Some(*name));
        if same {
            return Ok(bias);
        }
    }
    let parts = names
        .iter()
        .map(|name| store.tracked(&format!("{name}.bias")))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&parts, 0)?)
}
