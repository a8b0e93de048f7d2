//! What is known of a parameter before it has memory.

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

/// A parameter's place in the model's list: what modules keep instead of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParameterId(pub(super) usize);

/// Weight [out, in] and bias `[out]` of a linear map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinearId {
    pub(crate) weight: ParameterId,
    pub(crate) bias: ParameterId,
}

/// Weight and bias of a layer norm, `[D]` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NormId {
    pub(crate) weight: ParameterId,
    pub(crate) bias: ParameterId,
}

/// One parameter. Everything that depends on what it is for is said here, where it is declared;
/// nothing is guessed from its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParameterSpec {
    /// Released state-dict name.
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) module: Module,
    pub(crate) init: Init,
    pub(crate) block: Option<Block>,
    /// Its name in a plain encoder, without the model's prefix, if one has it.
    pub(crate) plain: Option<String>,
    /// Whether it starts new although a plain encoder has it.
    pub(crate) from_scratch: bool,
    /// Whether the table of modulations is computed from it.
    pub(crate) in_table: bool,
    /// Whether its first dimension counts tasks.
    pub(crate) per_task: bool,
    /// Whether AdamW's weight decay applies.
    pub(crate) decays: bool,
    /// The layer that it is frozen with, if any.
    pub(crate) layer: Option<i64>,
    pub(crate) trainable: bool,
}

impl ParameterSpec {
    pub(crate) fn numel(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Name in a plain encoder's file, if it comes from there.
    pub(crate) fn pretrained(&self) -> Option<&str> {
        self.plain.as_deref().filter(|_| !self.from_scratch)
    }
}
