//! BERT-style encoders with the conditional modules of CA-MTL.
//!
//! One encoder serves many tasks; a task embedding modulates its embeddings, attention, norms and
//! bottleneck adapters (*Conditionally Adaptive Multi-Task Learning*, ICLR 2021). Batches are packed:
//! no padding token exists. Module by module:
//!
//! | module | is about |
//! |---|---|
//! | [`config`] | the encoder's `config.json` |
//! | [`method`] | the method's switches and presets |
//! | [`freeze`] | what is trained |
//! | [`params`] | parameter counts from shapes alone |
//! | [`store`] | flat parameters and gradients |
//! | [`modulation`] | the table of task modulations |
//! | [`heads`] | what each kind of head reads, its loss and uncertainty |
//! | [`step`] | one table for several micro-batches |
//! | [`model`] | the model and its forward pass |
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
mod bucket;
pub mod config;
mod encoder;
mod error;
pub mod export;
pub mod freeze;
pub mod graphs;
mod group;
pub mod heads;
mod init;
pub mod input;
mod layout;
mod lowered;
pub mod manifest;
pub mod method;
pub mod model;
pub mod modulation;
pub mod params;
pub mod step;
pub mod store;
mod tiles;
pub mod trace;
pub mod weights;

pub use bucket::Bucket;
pub use config::{Activation, EncoderConfig, ModelType};
pub use error::ModelError;
pub use export::{BesideModule, HfExport};
pub use freeze::Freeze;
pub use graphs::{Gradients, PlainBatch, StepGraphs};
pub use group::ParameterGroup;
pub use heads::{ExampleHeads, ExampleLayout, HeadKind, TaskHead, TaskLogits};
pub use input::ModelInput;
pub use layout::Module;
pub use manifest::Manifest;
pub use method::{
    AttentionLayers, AttentionModulation, BaseTopLayer, BottleneckResidual,
    FrozenAttentionGenerators, GeneratorInit, HeadBiasInit, LayerNormModulation, MethodConfig,
    MethodOptions, Preset, TaskVectorInit, Variant,
};
pub use model::{Model, ModelConfig, Output};
pub use modulation::{Film, Modulation, NormRows};
pub use params::{ModuleCount, ParameterReport};
pub use step::StepModulation;
pub use store::{ParameterEntry, ParameterStore};
pub use trace::Trace;
pub use weights::{LoadReport, WeightError};
