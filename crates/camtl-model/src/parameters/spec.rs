//! The list of a model's parameters: names, shapes, how each starts, what it belongs to.
//!
//! Everything else derives from this list: the parameter store, the report of [`crate::parameters::report`],
//! the strict loader. Names are the released code's state-dict names, so its weights (and the
//! pretrained encoder's) are found by name.

use crate::config::EncoderConfig;
use crate::config::ModelConfig;
use crate::config::{
    AttentionModulation, BottleneckResidual, GeneratorInit, MethodConfig, TaskVectorInit,
    block_width,
};
use crate::error::ModelError;

/// What a parameter belongs to, as the parameter report groups it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Module {
    /// Word, position and segment embeddings with their norm.
    Embeddings,
    /// Transformer layers without the modules below.
    Layers,
    /// The dense layer on the first token.
    Pooler,
    /// FiLM on the embeddings.
    Alignment,
    /// The shared linear map from task embedding to task vector.
    TaskTransformation,
    /// Attention matrices and their generators.
    Attention,
    /// Generators of the conditional layer norms.
    LayerNorm,
    /// Bottleneck adapters, with the norm of CA-MTL base's.
    Bottleneck,
    /// One row per task.
    TaskEmbeddings,
    /// One linear layer per task.
    Heads,
}

impl Module {
    /// All modules in report order.
    pub const ALL: [Module; 10] = [
        Module::Embeddings,
        Module::Layers,
        Module::Pooler,
        Module::Alignment,
        Module::TaskTransformation,
        Module::Attention,
        Module::LayerNorm,
        Module::Bottleneck,
        Module::TaskEmbeddings,
        Module::Heads,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Module::Embeddings => "embeddings",
            Module::Layers => "layers",
            Module::Pooler => "pooler",
            Module::Alignment => "alignment",
            Module::TaskTransformation => "task-transformation",
            Module::Attention => "attention",
            Module::LayerNorm => "layer-norm",
            Module::Bottleneck => "bottleneck",
            Module::TaskEmbeddings => "task-embeddings",
            Module::Heads => "heads",
        }
    }

    /// Whether the module is part of the plain encoder.
    pub fn is_backbone(self) -> bool {
        matches!(self, Module::Embeddings | Module::Layers | Module::Pooler)
    }
}

/// How a parameter starts when no file has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    Zeros,
    Ones,
    Normal(f64),
    /// The identity of a square matrix.
    Identity,
}

/// Parameters whose rows lie side by side in memory, so that one matrix product computes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Block {
    /// Query, key and value weights of one layer; in the last layer key and value only, because
    /// its queries are computed for first tokens alone.
    QkvWeight(i64),
    /// The biases likewise.
    QkvBias(i64),
    /// Weights of all linear maps that read the transformed task vector.
    TaskMapWeight,
    /// Their biases.
    TaskMapBias,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParameterSpec {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) module: Module,
    pub(crate) init: Init,
    pub(crate) block: Option<Block>,
    /// Name in the plain encoder's file (without `bert.`), if it comes from there.
    pub(crate) pretrained: Option<String>,
    pub(crate) trainable: bool,
}

impl ParameterSpec {
    pub(crate) fn numel(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Whether AdamW's weight decay applies: the released rule, by name.
    pub(crate) fn decays(&self) -> bool {
        !self.name.contains("bias") && !self.name.contains("LayerNorm.weight")
    }
}

/// Names of one layer's sublayers: the top layer of CA-MTL base has its own when it starts from
/// scratch.
#[derive(Debug, Clone)]
pub(crate) struct LayerNames {
    pub(crate) attention: String,
    pub(crate) intermediate: String,
    pub(crate) output: String,
    pub(crate) adapter: String,
}

impl LayerNames {
    pub(crate) fn new(method: &MethodConfig, encoder: &EncoderConfig, layer: i64) -> Self {
        let new = if method.is_from_scratch(encoder, layer) {
            "new_"
        } else {
            ""
        };
        let prefix = format!("bert.encoder.layer.{layer}");
        LayerNames {
            attention: format!("{prefix}.{new}attention"),
            intermediate: format!("{prefix}.{new}intermediate.dense"),
            output: format!("{prefix}.{new}output"),
            adapter: format!("{prefix}.adapter"),
        }
    }
}

/// Width of the bottleneck: a third of the hidden size, rounded down.
pub(crate) fn bottleneck_width(encoder: &EncoderConfig) -> i64 {
    (encoder.hidden_size / 3).max(1)
}

struct Builder<'a> {
    config: &'a ModelConfig,
    specs: Vec<ParameterSpec>,
}

impl Builder<'_> {
    fn push(
        &mut self,
        name: String,
        shape: &[i64],
        module: Module,
        init: Init,
    ) -> &mut ParameterSpec {
        let pretrained = (module.is_backbone() && !name.contains(".new_"))
            .then(|| name.trim_start_matches("bert.").to_string());
        let trainable = !self.config.freeze.freezes(
            &name,
            self.config.method.attention_generators_in_frozen_layers,
        );
        self.specs.push(ParameterSpec {
            name,
            shape: shape.to_vec(),
            module,
            init,
            block: None,
            pretrained,
            trainable,
        });
        let last = self.specs.len() - 1;
        &mut self.specs[last]
    }

    /// How the linear maps between the task embedding and the generators start.
    fn task_map(&self) -> Init {
        match self.config.method.task_vector_init {
            TaskVectorInit::Small => self.normal(),
            TaskVectorInit::Unit => Init::Identity,
        }
    }

    fn normal(&self) -> Init {
        Init::Normal(self.config.encoder.initializer_range)
    }

    /// A linear layer `name.weight` [out, inputs] and `name.bias` [out].
    fn linear(&mut self, name: &str, out: i64, inputs: i64, module: Module) {
        let init = self.normal();
        self.push(format!("{name}.weight"), &[out, inputs], module, init);
        self.push(format!("{name}.bias"), &[out], module, Init::Zeros);
    }

    /// A generator `name.gb_weights`: a linear map from D to `out`.
    fn generator(&mut self, name: &str, out: i64, module: Module, of_task_vector: bool) {
        let init = match self.config.method.generator_init {
            GeneratorInit::Normal => self.normal(),
            GeneratorInit::Zero => Init::Zeros,
        };
        let width = self.config.encoder.hidden_size;
        let block = |block| of_task_vector.then_some(block);
        self.push(
            format!("{name}.gb_weights.weight"),
            &[out, width],
            module,
            init,
        )
        .block = block(Block::TaskMapWeight);
        self.push(
            format!("{name}.gb_weights.bias"),
            &[out],
            module,
            Init::Zeros,
        )
        .block = block(Block::TaskMapBias);
    }

    fn norm(&mut self, name: &str, module: Module, conditional: bool) {
        let width = self.config.encoder.hidden_size;
        self.push(format!("{name}.weight"), &[width], module, Init::Ones);
        self.push(format!("{name}.bias"), &[width], module, Init::Zeros);
        if conditional {
            let owner = if module == Module::Layers {
                Module::LayerNorm
            } else {
                module
            };
            self.generator(
                &format!("{name}.ln_weight_modulation"),
                2 * width,
                owner,
                true,
            );
        }
    }

    fn bottleneck(&mut self, name: &str) {
        let width = self.config.encoder.hidden_size;
        let narrow = bottleneck_width(&self.config.encoder);
        let init = self.task_map();
        self.push(
            format!("{name}.emb_transf.weight"),
            &[width, width],
            Module::Bottleneck,
            init,
        )
        .block = Some(Block::TaskMapWeight);
        self.push(
            format!("{name}.emb_transf.bias"),
            &[width],
            Module::Bottleneck,
            Init::Zeros,
        )
        .block = Some(Block::TaskMapBias);
        self.generator(
            &format!("{name}.hidden_modulation"),
            2 * width,
            Module::Bottleneck,
            false,
        );
        self.linear(
            &format!("{name}.down_proj_layer"),
            narrow,
            width,
            Module::Bottleneck,
        );
        self.linear(
            &format!("{name}.up_proj_layer"),
            width,
            narrow,
            Module::Bottleneck,
        );
        let method = &self.config.method;
        if method.bottleneck_residual == BottleneckResidual::LayerOutput
            && method.generator_init == GeneratorInit::Zero
        {
            // h + bottleneck(h) is then h at the start; the bias starts at zero anyway.
            let up = self.specs.len() - 2;
            self.specs[up].init = Init::Zeros;
        }
    }

    fn layer(&mut self, layer: i64) {
        let encoder = self.config.encoder.clone();
        let method = self.config.method.clone();
        let width = encoder.hidden_size;
        let names = LayerNames::new(&method, &encoder, layer);
        let init = self.normal();
        let attention = format!("{}.self", names.attention);
        let conditional_norm = method.has_layer_norm(&encoder, layer);

        if method.has_attention(&encoder, layer) {
            let length = self.config.max_length as i64;
            let block = block_width(&encoder, self.config.max_length);
            let name = format!("{attention}.random_weight_matrix");
            self.push(name, &[length, block], Module::Attention, Init::Zeros);
            let out = match method.attention_modulation {
                AttentionModulation::PerColumn => 2 * block,
                AttentionModulation::PerElement => 2 * block * block,
            };
            let name = format!("{attention}.cond_block_diag_attn");
            self.generator(&name, out, Module::Attention, true);
        }
        for part in ["query", "key", "value"] {
            let joint = part != "query" || layer + 1 < encoder.num_hidden_layers;
            let name = format!("{attention}.{part}.weight");
            self.push(name, &[width, width], Module::Layers, init).block =
                joint.then_some(Block::QkvWeight(layer));
            let name = format!("{attention}.{part}.bias");
            self.push(name, &[width], Module::Layers, Init::Zeros).block =
                joint.then_some(Block::QkvBias(layer));
        }
        self.linear(
            &format!("{}.output.dense", names.attention),
            width,
            width,
            Module::Layers,
        );
        let norm = format!("{}.output.LayerNorm", names.attention);
        self.norm(&norm, Module::Layers, conditional_norm);
        self.linear(
            &names.intermediate,
            encoder.intermediate_size,
            width,
            Module::Layers,
        );
        let dense = format!("{}.dense", names.output);
        self.linear(&dense, width, encoder.intermediate_size, Module::Layers);
        let norm = format!("{}.LayerNorm", names.output);
        self.norm(&norm, Module::Layers, conditional_norm);
        if method.has_base_bottleneck(&encoder, layer) {
            self.bottleneck(&format!("{}.bottleneck", names.adapter));
            if method.bottleneck_residual == BottleneckResidual::Released {
                let norm = format!("{}.condlayernorm", names.adapter);
                self.norm(&norm, Module::Bottleneck, method.conditional_layer_norm);
            }
        }
    }
}

/// The parameters of a checked configuration, in the released state dict's order.
pub(crate) fn parameter_specs(config: &ModelConfig) -> Result<Vec<ParameterSpec>, ModelError> {
    config.check()?;
    let encoder = &config.encoder;
    let method = &config.method;
    let width = encoder.hidden_size;
    let mut builder = Builder {
        config,
        specs: Vec::new(),
    };
    let init = builder.normal();
    if method.is_conditional() {
        let name = "bert.task_type_embeddings.weight".to_string();
        let tasks = config.tasks.len() as i64;
        let start = match method.task_vector_init {
            TaskVectorInit::Small => init,
            TaskVectorInit::Unit => Init::Normal((width as f64).sqrt().recip()),
        };
        builder.push(name, &[tasks, width], Module::TaskEmbeddings, start);
    }
    if method.conditional_alignment {
        let name = "bert.conditional_alignment";
        builder.generator(name, 2 * width, Module::Alignment, false);
    }
    for (part, rows) in [
        ("word", encoder.vocab_size),
        ("position", encoder.max_position_embeddings),
        ("token_type", encoder.type_vocab_size),
    ] {
        let name = format!("bert.embeddings.{part}_embeddings.weight");
        builder.push(name, &[rows, width], Module::Embeddings, init);
    }
    builder.norm("bert.embeddings.LayerNorm", Module::Embeddings, false);
    if method.reads_transformed_task() {
        let name = "bert.encoder.task_transformation";
        builder.linear(name, width, width, Module::TaskTransformation);
        let weight = builder.specs.len() - 2;
        builder.specs[weight].init = builder.task_map();
    }
    for layer in 0..encoder.num_hidden_layers {
        builder.layer(layer);
    }
    if method.has_skip_path() {
        for layer in 0..encoder.num_hidden_layers {
            builder.bottleneck(&format!("bert.encoder.adapter_layer.{layer}"));
        }
    }
    builder.linear("bert.pooler.dense", width, width, Module::Pooler);
    for (task, head) in config.tasks.iter().enumerate() {
        let name = format!("decoders.{task}.model");
        let [outputs, inputs] = head.weight_shape(width);
        builder.linear(&name, outputs, inputs, Module::Heads);
    }
    let names = builder.specs.iter().map(|spec| spec.name.as_str());
    config.freeze.check(encoder.num_hidden_layers, names)?;
    Ok(builder.specs)
}
