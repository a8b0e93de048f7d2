//! The largest of a number of scores: the most uncertain of the candidates.
//!
//! ```
//! use camtl_ops::top_scores;
//! use tch::Tensor;
//!
//! let best = top_scores(&Tensor::from_slice(&[0.5f32, 2., f32::NAN, 2.]), 3)?;
//! assert_eq!(Vec::<i64>::try_from(best)?, [1, 3, 0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::Tensor;

use crate::error::{OpsError, Result};
use crate::{cuda, fused, slow};

/// Indices of the `wanted` largest of `scores` (`[n]`), falling, ties to the lower index,
/// NaN last: `[wanted]` int64 on the same device.
///
/// # Errors
/// [`OpsError`] if more are wanted than there are, or `scores` is not one-dimensional.
pub fn top_scores(scores: &Tensor, wanted: i64) -> Result<Tensor> {
    let op = "top_scores";
    let [count] = scores.size()[..] else {
        return Err(OpsError::shape(op, "scores", "[n]", scores));
    };
    if !(0..=count).contains(&wanted) {
        return Err(OpsError::Value {
            op,
            message: format!("{wanted} of {count} scores wanted"),
        });
    }
    if let Some(kernels) = fused::kernels(scores, [], cuda::for_flat)? {
        return kernels.top_scores(scores, wanted).map_err(|e| e.within(op));
    }
    slow::top_scores(scores, wanted).map_err(|e| e.within(op))
}
