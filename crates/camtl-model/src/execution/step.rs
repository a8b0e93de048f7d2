//! One modulation table for all micro-batches of a training step.
//!
//! [`Model::forward`] evaluates the generators for its own batch. A step that accumulates gradients
//! over several micro-batches would evaluate them, and go back through them, once per micro-batch.
//! A [`StepModulation`] cuts the graph at the table: micro-batches add their gradients up there, and
//! one backward pass at the end carries the sum through the generators.
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, Preset, StepModulation, TaskHead, Variant};
//! use camtl_ops::{Packing, Targets};
//! use tch::{Device, Kind};
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 48, 2, 4, 96, 32),
//!     method: MethodConfig::new(Preset::Released, Variant::Base),
//!     tasks: vec![TaskHead::classification("rte", 2)],
//!     max_length: 16,
//!     freeze: Default::default(),
//! };
//! let model = Model::new(&config, Device::Cpu, 1).unwrap();
//! let step = StepModulation::new(&model).unwrap();
//! for _micro_batch in 0..2 {
//!     let packing = Packing::new(&[0, 3], &[0], Device::Cpu).unwrap();
//!     let input = ModelInput::new(&[2, 7, 3], &[0; 3], &[0, 1, 2], packing).unwrap();
//!     let output = model.forward_with(&input, step.modulation(), None).unwrap();
//!     let targets = Targets::new(&[1], &[0.0], Device::Cpu).unwrap();
//!     let heads = model.heads(&output, Some(&targets), None).unwrap();
//!     heads.loss.unwrap().sum(Kind::Float).backward();
//! }
//! step.backward().unwrap();
//! let name = "bert.encoder.task_transformation.weight";
//! assert!(model.parameters().grad(name).unwrap().unwrap().abs().max().double_value(&[]) > 0.0);
//! ```

use tch::{Kind, Tensor};

use crate::error::ModelError;
use crate::execution::modulation::Modulation;
use crate::model::Model;

/// A modulation table that collects gradients over the micro-batches of one step.
#[derive(Debug)]
pub struct StepModulation {
    table: Modulation,
    /// Each tensor of the graph with the leaf that stands for it in the table.
    cuts: Vec<(Tensor, Tensor)>,
}

impl StepModulation {
    /// Evaluates the generators of `model` once.
    ///
    /// # Errors
    /// libtorch refuses.
    pub fn new(model: &Model) -> Result<Self, ModelError> {
        let mut cuts = Vec::new();
        let table = model.modulation()?.map(&mut |tensor| {
            // A parameter that is its own table entry (a norm's bias) collects its gradient itself.
            if !tensor.requires_grad() || tensor.is_leaf() {
                return Ok(tensor.shallow_clone());
            }
            let leaf = tensor.f_detach()?.f_set_requires_grad(true)?;
            cuts.push((tensor.shallow_clone(), leaf.shallow_clone()));
            Ok(leaf)
        })?;
        Ok(StepModulation { table, cuts })
    }

    /// The table for [`Model::forward_with`].
    pub fn modulation(&self) -> &Modulation {
        &self.table
    }

    /// Carries the collected gradients through the generators, after the last micro-batch's own
    /// backward pass.
    ///
    /// # Errors
    /// libtorch refuses.
    pub fn backward(self) -> Result<(), ModelError> {
        let mut total: Option<Tensor> = None;
        for (source, leaf) in &self.cuts {
            let gradient = leaf.f_grad()?;
            if !gradient.defined() {
                continue;
            }
            // The gradient of sum(source * g) with respect to source is g.
            let term = source.f_mul(&gradient)?.f_sum(Kind::Float)?;
            total = Some(match total {
                Some(sum) => sum.f_add(&term)?,
                None => term,
            });
        }
        match total {
            Some(total) => Ok(total.f_backward()?),
            None => Ok(()),
        }
    }
}
