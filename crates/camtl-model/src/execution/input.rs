//! The input of a forward pass: a packed batch as tensors on the model's device.
//!
//! ```
//! use camtl_model::ModelInput;
//! use camtl_ops::Packing;
//! use tch::Device;
//!
//! // Two sequences of three and two tokens, tasks 0 and 1.
//! let packing = Packing::new(&[0, 3, 5], &[0, 1], Device::Cpu).unwrap();
//! let input =
//!     ModelInput::new(&[2, 7, 3, 2, 3], &[0; 5], &[0, 1, 2, 0, 1], packing).unwrap();
//! assert_eq!(input.packing().num_sequences(), 2);
//! ```

use std::rc::Rc;

use camtl_ops::{Packing, overwrite, upload};
use tch::Tensor;

use crate::error::ModelError;

/// Token ids, segments and positions of N packed tokens, with their layout.
#[derive(Debug)]
pub struct ModelInput {
    /// The next three side by side, so that one copy brings them to the device.
    ids: Tensor,
    pub(crate) input_ids: Tensor,
    pub(crate) token_type_ids: Tensor,
    /// 0-based within each sequence, whatever the encoder.
    pub(crate) position_ids: Tensor,
    pub(crate) packing: Packing,
    /// Layout of the first tokens alone.
    pub(crate) first_tokens: Rc<Packing>,
    pub(crate) max_position: i64,
}

impl ModelInput {
    /// Copies the batch to the packing's device. `position_ids` count from 0 in every sequence.
    ///
    /// # Errors
    /// The three lists and the packing differ in length, or a position is negative.
    pub fn new(
        input_ids: &[i64],
        token_type_ids: &[i64],
        position_ids: &[i64],
        packing: Packing,
    ) -> Result<Self, ModelError> {
        let tokens = packing.num_tokens();
        for (what, found) in [
            ("input_ids", input_ids.len()),
            ("token_type_ids", token_type_ids.len()),
            ("position_ids", position_ids.len()),
        ] {
            if found as i64 != tokens {
                return Err(ModelError::Input(format!(
                    "{what} has {found} entries, but the packing has {tokens} tokens"
                )));
            }
        }
        if let Some(position) = position_ids.iter().find(|position| **position < 0) {
            return Err(ModelError::Input(format!("position_ids holds {position}")));
        }
        let ids = [input_ids, token_type_ids, position_ids].concat();
        let ids = upload(&ids, packing.device())?;
        Ok(ModelInput {
            input_ids: ids.f_narrow(0, 0, tokens)?,
            token_type_ids: ids.f_narrow(0, tokens, tokens)?,
            position_ids: ids.f_narrow(0, 2 * tokens, tokens)?,
            ids,
            max_position: position_ids.iter().copied().max().unwrap_or(0),
            first_tokens: Rc::new(packing.first_only()?),
            packing,
        })
    }

    /// Takes over another batch, in place: every tensor stays at its address, where a captured graph
    /// finds it. See [`Packing::assign`]; `other` may lie on another device.
    ///
    /// # Errors
    /// The numbers of sequences or tokens differ, `other` does not keep the bounds of this packing, an
    /// [`Output`](crate::Output) of this input is still in use, or a copy fails.
    pub fn assign(&mut self, other: &ModelInput) -> Result<(), ModelError> {
        let first_tokens = Rc::get_mut(&mut self.first_tokens).ok_or_else(|| {
            ModelError::Input(
                "an output of this input is still in use; drop it before the input takes over another batch"
                    .to_owned(),
            )
        })?;
        self.packing.assign(&other.packing)?;
        first_tokens.assign(&other.first_tokens)?;
        overwrite(&mut self.ids, &other.ids)?;
        self.max_position = other.max_position;
        Ok(())
    }

    /// The batch's layout.
    pub fn packing(&self) -> &Packing {
        &self.packing
    }
}
