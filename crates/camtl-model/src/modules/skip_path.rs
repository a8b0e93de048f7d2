//! The skip path of CA-MTL large: a conditional bottleneck beside every layer,
//! `s_j = bottleneck_j(h_j + s_{j-1})`.

use tch::Tensor;

use crate::config::{BottleneckResidual, ModelConfig};
use crate::error::ModelError;
use crate::execution::modulation::Modulation;
use crate::execution::pass::{Hidden, Pass};
use crate::folding::Folding;
use crate::modules::bottleneck::Bottleneck;
use crate::modules::task_vectors::TaskVectors;
use crate::modules::{Carried, TaskModule};
use crate::parameters::build::{Builder, Site};

#[derive(Debug)]
struct SkipPath {
    residual: BottleneckResidual,
    layers: Vec<Bottleneck>,
}

pub(super) fn make(config: &ModelConfig) -> Option<Box<dyn TaskModule>> {
    config.method.has_skip_path().then(|| {
        Box::new(SkipPath {
            residual: config.method.bottleneck_residual,
            layers: Vec::new(),
        }) as _
    })
}

impl TaskModule for SkipPath {
    fn declare(&mut self, site: Site<'_>, list: &mut Builder<'_>) {
        if let Site::EncoderEnd { name } = site {
            let layers = 0..list.config.encoder.num_hidden_layers;
            self.layers = layers
                .map(|layer| Bottleneck::declare(&format!("{name}.adapter_layer.{layer}"), list))
                .collect();
        }
    }

    fn rows(
        &self,
        vectors: &mut TaskVectors<'_>,
        table: &mut Modulation,
    ) -> Result<(), ModelError> {
        for (bottleneck, layer) in self.layers.iter().zip(&mut table.layers) {
            layer.bottleneck = Some(bottleneck.rows(vectors)?);
        }
        Ok(())
    }

    /// One step of the path, for first tokens alone if only they are needed.
    fn after_layer<'a>(
        &self,
        pass: &mut Pass<'a>,
        index: usize,
        output: &Hidden<'a>,
        _attention_output: &Tensor,
        carried: &mut Carried,
    ) -> Result<Tensor, ModelError> {
        let Hidden { rows, layout } = pass.needed(output)?;
        let x = match carried {
            Some(path) => rows.f_add(path)?,
            None => rows,
        };
        let film = pass.modulation.layers[index].bottleneck.as_ref();
        let path = self.layers[index].apply(pass, &x, film, layout)?;
        if let Some(trace) = pass.trace.as_deref_mut() {
            trace.skip_path.push(path.shallow_clone());
        }
        *carried = Some(path);
        Ok(output.rows.shallow_clone())
    }

    fn after_encoder(
        &self,
        _pass: &mut Pass<'_>,
        output: Tensor,
        carried: &Carried,
    ) -> Result<Tensor, ModelError> {
        Ok(match (carried, self.residual) {
            (None, _) => output,
            (Some(path), BottleneckResidual::Released) => path.shallow_clone(),
            (Some(path), BottleneckResidual::LayerOutput) => output.f_add(path)?,
        })
    }

    fn fold(&self, folding: &mut Folding<'_>) -> Result<(), ModelError> {
        let mut tensors = Vec::new();
        for (index, bottleneck) in self.layers.iter().enumerate() {
            if let Some(film) = folding.modulation.bottleneck(index) {
                let target = format!("encoder.adapter_layer.{index}");
                tensors.extend(bottleneck.fold(folding, film, &target)?);
            }
        }
        let equation = match self.residual {
            BottleneckResidual::Released => {
                "s = 0; for every layer j: s = up_j(down_j(hidden state j + s)); last hidden state = s"
            }
            BottleneckResidual::LayerOutput => {
                "s = 0; for every layer j: s = up_j(down_j(hidden state j + s)); last hidden state = \
                 hidden state of the last layer + s"
            }
        };
        folding.folded("bottleneck modulation");
        folding.beside("bottleneck", tensors, equation);
        Ok(())
    }
}
