//! Clipping by the global norm of a flat gradient, without waiting for a device.
//!
//! ```
//! use camtl_ops::{clip_coefficient, grad_norm};
//! use tch::Tensor;
//!
//! let norm = grad_norm(&Tensor::from_slice(&[3f32, 4.]))?;
//! assert_eq!(f64::try_from(&norm)?, 5.0);
//! let coefficient = f64::try_from(clip_coefficient(&norm, 1.0)?)?;
//! assert!((coefficient - 1.0 / (5.0 + 1e-6)).abs() < 1e-7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::{Kind, Tensor};

use crate::error::{OpsError, Result};
use crate::{check, cuda, fused};

/// Euclidean norm of a flat gradient, a scalar tensor on its device. The order
/// of summation is fixed, so the same input gives the same bits.
///
/// # Errors
/// [`OpsError::Shape`] if `flat` is not one-dimensional.
pub fn grad_norm(flat: &Tensor) -> Result<Tensor> {
    let op = "grad_norm";
    if flat.dim() != 1 {
        return Err(OpsError::shape(op, "flat", "[n]", flat));
    }
    check::floating(op, "flat", flat)?;
    if let Some(kernels) = fused::kernels(flat, [], cuda::for_flat)? {
        return kernels.norm(flat).map_err(|e| e.within(op));
    }
    tch::no_grad(|| flat.f_norm()).map_err(|e| OpsError::from(e).within(op))
}

/// `min(1, max_norm / (norm + 1e-6))`, a scalar tensor on the norm's device: the
/// factor by which `torch.nn.utils.clip_grad_norm_` scales gradients. NaN stays
/// NaN.
///
/// # Errors
/// [`OpsError::Value`] if `max_norm` is not above 0.
pub fn clip_coefficient(norm: &Tensor, max_norm: f64) -> Result<Tensor> {
    let op = "clip_coefficient";
    if max_norm.is_nan() || max_norm <= 0.0 {
        return Err(OpsError::Value {
            op,
            message: format!("max_norm {max_norm} is not above 0"),
        });
    }
    tch::no_grad(|| {
        let scale = (norm.f_to_kind(Kind::Float)?.f_add_scalar(1e-6)?).f_reciprocal()?;
        scale.f_mul_scalar(max_norm)?.f_clamp_max(1.0)
    })
    .map_err(|e| OpsError::from(e).within(op))
}
