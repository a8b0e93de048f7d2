//! Linear maps of the store in the forms that products take, and the step that keeps them.

use camtl_ops::{AdamWOptions, AdamWState, adamw_flat, adamw_flat_lowered};
use tch::Tensor;

use super::ParameterStore;
use crate::error::ModelError;
use crate::execution::linear_map::{LinearMap, LoweredCopies};
use crate::parameters::spec::{Block, LinearId, ParameterId};

impl ParameterStore {
    /// One AdamW step of all trained parameters with the gradient in [`ParameterStore::flat_grad`];
    /// `clip` is a factor on it. `state` is of [`ParameterStore::flat`].
    ///
    /// # Errors
    /// The state or an option does not fit.
    pub fn adamw(
        &self,
        state: &mut AdamWState,
        options: &AdamWOptions,
        clip: Option<&Tensor>,
    ) -> Result<(), ModelError> {
        let mut flat = self.flat();
        let gradient = &self.flat_grad;
        match self.lowered.borrow_mut().as_mut() {
            None => adamw_flat(state, &mut flat, gradient, options, clip)?,
            Some(copies) => {
                let lowered = &mut copies.flat;
                adamw_flat_lowered(state, &mut flat, lowered, gradient, options, clip)?;
                copies.flat_version = self.flat.f_internal_version()?;
            }
        }
        Ok(())
    }

    /// Makes the bfloat16 copies those of the parameters as they are now.
    pub(crate) fn lower(&self) -> Result<(), ModelError> {
        let versions = self.versions()?;
        let frozen: Vec<Option<&Tensor>> = self
            .leaves
            .iter()
            .map(|leaf| (leaf.offset.is_none() && leaf.in_products).then_some(&leaf.tensor))
            .collect();
        let mut copies = self.lowered.borrow_mut();
        match copies.as_mut() {
            Some(copies) => copies.refresh(&self.flat, &frozen, versions),
            None => {
                *copies = Some(LoweredCopies::new(&self.flat, &frozen, versions)?);
                Ok(())
            }
        }
    }

    /// A linear map for a forward pass with gradient tracking; with `lowered`, also copies as of the
    /// last [`ParameterStore::lower`].
    pub(crate) fn linear(&self, id: LinearId, lowered: bool) -> Result<LinearMap, ModelError> {
        let copy = |id: ParameterId| self.rows_at(id.0, |leaf| self.lowered_leaf(leaf));
        Ok(LinearMap {
            weight: self.tracked(id.weight)?,
            bias: self.tracked(id.bias)?,
            lowered: lowered
                .then(|| Ok::<_, ModelError>((copy(id.weight)?, copy(id.bias)?)))
                .transpose()?,
        })
    }

    /// The same for all rows of two blocks.
    pub(crate) fn linear_of_blocks(
        &self,
        weight: Block,
        bias: Block,
        lowered: bool,
    ) -> Result<LinearMap, ModelError> {
        let copy = |block| self.rows_of_block(block, |leaf| self.lowered_leaf(leaf));
        Ok(LinearMap {
            weight: self.rows_of_block(weight, |leaf| self.tracked_leaf(leaf))?,
            bias: self.rows_of_block(bias, |leaf| self.tracked_leaf(leaf))?,
            lowered: lowered
                .then(|| Ok::<_, ModelError>((copy(weight)?, copy(bias)?)))
                .transpose()?,
        })
    }

    fn lowered_leaf(&self, at: usize) -> Result<Tensor, ModelError> {
        let leaf = &self.leaves[at];
        let copies = self.lowered.borrow();
        let copies = copies.as_ref();
        let copy = match leaf.offset {
            Some(offset) => copies.map(|copies| {
                let numel = leaf.tensor.numel() as i64;
                copies
                    .flat
                    .f_narrow(0, offset, numel)?
                    .f_view(&leaf.tensor.size()[..])
            }),
            None => copies
                .and_then(|copies| copies.frozen[at].as_ref())
                .map(|copy| Ok(copy.shallow_clone())),
        };
        match copy {
            Some(copy) => Ok(copy?),
            None => Err(ModelError::Input(
                "parameters were not converted before a product in mixed precision".to_owned(),
            )),
        }
    }
}
