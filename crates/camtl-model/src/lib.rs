//! BERT-style encoders with the conditional modules of CA-MTL.
//!
//! One encoder serves many tasks; a task embedding modulates its embeddings, attention, norms and
//! bottleneck adapters (*Conditionally Adaptive Multi-Task Learning*, ICLR 2021). Batches are packed:
//! no padding token exists. Module by module:
//!
//! | module | is about |
//! |---|---|
//! | [`config`] | what a model is made from: encoder, method, tasks, what is frozen |
//! | [`parameters`] | their list, flat memory and gradients, starting values |
//! | [`report`] | parameter counts from shapes alone |
//! | [`modules`] | what makes the encoder depend on the task |
//! | [`heads`] | what each kind of head reads, its loss and uncertainty |
//! | [`model`] | the model and its forward pass |
//! | [`execution`] | inputs, weights in several precisions, steps, captured graphs |
//! | [`weights`] | reading and writing weight files, the only place that does |
//! | [`manifest`] | saving and loading a whole model |
//! | [`adapt`] | one more task for a trained model |
//! | [`export`] | one task as a plain Hugging Face folder |
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, TaskHead};
//! use camtl_ops::Packing;
//! use tch::Device;
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(100, 32, 2, 4, 64, 32),
//!     method: MethodConfig::plain(),
//!     tasks: vec![TaskHead::classification("sentiment", 2)],
//!     max_length: 32,
//!     freeze: Default::default(),
//! };
//! let model = Model::new(&config, Device::Cpu, 0).unwrap();
//! let packing = Packing::new(&[0, 4], &[0], Device::Cpu).unwrap();
//! let input = ModelInput::new(&[2, 40, 41, 3], &[0; 4], &[0, 1, 2, 3], packing).unwrap();
//! let output = model.forward(&input, None).unwrap();
//! let heads = model.heads(&output, None, None).unwrap();
//! assert_eq!(heads.logits[0].1.size(), [1, 2]);
//! ```

pub mod adapt;
mod arch;
pub mod config;
mod error;
pub mod execution;
pub mod export;
mod folding;
pub mod heads;
pub mod manifest;
pub mod model;
pub mod modules;
pub mod parameters;
pub mod report;
mod structure;
pub mod weights;

pub use config::{
    Activation, AttentionLayers, AttentionModulation, BaseTopLayer, BottleneckResidual,
    EncoderConfig, Freeze, FrozenAttentionGenerators, GeneratorInit, HeadBiasInit, HeadKind,
    LayerNormModulation, MethodConfig, MethodOptions, ModelConfig, ModelType, Preset, TaskHead,
    TaskVectorInit, Variant,
};
pub use error::ModelError;
pub use execution::{Bucket, Gradients, ModelInput, PlainBatch, StepGraphs, StepModulation, Trace};
pub use export::HfExport;
pub use folding::BesideModule;
pub use heads::{ExampleHeads, ExampleLayout, TaskLogits};
pub use manifest::Manifest;
pub use model::{Model, Output};
pub use modules::{Film, Modulation, NormRows};
pub use parameters::{Module, ParameterEntry, ParameterGroup, ParameterStore};
pub use report::{ModuleCount, ParameterReport};
pub use weights::{LoadReport, WeightError};
