//! What a model is made from: the encoder's shapes, the method's switches, the tasks, what is frozen.
//!
//! These are values that files hold; nothing here knows parameters or tensors.

mod encoder;
mod freeze;
mod head;
mod method;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

pub use encoder::{Activation, EncoderConfig, ModelType};
pub use freeze::Freeze;
pub use head::{HeadKind, TaskHead};
pub(crate) use method::block_width;
pub use method::{
    AttentionLayers, AttentionModulation, BaseTopLayer, BottleneckResidual,
    FrozenAttentionGenerators, GeneratorInit, HeadBiasInit, LayerNormModulation, MethodConfig,
    MethodOptions, Preset, TaskVectorInit, Variant,
};

/// Everything that fixes a model's parameters: encoder shapes, method switches, tasks, the longest
/// sequence L and what is frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The encoder's shapes.
    pub encoder: EncoderConfig,
    /// The method's switches.
    pub method: MethodConfig,
    /// The tasks; a batch's task index points into this list.
    pub tasks: Vec<TaskHead>,
    /// Longest sequence L in tokens; conditional attention's block arithmetic starts from it.
    pub max_length: usize,
    /// What is frozen.
    #[serde(default)]
    pub freeze: Freeze,
}

impl ModelConfig {
    /// Checks that everything fits together.
    ///
    /// # Errors
    /// The first thing that does not, with what would be right.
    pub fn check(&self) -> Result<(), ModelError> {
        self.encoder.check("encoder configuration")?;
        self.method.check(&self.encoder, self.max_length)?;
        if self.tasks.is_empty() {
            return Err(ModelError::config(
                "tasks",
                "a model needs at least one task",
            ));
        }
        for (index, task) in self.tasks.iter().enumerate() {
            let field = format!("tasks[{index}] `{}`", task.name);
            if self.tasks[..index]
                .iter()
                .any(|earlier| earlier.name == task.name)
            {
                return Err(ModelError::config(
                    field,
                    "two tasks have this name; rename one",
                ));
            }
            task.check(&field)?;
        }
        Ok(())
    }
}
