//! Feature-wise linear modulation by the row's task.
//!
//! ```
//! use camtl_ops::{Packing, film};
//! use tch::{Device, Tensor};
//!
//! let packing = Packing::new(&[0, 1, 2], &[0, 1], Device::Cpu)?;
//! let x = Tensor::from_slice(&[1f32, 2., 3., 4.]).view([2, 2]);
//! let gamma = Tensor::from_slice(&[0f32, 0., 1., 1.]).view([2, 2]);
//! let beta = Tensor::from_slice(&[0f32, 0., 0., 10.]).view([2, 2]);
//! let y = film(&x, &gamma, &beta, &packing)?;
//! assert_eq!(Vec::<f32>::try_from(y.view(-1))?, [1., 2., 6., 18.]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::Tensor;

use crate::error::Result;
use crate::packing::Packing;
use crate::{check, cuda, fused, slow};

/// `y = (1 + gamma_t) * x + beta_t`, with `t` the task of the row.
///
/// `x` is `[N, D]`, `gamma` and `beta` are `[T, D]` with a row for every task of
/// the packing; the result is `[N, D]`.
///
/// # Errors
/// [`OpsError`](crate::OpsError) naming the tensor whose shape, type or device
/// does not fit.
pub fn film(x: &Tensor, gamma: &Tensor, beta: &Tensor, packing: &Packing) -> Result<Tensor> {
    let op = "film";
    let columns = check::rows(op, "x", x, packing)?;
    check::table(op, "gamma", gamma, columns, packing)?;
    check::table(op, "beta", beta, columns, packing)?;
    if let Some(kernels) = fused::kernels(x, [Some(gamma), Some(beta)], cuda::for_held_rows)? {
        return kernels
            .film(x, gamma, beta, packing.layout(kernels)?)
            .map_err(|e| e.within(op));
    }
    slow::film(x, gamma, beta, packing).map_err(|e| e.within(op))
}
