//! A linear map whose weight's gradient goes straight into the flat buffer.
//!
//! ```
//! use camtl_ops::{linear, set_grad_view};
//! use tch::{Device, Kind, Tensor};
//!
//! let flat = Tensor::zeros([10], (Kind::Float, Device::Cpu));
//! let mut w = Tensor::ones([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
//! set_grad_view(&mut w, &flat.narrow(0, 0, 6).view([2, 3]))?;
//! let x = Tensor::from_slice(&[1f32, 2., 3.]).view([1, 3]);
//! let y = linear(&x, &w, None)?;
//! y.sum(Kind::Float).backward();
//! assert_eq!(Vec::<f32>::try_from(&flat)?, [1., 2., 3., 1., 2., 3., 0., 0., 0., 0.]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::Tensor;

use crate::error::{OpsError, Result};
use crate::{check, cuda, fused};

/// `y = x w' + b`.
///
/// `x` is `[N, K]`, `weight` is `[D, K]`, `bias` is `[D]`; the result is `[N, D]`.
/// Both products are libtorch's. If `weight` is a leaf whose gradient is a view of
/// a larger buffer ([`set_grad_view`](crate::set_grad_view)), the backward pass
/// adds to it in the product itself.
///
/// # Errors
/// [`OpsError`] naming the tensor that does not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let op = "linear";
    let [_, inputs] = x.size()[..] else {
        return Err(OpsError::shape(op, "x", "[N, K]", x));
    };
    let outputs = weight.size().first().copied().unwrap_or(0);
    check::shape(op, "weight", weight, &[("D", outputs), ("K", inputs)])?;
    if let Some(bias) = bias {
        check::shape(op, "bias", bias, &[("D", outputs)])?;
    }
    if let Some(kernels) = fused::kernels(x, [Some(weight), bias], cuda::wanted)? {
        return kernels
            .linear(x, weight, bias, None)
            .map_err(|e| e.within(op));
    }
    Ok(x.f_linear(weight, bias)?)
}
