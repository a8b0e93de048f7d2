//! One forward pass: what does not change on the way, and the steps that everyone composes.

use camtl_ops::{Dropout, DropoutStream, Packing, cond_layer_norm};
use tch::Tensor;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::execution::input::ModelInput;
use crate::execution::invariance;
use crate::execution::linear_map::LinearMap;
use crate::execution::modulation::{Modulation, NormRows};
use crate::execution::trace::Trace;
use crate::parameters::spec::{Block, LinearId, NormId};
use crate::parameters::store::ParameterStore;

/// Which rows of the encoder's output are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    All,
    FirstTokens,
}

/// Hidden states with the layout of their rows.
pub(crate) struct Hidden<'a> {
    pub(crate) rows: Tensor,
    pub(crate) layout: &'a Packing,
}

pub(crate) struct Pass<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) store: &'a ParameterStore,
    pub(crate) modulation: &'a Modulation,
    pub(crate) input: &'a ModelInput,
    pub(crate) dropout: Option<&'a mut DropoutStream>,
    /// Whether no sequence's numbers may depend on the others.
    pub(crate) batch_invariant: bool,
    /// Whether products take the store's bfloat16 copies.
    pub(crate) lowered: bool,
    pub(crate) rows: Rows,
    pub(crate) trace: Option<&'a mut Trace>,
}

impl<'a> Pass<'a> {
    /// The next mask with the hidden states' probability.
    pub(crate) fn hidden_dropout(&mut self) -> Option<Dropout> {
        let p = self.config.encoder.hidden_dropout_prob;
        self.dropout
            .as_deref_mut()
            .and_then(|stream| stream.next_with(p))
    }

    /// The next mask with the attention probabilities' probability.
    pub(crate) fn attention_dropout(&mut self) -> Option<Dropout> {
        let p = self.config.encoder.attention_probs_dropout_prob;
        self.dropout
            .as_deref_mut()
            .and_then(|stream| stream.next_with(p))
    }

    /// Rows of one tile, if the pass is to be batch-invariant.
    pub(crate) fn tile(&self) -> Option<i64> {
        self.batch_invariant.then_some(invariance::ROWS)
    }

    pub(crate) fn map(&self, id: LinearId) -> Result<LinearMap, ModelError> {
        self.store.linear(id, self.lowered)
    }

    pub(crate) fn linear(&self, x: &Tensor, id: LinearId) -> Result<Tensor, ModelError> {
        self.map(id)?.apply(x, self.tile())
    }

    /// All rows of two blocks as one map.
    pub(crate) fn linear_of_blocks(
        &self,
        x: &Tensor,
        weight: Block,
        bias: Block,
    ) -> Result<Tensor, ModelError> {
        self.store
            .linear_of_blocks(weight, bias, self.lowered)?
            .apply(x, self.tile())
    }

    /// `LN(dropout(x) + residual)` with the task's weight where there is one.
    pub(crate) fn norm(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        id: NormId,
        rows: Option<&NormRows>,
        dropout: Option<Dropout>,
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        let eps = self.config.encoder.layer_norm_eps;
        let own;
        let (weight, bias) = match rows {
            Some(rows) => (&rows.weight, &rows.bias),
            None => {
                own = (self.store.tracked(id.weight)?, self.store.tracked(id.bias)?);
                (&own.0, &own.1)
            }
        };
        Ok(cond_layer_norm(
            x, residual, weight, bias, eps, dropout, layout,
        )?)
    }

    /// Rows of the first tokens.
    pub(crate) fn first_rows(&self, rows: &Tensor) -> Result<Tensor, ModelError> {
        Ok(rows.f_index_select(0, self.input.packing.first_rows())?)
    }

    /// The hidden states of first tokens alone, if only they are needed; `hidden` may be so already.
    pub(crate) fn needed(&self, hidden: &Hidden<'a>) -> Result<Hidden<'a>, ModelError> {
        let whole = std::ptr::eq(hidden.layout, &raw const self.input.packing);
        Ok(if whole && self.rows == Rows::FirstTokens {
            Hidden {
                rows: self.first_rows(&hidden.rows)?,
                layout: &self.input.first_tokens,
            }
        } else {
            Hidden {
                rows: hidden.rows.shallow_clone(),
                layout: hidden.layout,
            }
        })
    }
}
