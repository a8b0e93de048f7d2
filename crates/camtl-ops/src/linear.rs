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

use tch::{Kind, Tensor};

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

/// A linear map's parameters in bfloat16, converted beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Lowered<'a> {
    /// `[D, K]`.
    pub weight: &'a Tensor,
    /// `[D]`.
    pub bias: Option<&'a Tensor>,
}

/// `y = x w' + b` in bfloat16 with float32 parameters, of which `lowered` are copies.
///
/// Mixed precision without a conversion at every use: the forward pass reads the copies, gradients
/// go to `weight` and `bias`, on a GPU as sums in float32 and straight into their views of the flat
/// buffer. Where there is no kernel for it the parameters are converted here and the copies not read.
///
/// # Errors
/// [`OpsError`] naming the tensor that does not fit.
///
/// ```
/// use camtl_ops::{Lowered, linear_lowered};
/// use tch::{Device, Kind, Tensor};
///
/// let w = Tensor::ones([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// let copy = w.to_kind(Kind::BFloat16).detach();
/// let x = Tensor::from_slice(&[1f32, 2., 3.]).view([1, 3]);
/// let y = linear_lowered(&x, &w, None, Lowered { weight: &copy, bias: None })?;
/// assert_eq!((y.kind(), y.double_value(&[0, 1])), (Kind::BFloat16, 6.0));
/// y.sum(Kind::Float).backward();
/// assert_eq!((w.grad().kind(), w.grad().double_value(&[1, 2])), (Kind::Float, 3.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn linear_lowered(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    lowered: Lowered<'_>,
) -> Result<Tensor> {
    let op = "linear_lowered";
    let [_, inputs] = x.size()[..] else {
        return Err(OpsError::shape(op, "x", "[N, K]", x));
    };
    let outputs = weight.size().first().copied().unwrap_or(0);
    for (name, tensor) in [("weight", weight), ("lowered.weight", lowered.weight)] {
        check::shape(op, name, tensor, &[("D", outputs), ("K", inputs)])?;
    }
    for (name, tensor) in [("bias", bias), ("lowered.bias", lowered.bias)] {
        if let Some(tensor) = tensor {
            check::shape(op, name, tensor, &[("D", outputs)])?;
        }
    }
    check::kind(op, "lowered.weight", lowered.weight, Kind::BFloat16)?;
    if bias.is_some() != lowered.bias.is_some() {
        return Err(OpsError::Value {
            op,
            message: "bias and lowered.bias must both be there, or neither".to_owned(),
        });
    }
    if let Some(bias) = lowered.bias {
        check::kind(op, "lowered.bias", bias, Kind::BFloat16)?;
    }
    if let Some(plugin) = cuda::wanted(x)? {
        let copies = Some((lowered.weight, lowered.bias));
        return plugin
            .operations()
            .linear(x, weight, bias, copies)
            .map_err(|e| e.within(op));
    }
    let low = |tensor: &Tensor| tensor.f_to_kind(Kind::BFloat16);
    Ok(low(x)?.f_linear(&low(weight)?, bias.map(low).transpose()?.as_ref())?)
}
