//! Conditional attention: a block-diagonal bias on the scaled query-key scores.

use camtl_ops::band_bias;
use tch::Tensor;

use crate::config::{
    AttentionLayers, AttentionModulation, FrozenAttentionGenerators, ModelConfig, block_width,
};
use crate::error::ModelError;
use crate::execution::modulation::Modulation;
use crate::folding::Folding;
use crate::modules::TaskModule;
use crate::modules::task_vectors::TaskVectors;
use crate::parameters::build::{Builder, Site};
use crate::parameters::spec::{Init, LinearId, Module, ParameterId};

#[derive(Debug)]
struct AttentionBias {
    /// First layer that has it.
    from: i64,
    /// L×w.
    shape: [i64; 2],
    modulation: AttentionModulation,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    index: i64,
    matrix: ParameterId,
    generator: LinearId,
}

pub(super) fn make(config: &ModelConfig) -> Option<Box<dyn TaskModule>> {
    let method = &config.method;
    let from = match method.attention_layers {
        AttentionLayers::All => 0,
        AttentionLayers::Upper => method.upper_half(&config.encoder),
    };
    let width = block_width(&config.encoder, config.max_length);
    method.conditional_attention.then(|| {
        Box::new(AttentionBias {
            from,
            shape: [config.max_length as i64, width],
            modulation: method.attention_modulation,
            layers: Vec::new(),
        }) as _
    })
}

impl TaskModule for AttentionBias {
    fn declare(&mut self, site: Site<'_>, list: &mut Builder<'_>) {
        let Site::Attention { layer, name } = site else {
            return;
        };
        if layer < self.from {
            return;
        }
        let matrix = format!("{name}.random_weight_matrix");
        let matrix = list.push(matrix, &self.shape, Module::Attention, Init::Zeros);
        list.spec_mut(matrix).in_table = true;
        let [_, width] = self.shape;
        let out = match self.modulation {
            AttentionModulation::PerColumn => 2 * width,
            AttentionModulation::PerElement => 2 * width * width,
        };
        let name = format!("{name}.cond_block_diag_attn");
        let generator = list.generator(&name, out, Module::Attention);
        match list.config.method.attention_generators_in_frozen_layers {
            FrozenAttentionGenerators::Trained => {}
            // The released rule for frozen layers misses this generator's name.
            FrozenAttentionGenerators::Frozen => {
                list.spec_mut(generator.weight).layer = Some(layer);
                list.spec_mut(generator.bias).layer = Some(layer);
            }
        }
        self.layers.push(Layer {
            index: layer,
            matrix,
            generator,
        });
    }

    /// The bands of all layers at once.
    fn rows(
        &self,
        vectors: &mut TaskVectors<'_>,
        table: &mut Modulation,
    ) -> Result<(), ModelError> {
        let (mut matrices, mut gammas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
        let [_, width] = self.shape;
        let shaped = |table: Tensor| match self.modulation {
            AttentionModulation::PerColumn => Ok(table),
            AttentionModulation::PerElement => table.f_reshape([-1, width, width]),
        };
        for layer in &self.layers {
            matrices.push(vectors.store.tracked(layer.matrix)?);
            let [gamma, beta] = vectors.take(layer.generator)?;
            gammas.push(shaped(gamma)?);
            betas.push(shaped(beta)?);
        }
        if matrices.is_empty() {
            return Ok(());
        }
        let stack = |parts: &[Tensor]| Tensor::f_stack(parts, 0);
        let all = band_bias(&stack(&matrices)?, &stack(&gammas)?, &stack(&betas)?)?;
        for (layer, band) in self.layers.iter().zip(all.f_unbind(0)?) {
            table.layers[layer.index as usize].band = Some(band);
        }
        Ok(())
    }

    /// A plain encoder has no place for it.
    fn fold(&self, folding: &mut Folding<'_>) -> Result<(), ModelError> {
        let [_, width] = self.shape;
        let mut tensors = Vec::new();
        for layer in &self.layers {
            if let Some(band) = folding.modulation.attention_band(layer.index as usize) {
                let name = format!("encoder.layer.{}.attention.self.bias_band", layer.index);
                tensors.push((name, band.f_select(0, folding.task)?));
            }
        }
        if !tensors.is_empty() {
            let equation = format!(
                "score[i, floor(i/{width})*{width} + c] += bias_band[i, c], for every head, \
                 after the division by sqrt(head size) and before the softmax"
            );
            folding.beside("attention-bias", tensors, &equation);
        }
        Ok(())
    }
}
