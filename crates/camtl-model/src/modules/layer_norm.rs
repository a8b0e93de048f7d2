//! Conditional layer norm: the task's gain and offset on a norm's own parameters.

use tch::Tensor;

use crate::config::{LayerNormModulation, ModelConfig};
use crate::error::ModelError;
use crate::execution::modulation::{Modulation, NormRows};
use crate::folding::Folding;
use crate::modules::TaskModule;
use crate::modules::task_vectors::TaskVectors;
use crate::parameters::build::{Builder, NormPlace, Site};
use crate::parameters::spec::{LinearId, Module, NormId};

#[derive(Debug)]
struct LayerNorm {
    /// First layer whose norms are conditional; the one of an adapter is in every layer.
    from: i64,
    modulation: LayerNormModulation,
    norms: Vec<Norm>,
}

#[derive(Debug)]
struct Norm {
    layer: usize,
    place: NormPlace,
    own: NormId,
    generator: LinearId,
}

pub(super) fn make(config: &ModelConfig) -> Option<Box<dyn TaskModule>> {
    let method = &config.method;
    method.conditional_layer_norm.then(|| {
        Box::new(LayerNorm {
            from: method.upper_half(&config.encoder),
            modulation: method.layer_norm,
            norms: Vec::new(),
        }) as _
    })
}

impl TaskModule for LayerNorm {
    fn declare(&mut self, site: Site<'_>, list: &mut Builder<'_>) {
        let Site::Norm {
            layer,
            place,
            id,
            name,
        } = site
        else {
            return;
        };
        let (conditional, module) = match place {
            NormPlace::Attention | NormPlace::Output => (layer >= self.from, Module::LayerNorm),
            NormPlace::Adapter => (true, Module::Bottleneck),
        };
        if conditional {
            list.spec_mut(id.weight).in_table = true;
            list.spec_mut(id.bias).in_table = true;
            let width = list.config.encoder.hidden_size;
            let name = format!("{name}.ln_weight_modulation");
            self.norms.push(Norm {
                layer: layer as usize,
                place,
                own: id,
                generator: list.generator(&name, 2 * width, module),
            });
        }
    }

    /// All norms at once, [norms, T, D]: a handful of operations instead of as many for each.
    fn rows(
        &self,
        vectors: &mut TaskVectors<'_>,
        table: &mut Modulation,
    ) -> Result<(), ModelError> {
        if self.norms.is_empty() {
            return Ok(());
        }
        let (mut gammas, mut betas) = (Vec::new(), Vec::new());
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for norm in &self.norms {
            let [gamma, beta] = vectors.take(norm.generator)?;
            gammas.push(gamma);
            betas.push(beta);
            weights.push(vectors.store.tracked(norm.own.weight)?);
            biases.push(vectors.store.tracked(norm.own.bias)?);
        }
        let own = |parts: &[Tensor]| Tensor::f_stack(parts, 0)?.f_unsqueeze(1);
        let beta = Tensor::f_stack(&betas, 0)?;
        let scaled = Tensor::f_stack(&gammas, 0)?
            .f_add_scalar(1.0)?
            .f_mul(&own(&weights)?)?;
        let (weight, bias) = match self.modulation {
            LayerNormModulation::Weight => (scaled.f_add(&beta)?, biases),
            LayerNormModulation::WeightAndBias => {
                (scaled, beta.f_add(&own(&biases)?)?.f_unbind(0)?)
            }
        };
        for ((norm, weight), bias) in self.norms.iter().zip(weight.f_unbind(0)?).zip(bias) {
            *table.layers[norm.layer].norm(norm.place) = Some(NormRows { weight, bias });
        }
        Ok(())
    }

    /// The task's weight and bias.
    fn fold(&self, folding: &mut Folding<'_>) -> Result<(), ModelError> {
        for norm in &self.norms {
            if norm.place != NormPlace::Adapter {
                let layer = &folding.modulation.layers[norm.layer];
                let (weight, bias) = folding.norm(norm.own, layer.norm_rows(norm.place))?;
                folding.replace(norm.own.weight, weight);
                folding.replace(norm.own.bias, bias);
            }
        }
        folding.folded("layer-norm");
        Ok(())
    }
}
