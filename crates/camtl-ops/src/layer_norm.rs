//! Layer norm whose weight and bias belong to the row's task, with the dropout
//! and the residual that precede it in a post-norm encoder.
//!
//! ```
//! use camtl_ops::{Packing, cond_layer_norm};
//! use tch::{Device, Tensor};
//!
//! let packing = Packing::new(&[0, 1, 2], &[0, 1], Device::Cpu)?;
//! let x = Tensor::from_slice(&[1f64, 3., 1., 3.]).view([2, 2]);
//! let weight = Tensor::from_slice(&[1f64, 1., 2., 2.]).view([2, 2]);
//! let bias = Tensor::from_slice(&[0f64, 0.5]);
//! let y = cond_layer_norm(&x, None, &weight, &bias, 0.0, None, &packing)?;
//! assert_eq!(Vec::<f64>::try_from(y.view(-1))?, [-1., 1.5, -2., 2.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::Tensor;

use crate::dropout::Dropout;
use crate::error::{OpsError, Result};
use crate::packing::Packing;
use crate::{check, cuda, fused, slow};

/// `y = LN(dropout(x) + residual) * w_t + b_t`, with `t` the task of the row and
/// `LN(z) = (z - mean) / sqrt(variance + eps)` over the columns.
///
/// `x` and `residual` are `[N, D]`; `weight` and `bias` are `[D]`, or `[T, D]`
/// with a row for every task of the packing; the result is `[N, D]`. The
/// dropout's mask is [`token_dropout_mask`](crate::token_dropout_mask).
///
/// # Errors
/// [`OpsError`] naming the tensor whose shape, type or device does not fit.
pub fn cond_layer_norm(
    x: &Tensor,
    residual: Option<&Tensor>,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    dropout: Option<Dropout>,
    packing: &Packing,
) -> Result<Tensor> {
    let op = "cond_layer_norm";
    let columns = check::rows(op, "x", x, packing)?;
    if let Some(residual) = residual {
        check::shape(
            op,
            "residual",
            residual,
            &[("N", packing.num_tokens()), ("D", columns)],
        )?;
        check::device(op, "residual", residual, packing)?;
    }
    check::vector_or_table(op, "weight", weight, columns, packing)?;
    check::vector_or_table(op, "bias", bias, columns, packing)?;
    check_eps(op, eps)?;
    if let Some(dropout) = &dropout {
        dropout.check(op)?;
    }
    let others = [residual, Some(weight), Some(bias)];
    if let Some(kernels) = fused::kernels(x, others, cuda::for_held_rows)? {
        return kernels
            .layer_norm(
                x,
                residual,
                weight,
                bias,
                eps,
                dropout,
                packing.layout(kernels)?,
            )
            .map_err(|e| e.within(op));
    }
    slow::cond_layer_norm(x, residual, weight, bias, eps, dropout, packing)
        .map_err(|e| e.within(op))
}

pub(crate) fn check_eps(op: &'static str, eps: f64) -> Result<()> {
    if eps.is_finite() && eps >= 0.0 {
        Ok(())
    } else {
        Err(OpsError::Value {
            op,
            message: format!("eps {eps} is not a finite number of 0 or more"),
        })
    }
}
