//! A checked configuration taken apart: the list of parameters, and who has which of them. Names are
//! resolved here once; passes work with handles.

use crate::arch::{Encoder, architecture};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::modules::task_vectors::TaskVectorIds;
use crate::modules::{TaskModule, modules};
use crate::parameters::build::{Builder, Offer, Site};
use crate::parameters::spec::{LinearId, Module, ParameterSpec};

/// Who has which parameters.
#[derive(Debug)]
pub(crate) struct Structure {
    pub(crate) encoder: Encoder,
    pub(crate) conditions: Conditions,
    /// One linear layer per task.
    pub(crate) heads: Vec<LinearId>,
}

/// What depends on the task.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) task_vectors: TaskVectorIds,
    pub(crate) modules: Vec<Box<dyn TaskModule>>,
}

impl Offer for Conditions {
    fn offer(&mut self, site: Site<'_>, list: &mut Builder<'_>) {
        self.task_vectors.declare(site, list);
        for module in &mut self.modules {
            module.declare(site, list);
        }
        while let Some((layer, place, id, name)) = list.offered_norm() {
            let name = &name;
            let norm = Site::Norm {
                layer,
                place,
                id,
                name,
            };
            self.offer(norm, list);
        }
    }
}

impl Structure {
    /// The structure of `config` and its parameters, in the released state dict's order.
    pub(crate) fn new(config: &ModelConfig) -> Result<(Self, Vec<ParameterSpec>), ModelError> {
        config.check()?;
        let mut list = Builder::new(config);
        let mut conditions = Conditions {
            task_vectors: TaskVectorIds::default(),
            modules: modules(config),
        };
        let encoder = architecture(config.encoder.model_type).declare(&mut list, &mut conditions);
        let mut heads = Vec::with_capacity(config.tasks.len());
        for (task, head) in config.tasks.iter().enumerate() {
            let shape = head.weight_shape(config.encoder.hidden_size);
            let name = format!("decoders.{task}.model");
            heads.push(list.linear(&name, shape, Module::Heads, list.normal()));
        }
        let (specs, maps) = list.finish();
        conditions.task_vectors.maps = maps.into_iter().map(|map| (map.id.weight, map)).collect();
        let names = specs.iter().map(|spec| spec.name.as_str());
        config
            .freeze
            .check(config.encoder.num_hidden_layers, names)?;
        let structure = Structure {
            encoder,
            conditions,
            heads,
        };
        Ok((structure, specs))
    }
}

/// The parameters of a checked configuration, in the released state dict's order.
pub(crate) fn parameter_specs(config: &ModelConfig) -> Result<Vec<ParameterSpec>, ModelError> {
    Ok(Structure::new(config)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EncoderConfig, MethodConfig, Preset, TaskHead, Variant};

    #[test]
    fn adapters_of_the_large_model_are_no_layers() {
        let config = ModelConfig {
            encoder: EncoderConfig::bert(50, 48, 14, 4, 96, 32),
            method: MethodConfig::new(Preset::Recommended, Variant::Large),
            tasks: vec![TaskHead::classification("rte", 2)],
            max_length: 16,
            freeze: Default::default(),
        };
        let specs = parameter_specs(&config).unwrap();
        let layer_of = |name: &str| specs.iter().find(|spec| spec.name == name).unwrap().layer;
        assert_eq!(
            layer_of("bert.encoder.adapter_layer.3.emb_transf.weight"),
            None
        );
        assert_eq!(
            layer_of("bert.encoder.layer.13.output.dense.bias"),
            Some(13)
        );
    }
}
