//! Copies of the parameters in bfloat16 for matrix products in mixed precision.
//!
//! Converting every weight at every use is a launch and a read of the whole weight each time. Here
//! trained parameters are converted together, by the optimiser's step itself where it can, and
//! frozen ones once; libtorch's version counters tell when something else has written to them. The
//! copies keep their addresses, where captured graphs find them.

use camtl_ops::{Lowered, linear, linear_lowered};
use tch::{Kind, Tensor, no_grad};

use crate::error::ModelError;
use crate::execution::invariance as tiles;

/// Copies of one store's parameters.
#[derive(Debug)]
pub(crate) struct LoweredCopies {
    /// Of the flat buffer of trained parameters.
    pub(crate) flat: Tensor,
    pub(crate) flat_version: i64,
    /// Of each leaf outside that buffer.
    pub(crate) frozen: Vec<Option<Tensor>>,
    pub(crate) frozen_version: i64,
}

impl LoweredCopies {
    pub(crate) fn new(
        flat: &Tensor,
        frozen: &[Option<&Tensor>],
        versions: (i64, i64),
    ) -> Result<Self, ModelError> {
        let copy = |tensor: &Tensor| Ok(no_grad(|| tensor.f_to_kind(Kind::BFloat16))?);
        Ok(LoweredCopies {
            flat: copy(flat)?,
            flat_version: versions.0,
            frozen: frozen
                .iter()
                .map(|leaf| leaf.map(copy).transpose())
                .collect::<Result<_, ModelError>>()?,
            frozen_version: versions.1,
        })
    }

    /// Converts anew, in place, what has changed since.
    pub(crate) fn refresh(
        &mut self,
        flat: &Tensor,
        frozen: &[Option<&Tensor>],
        versions: (i64, i64),
    ) -> Result<(), ModelError> {
        no_grad(|| {
            if self.flat_version != versions.0 {
                self.flat.f_copy_(flat)?;
                self.flat_version = versions.0;
            }
            if self.frozen_version != versions.1 {
                for (copy, leaf) in self.frozen.iter_mut().zip(frozen) {
                    if let (Some(copy), Some(leaf)) = (copy, leaf) {
                        copy.f_copy_(leaf)?;
                    }
                }
                self.frozen_version = versions.1;
            }
            Ok(())
        })
    }
}

/// A linear map of the model for one use: `y = x W' + b`.
pub(crate) struct LinearMap {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    /// Copies of both, if products are to be computed with them.
    pub(crate) lowered: Option<(Tensor, Tensor)>,
}

impl LinearMap {
    /// `x W' + b`; with `tile`, in tiles of that many rows (see [`tiles`]).
    pub(crate) fn apply(&self, x: &Tensor, tile: Option<i64>) -> Result<Tensor, ModelError> {
        self.product(x, true, tile)
    }

    /// `x W'`.
    pub(crate) fn apply_without_bias(
        &self,
        x: &Tensor,
        tile: Option<i64>,
    ) -> Result<Tensor, ModelError> {
        self.product(x, false, tile)
    }

    fn product(
        &self,
        x: &Tensor,
        with_bias: bool,
        tile: Option<i64>,
    ) -> Result<Tensor, ModelError> {
        let bias = with_bias.then_some(&self.bias);
        tiles::in_tiles(x, tile, |rows| {
            Ok(match &self.lowered {
                None => linear(rows, &self.weight, bias)?,
                Some((weight, lowered_bias)) => {
                    let bias_copy = with_bias.then_some(lowered_bias);
                    let copies = Lowered {
                        weight,
                        bias: bias_copy,
                    };
                    linear_lowered(rows, &self.weight, bias, copies)?
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use camtl_ops::{AdamWOptions, AdamWState};
    use tch::Device;

    use super::*;
    use crate::parameters::spec::{Block, LinearId, Module};
    use crate::{EncoderConfig, MethodConfig, Model, ModelConfig, Preset, TaskHead, Variant};

    /// Copies follow the parameters through the optimiser's step and through writes that it knows
    /// nothing of, for trained and frozen parameters and blocks that have both.
    #[test]
    fn copies_are_those_of_the_parameters() {
        let config = ModelConfig {
            encoder: EncoderConfig::bert(50, 48, 2, 4, 96, 32),
            method: MethodConfig::new(Preset::Released, Variant::Base),
            tasks: vec![TaskHead::classification("rte", 2)],
            max_length: 16,
            freeze: "0-0".parse().unwrap(),
        };
        let model = Model::new(&config, Device::Cpu, 1).unwrap();
        let store = model.parameters();
        let linear = |name: &str| LinearId {
            weight: store.id(&format!("{name}.weight")).unwrap(),
            bias: store.id(&format!("{name}.bias")).unwrap(),
        };
        let id = linear("bert.encoder.layer.0.output.dense");
        assert!(store.linear(id, true).is_err());
        let maps = |lowered| {
            let mut maps: Vec<LinearMap> = store
                .entries()
                .iter()
                .filter(|entry| entry.module != Module::Embeddings)
                .filter_map(|entry| entry.name.strip_suffix(".dense.weight"))
                .map(|name| {
                    store
                        .linear(linear(&format!("{name}.dense")), lowered)
                        .unwrap()
                })
                .collect();
            for layer in 0..2 {
                let (weight, bias) = (Block::QkvWeight(layer), Block::QkvBias(layer));
                maps.push(store.linear_of_blocks(weight, bias, lowered).unwrap());
            }
            maps
        };
        assert!(maps(false).iter().all(|map| map.lowered.is_none()));
        let check = || {
            let maps = maps(true);
            assert!(maps.len() > 6);
            for map in &maps {
                let (weight, bias) = map.lowered.as_ref().unwrap();
                assert_eq!(*weight, map.weight.to_kind(Kind::BFloat16));
                assert_eq!(*bias, map.bias.to_kind(Kind::BFloat16));
            }
        };
        store.lower().unwrap();
        check();
        let kept = store.linear(id, true).unwrap().lowered.unwrap().0;

        // The optimiser's step writes the copies itself: nothing is left to convert.
        let _ = store.flat_grad().fill_(1.0);
        let mut state = AdamWState::new(&store.flat()).unwrap();
        let options = AdamWOptions {
            lr: 0.1,
            ..AdamWOptions::default()
        };
        store.adamw(&mut state, &options, None).unwrap();
        check();

        for trained in [false, true] {
            let of_kind = |entry: &&crate::parameters::ParameterEntry| {
                entry.trainable == trained && entry.name.ends_with(".output.dense.weight")
            };
            let name = &store.entries().iter().find(of_kind).unwrap().name;
            let weight = store.tensor(name).unwrap();
            store.set(name, &(weight * 1.5)).unwrap();
        }
        let _ = no_grad(|| store.flat().narrow(0, 0, 100).fill_(0.125));
        store.lower().unwrap();
        check();
        let again = store.linear(id, true).unwrap().lowered.unwrap().0;
        assert_eq!(kept.data_ptr(), again.data_ptr());
    }
}
