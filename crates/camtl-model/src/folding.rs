//! One task's modules as weights of a plain encoder: what modules fold into, and what stays beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::arch::Encoder;
use crate::error::ModelError;
use crate::execution::modulation::{Film, Modulation, NormRows};
use crate::parameters::spec::{NormId, ParameterId};
use crate::parameters::store::ParameterStore;

/// A module stored beside the plain encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BesideModule {
    /// `attention-bias`, `bottleneck` or `head`.
    pub module: String,
    /// Its tensors in `camtl_task.safetensors`.
    pub tensors: Vec<String>,
    /// How it is applied.
    pub equation: String,
}

/// An export under way.
pub(crate) struct Folding<'a> {
    pub(crate) store: &'a ParameterStore,
    pub(crate) encoder: &'a Encoder,
    pub(crate) modulation: &'a Modulation,
    pub(crate) task: i64,
    /// Parameters of the plain encoder that are not the model's own.
    pub(crate) replaced: BTreeMap<ParameterId, Tensor>,
    /// Tensors that a plain encoder has no place for.
    pub(crate) tensors: Vec<(String, Tensor)>,
    /// Modules that became part of the encoder's weights.
    pub(crate) folded: Vec<String>,
    /// Modules that did not.
    pub(crate) beside: Vec<BesideModule>,
}

impl<'a> Folding<'a> {
    pub(crate) fn new(
        store: &'a ParameterStore,
        encoder: &'a Encoder,
        modulation: &'a Modulation,
        task: i64,
    ) -> Self {
        Folding {
            store,
            encoder,
            modulation,
            task,
            replaced: BTreeMap::new(),
            tensors: Vec::new(),
            folded: Vec::new(),
            beside: Vec::new(),
        }
    }

    /// The parameter as the plain encoder has it so far.
    pub(crate) fn parameter(&self, id: ParameterId) -> Result<Tensor, ModelError> {
        match self.replaced.get(&id) {
            Some(tensor) => Ok(tensor.shallow_clone()),
            None => self.store.value(id),
        }
    }

    pub(crate) fn replace(&mut self, id: ParameterId, value: Tensor) {
        self.replaced.insert(id, value);
    }

    /// The task's `1+γ` and β, `[D]` each.
    pub(crate) fn film(&self, rows: &Film) -> Result<(Tensor, Tensor), ModelError> {
        let gain = rows.gamma.f_select(0, self.task)?.f_add_scalar(1.0)?;
        Ok((gain, rows.beta.f_select(0, self.task)?))
    }

    /// The task's weight and bias of a norm, `[D]` each; its own without rows.
    pub(crate) fn norm(
        &self,
        id: NormId,
        rows: Option<&NormRows>,
    ) -> Result<(Tensor, Tensor), ModelError> {
        let Some(rows) = rows else {
            return Ok((self.parameter(id.weight)?, self.parameter(id.bias)?));
        };
        let bias = match rows.bias.dim() {
            2 => rows.bias.f_select(0, self.task)?,
            _ => rows.bias.shallow_clone(),
        };
        Ok((rows.weight.f_select(0, self.task)?, bias))
    }

    /// Notes that a module became part of the encoder's weights.
    pub(crate) fn folded(&mut self, what: &str) {
        self.folded.push(what.to_string());
    }

    /// Puts a module beside the encoder.
    pub(crate) fn beside(&mut self, module: &str, tensors: Vec<(String, Tensor)>, equation: &str) {
        self.beside.push(BesideModule {
            module: module.to_string(),
            tensors: tensors.iter().map(|(name, _)| name.clone()).collect(),
            equation: equation.to_string(),
        });
        self.tensors.extend(tensors);
    }
}
