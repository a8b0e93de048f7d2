//! The largest scores by a stable sort.

use tch::Tensor;

use crate::error::Result;

/// Definition of [`top_scores`](crate::top_scores).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn top_scores(scores: &Tensor, wanted: i64) -> Result<Tensor> {
    // A stable sort keeps ties in the order of their indices.
    let ranked = scores.f_nan_to_num(f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY)?;
    let (_, order) = ranked.f_sort_stable(true, 0, true)?;
    Ok(order.f_narrow(0, 0, wanted)?)
}
