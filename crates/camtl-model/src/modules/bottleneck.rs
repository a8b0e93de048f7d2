//! The conditional bottleneck, and where CA-MTL base has it: on the top layer.

use camtl_ops::{Packing, film};
use tch::Tensor;

use crate::config::{BottleneckResidual, GeneratorInit, ModelConfig};
use crate::error::ModelError;
use crate::execution::modulation::{Film, Modulation};
use crate::execution::pass::{Hidden, Pass};
use crate::folding::Folding;
use crate::modules::task_vectors::TaskVectors;
use crate::modules::{Carried, TaskModule};
use crate::parameters::build::{Builder, NormPlace, Site};
use crate::parameters::spec::{Init, LinearId, Module, NormId};

/// `up(down((1+γ)⊙x + β))`, without an activation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bottleneck {
    transformation: LinearId,
    generator: LinearId,
    down: LinearId,
    up: LinearId,
}

impl Bottleneck {
    pub(super) fn declare(name: &str, list: &mut Builder<'_>) -> Self {
        let width = list.config.encoder.hidden_size;
        let narrow = (width / 3).max(1);
        let (module, normal) = (Module::Bottleneck, list.normal());
        let method = &list.config.method;
        // h + bottleneck(h) is then h at the start; the bias starts at zero anyway.
        let identity = method.bottleneck_residual == BottleneckResidual::LayerOutput
            && method.generator_init == GeneratorInit::Zero;
        let up = if identity { Init::Zeros } else { normal };
        Bottleneck {
            transformation: list.task_map(
                &format!("{name}.emb_transf"),
                width,
                module,
                list.task_map_init(),
                1,
            ),
            generator: list.own_generator(&format!("{name}.hidden_modulation"), module),
            down: list.linear(
                &format!("{name}.down_proj_layer"),
                [narrow, width],
                module,
                normal,
            ),
            up: list.linear(
                &format!("{name}.up_proj_layer"),
                [width, narrow],
                module,
                up,
            ),
        }
    }

    pub(super) fn rows(&self, vectors: &mut TaskVectors<'_>) -> Result<Film, ModelError> {
        let [z] = vectors.take(self.transformation)?;
        vectors.film(&z, self.generator)
    }

    pub(super) fn apply(
        &self,
        pass: &Pass<'_>,
        x: &Tensor,
        rows: Option<&Film>,
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        let modulated = match rows {
            Some(rows) => film(x, &rows.gamma, &rows.beta, layout)?,
            None => x.shallow_clone(),
        };
        pass.linear(&pass.linear(&modulated, self.down)?, self.up)
    }

    /// `W((1+γ)⊙x + β) + b = (W diag(1+γ))x + (Wβ + b)`, a down-projection again.
    pub(super) fn fold(
        &self,
        folding: &Folding<'_>,
        rows: &Film,
        target: &str,
    ) -> Result<Vec<(String, Tensor)>, ModelError> {
        let (gain, offset) = folding.film(rows)?;
        let down = folding.parameter(self.down.weight)?;
        let bias = folding.parameter(self.down.bias)?;
        let named = |part: &str, tensor| (format!("{target}.{part}"), tensor);
        Ok(vec![
            named("down.weight", down.f_mul(&gain)?),
            named("down.bias", bias.f_add(&down.f_mv(&offset)?)?),
            named("up.weight", folding.parameter(self.up.weight)?),
            named("up.bias", folding.parameter(self.up.bias)?),
        ])
    }
}

/// CA-MTL base.
#[derive(Debug)]
struct TopBottleneck {
    layer: i64,
    residual: BottleneckResidual,
    /// With the released residual, the norm behind it.
    parameters: Option<(Bottleneck, Option<NormId>)>,
}

pub(super) fn make(config: &ModelConfig) -> Option<Box<dyn TaskModule>> {
    let layer = config.encoder.num_hidden_layers - 1;
    let method = &config.method;
    method.has_base_bottleneck(&config.encoder, layer).then(|| {
        Box::new(TopBottleneck {
            layer,
            residual: method.bottleneck_residual,
            parameters: None,
        }) as _
    })
}

impl TaskModule for TopBottleneck {
    fn declare(&mut self, site: Site<'_>, list: &mut Builder<'_>) {
        match site {
            Site::LayerEnd { layer, name } if layer == self.layer => {
                let bottleneck = Bottleneck::declare(&format!("{name}.adapter.bottleneck"), list);
                let norm = match self.residual {
                    BottleneckResidual::LayerOutput => None,
                    BottleneckResidual::Released => {
                        let name = format!("{name}.adapter.condlayernorm");
                        let id = list.norm(&name, Module::Bottleneck);
                        // The released rule misses this norm's name.
                        list.spec_mut(id.weight).decays = true;
                        list.offer_norm(layer, NormPlace::Adapter, id, name);
                        Some(id)
                    }
                };
                self.parameters = Some((bottleneck, norm));
            }
            _ => {}
        }
    }

    fn rows(
        &self,
        vectors: &mut TaskVectors<'_>,
        table: &mut Modulation,
    ) -> Result<(), ModelError> {
        if let Some((bottleneck, _)) = &self.parameters {
            table.layers[self.layer as usize].bottleneck = Some(bottleneck.rows(vectors)?);
        }
        Ok(())
    }

    /// `LN(bottleneck(h) + attention output)` or `h + bottleneck(h)`.
    fn after_layer<'a>(
        &self,
        pass: &mut Pass<'a>,
        index: usize,
        output: &Hidden<'a>,
        attention_output: &Tensor,
        _carried: &mut Carried,
    ) -> Result<Tensor, ModelError> {
        let (Some((bottleneck, norm)), true) = (&self.parameters, index == self.layer as usize)
        else {
            return Ok(output.rows.shallow_clone());
        };
        let modulation = &pass.modulation.layers[index];
        let layout = output.layout;
        let adapted =
            bottleneck.apply(pass, &output.rows, modulation.bottleneck.as_ref(), layout)?;
        if let Some(trace) = pass.trace.as_deref_mut() {
            trace.adapter_input = Some(output.rows.shallow_clone());
            trace.adapter_bottleneck = Some(adapted.shallow_clone());
        }
        match norm {
            None => Ok(output.rows.f_add(&adapted)?),
            Some(norm) => {
                let rows = modulation.adapter_norm.as_ref();
                pass.norm(&adapted, Some(attention_output), *norm, rows, None, layout)
            }
        }
    }

    fn fold(&self, folding: &mut Folding<'_>) -> Result<(), ModelError> {
        let layer = &folding.modulation.layers[self.layer as usize];
        let (Some((bottleneck, norm)), Some(film)) = (&self.parameters, &layer.bottleneck) else {
            return Ok(());
        };
        let target = format!("encoder.layer.{}.adapter", self.layer);
        let mut tensors = bottleneck.fold(folding, film, &target)?;
        if let Some(norm) = norm {
            let (weight, bias) = folding.norm(*norm, layer.adapter_norm.as_ref())?;
            tensors.push((format!("{target}.LayerNorm.weight"), weight));
            tensors.push((format!("{target}.LayerNorm.bias"), bias));
        }
        let equation = match self.residual {
            BottleneckResidual::Released => {
                "last hidden state = LayerNorm(up(down(layer output)) + attention output) with \
                 adapter.LayerNorm; attention output = output of the last layer's attention block"
            }
            BottleneckResidual::LayerOutput => {
                "last hidden state = layer output + up(down(layer output))"
            }
        };
        folding.folded("bottleneck modulation");
        folding.beside("bottleneck", tensors, equation);
        Ok(())
    }
}
