//! The list of a model's parameters as it is drawn up: an architecture walks through its encoder and
//! offers each [`Site`] to the task modules, and everyone keeps the handles of what they declare.
//!
//! Names are the released code's state-dict names, so its weights (and the pretrained encoder's) are
//! found by name; the order is its order, which the optimiser's state follows.

use crate::config::{GeneratorInit, ModelConfig, TaskVectorInit};
use crate::parameters::spec::{Block, Init, LinearId, Module, NormId, ParameterId, ParameterSpec};

/// A linear map of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Map {
    Query,
    Key,
    Value,
    /// From the attended values back to the hidden states.
    AttentionOutput,
    /// Into the feed-forward block.
    Intermediate,
    /// Out of it.
    Output,
}

/// A layer norm that a module may condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormPlace {
    /// Of the attention sublayer.
    Attention,
    /// Of the feed-forward sublayer.
    Output,
    /// After CA-MTL base's bottleneck.
    Adapter,
}

/// A place in the list where modules may declare parameters. Layers count from 0.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Site<'a> {
    /// Before everything else. `name` is the model's, as the first part of parameter names.
    Start { name: &'a str },
    /// Before the layers of the stack called `name`.
    EncoderStart { name: &'a str },
    /// Before the parameters of an attention called `name`.
    Attention { layer: i64, name: &'a str },
    /// After a linear map.
    #[expect(dead_code, reason = "modules that change products read it")]
    Linear {
        layer: i64,
        map: Map,
        id: LinearId,
        name: &'a str,
    },
    /// After a layer norm.
    Norm {
        layer: i64,
        place: NormPlace,
        id: NormId,
        name: &'a str,
    },
    /// After all other parameters of the layer called `name`.
    LayerEnd { layer: i64, name: &'a str },
    /// After all layers of the stack called `name`.
    EncoderEnd { name: &'a str },
}

/// Those to whom sites are offered.
pub(crate) trait Offer {
    fn offer(&mut self, site: Site<'_>, list: &mut Builder<'_>);
}

/// A linear map that reads the transformed task vector: all of them are one product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskMap {
    pub(crate) id: LinearId,
    /// Parts of equal size that the output is split into.
    pub(crate) parts: i64,
}

/// The list so far.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    pub(crate) config: &'a ModelConfig,
    specs: Vec<ParameterSpec>,
    layer: Option<i64>,
    task_maps: Vec<TaskMap>,
    /// Norms that modules have declared and others may condition.
    norms: Vec<(i64, NormPlace, NormId, String)>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(config: &'a ModelConfig) -> Self {
        Builder {
            config,
            specs: Vec::new(),
            layer: None,
            task_maps: Vec::new(),
            norms: Vec::new(),
        }
    }

    /// Parameters declared from now on are frozen with this layer if they are the encoder's own.
    pub(crate) fn enter_layer(&mut self, layer: Option<i64>) {
        self.layer = layer;
    }

    /// Adds a parameter. Vectors do not decay, the rest does, by the released rule.
    pub(crate) fn push(
        &mut self,
        name: String,
        shape: &[i64],
        module: Module,
        init: Init,
    ) -> ParameterId {
        self.specs.push(ParameterSpec {
            name,
            shape: shape.to_vec(),
            module,
            init,
            block: None,
            plain: None,
            from_scratch: false,
            in_table: false,
            per_task: false,
            decays: shape.len() > 1,
            layer: self.layer.filter(|_| module.is_backbone()),
            trainable: true,
        });
        ParameterId(self.specs.len() - 1)
    }

    pub(crate) fn spec_mut(&mut self, id: ParameterId) -> &mut ParameterSpec {
        &mut self.specs[id.0]
    }

    /// Those of the plain encoder.
    pub(crate) fn backbone_mut(&mut self) -> impl Iterator<Item = &mut ParameterSpec> {
        self.specs
            .iter_mut()
            .filter(|spec| spec.module.is_backbone())
    }

    pub(crate) fn normal(&self) -> Init {
        Init::Normal(self.config.encoder.initializer_range)
    }

    /// A linear layer `name.weight` [out, inputs] and `name.bias` [out].
    pub(crate) fn linear(
        &mut self,
        name: &str,
        [out, inputs]: [i64; 2],
        module: Module,
        init: Init,
    ) -> LinearId {
        LinearId {
            weight: self.push(format!("{name}.weight"), &[out, inputs], module, init),
            bias: self.push(format!("{name}.bias"), &[out], module, Init::Zeros),
        }
    }

    /// A layer norm of the hidden states.
    pub(crate) fn norm(&mut self, name: &str, module: Module) -> NormId {
        let width = [self.config.encoder.hidden_size];
        NormId {
            weight: self.push(format!("{name}.weight"), &width, module, Init::Ones),
            bias: self.push(format!("{name}.bias"), &width, module, Init::Zeros),
        }
    }

    /// A linear map of the transformed task vector, whose output is read in `parts` equal parts.
    pub(crate) fn task_map(
        &mut self,
        name: &str,
        out: i64,
        module: Module,
        init: Init,
        parts: i64,
    ) -> LinearId {
        let width = self.config.encoder.hidden_size;
        let id = self.table_linear(name, [out, width], module, init);
        self.spec_mut(id.weight).block = Some(Block::TaskMapWeight);
        self.spec_mut(id.bias).block = Some(Block::TaskMapBias);
        self.task_maps.push(TaskMap { id, parts });
        id
    }

    /// A linear map on the way to the table of modulations.
    pub(crate) fn table_linear(
        &mut self,
        name: &str,
        shape: [i64; 2],
        module: Module,
        init: Init,
    ) -> LinearId {
        let id = self.linear(name, shape, module, init);
        self.spec_mut(id.weight).in_table = true;
        self.spec_mut(id.bias).in_table = true;
        id
    }

    /// How the linear maps between the task embedding and the generators start.
    pub(crate) fn task_map_init(&self) -> Init {
        match self.config.method.task_vector_init {
            TaskVectorInit::Small => self.normal(),
            TaskVectorInit::Unit => Init::Identity,
        }
    }

    /// How generators start.
    fn generator_init(&self) -> Init {
        match self.config.method.generator_init {
            GeneratorInit::Normal => self.normal(),
            GeneratorInit::Zero => Init::Zeros,
        }
    }

    /// A generator `name.gb_weights` of gain and offset, `out` numbers in all, from the transformed
    /// task vector.
    pub(crate) fn generator(&mut self, name: &str, out: i64, module: Module) -> LinearId {
        let init = self.generator_init();
        self.task_map(&format!("{name}.gb_weights"), out, module, init, 2)
    }

    /// The same from what is no transformed task vector: a linear map of its own, from D to 2 D.
    pub(crate) fn own_generator(&mut self, name: &str, module: Module) -> LinearId {
        let width = self.config.encoder.hidden_size;
        let init = self.generator_init();
        self.table_linear(
            &format!("{name}.gb_weights"),
            [2 * width, width],
            module,
            init,
        )
    }

    /// Offers a module's own norm to all modules, once they have seen the site they are at.
    pub(crate) fn offer_norm(&mut self, layer: i64, place: NormPlace, id: NormId, name: String) {
        self.norms.push((layer, place, id, name));
    }

    pub(crate) fn offered_norm(&mut self) -> Option<(i64, NormPlace, NormId, String)> {
        self.norms.pop()
    }

    /// The list, with what is frozen.
    pub(crate) fn finish(mut self) -> (Vec<ParameterSpec>, Vec<TaskMap>) {
        for spec in &mut self.specs {
            let embedding = spec.module == Module::Embeddings;
            spec.trainable = !self
                .config
                .freeze
                .freezes(&spec.name, embedding, spec.layer);
        }
        (self.specs, self.task_maps)
    }
}
