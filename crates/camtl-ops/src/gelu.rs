//! The exact GELU with the bias of the product before it.
//!
//! ```
//! use camtl_ops::gelu_bias;
//! use tch::Tensor;
//!
//! let x = Tensor::from_slice(&[0f64, 1.]).view([1, 2]);
//! let y = gelu_bias(&x, &Tensor::from_slice(&[0f64, 1.]))?;
//! let y = Vec::<f64>::try_from(y.view(-1))?;
//! assert!(y[0] == 0. && (y[1] - 2. * 0.977_249_868_051_820_8).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::Tensor;

use crate::error::{OpsError, Result};
use crate::{check, cuda, fused, slow};

/// `y = u * Phi(u)` with `u = x + b` and `Phi` the normal distribution function
/// (the erf form, not the tanh approximation).
///
/// `x` is `[N, D]`, `bias` is `[D]`; the result is `[N, D]`.
///
/// # Errors
/// [`OpsError`] naming the tensor that does not fit.
pub fn gelu_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let op = "gelu_bias";
    let [_, columns] = x.size()[..] else {
        return Err(OpsError::shape(op, "x", "[N, D]", x));
    };
    check::floating(op, "x", x)?;
    check::shape(op, "bias", bias, &[("D", columns)])?;
    if let Some(kernels) = fused::kernels(x, [Some(bias)], |x| cuda::for_rows(x, None))? {
        return kernels.gelu(x, bias).map_err(|e| e.within(op));
    }
    slow::gelu_bias(x, bias).map_err(|e| e.within(op))
}
