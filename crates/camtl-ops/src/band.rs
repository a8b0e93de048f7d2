//! The task's attention bias in band form.
//!
//! The bias of conditional attention is block diagonal: with width `w`, row `i`
//! has entries only in the `w` columns from `floor(i / w) * w` on. The band keeps
//! just those, `[T, L, w]`: element `(i, c)` belongs to key `floor(i / w) * w + c`,
//! and an element whose key would be `L` or more belongs to none.
//!
//! ```
//! use camtl_ops::band_bias;
//! use tch::Tensor;
//!
//! let a = Tensor::from_slice(&[1f64, 2., 3., 4., 5., 6.]).view([3, 2]);
//! let gamma = Tensor::from_slice(&[0f64, 1.]).view([1, 2]);
//! let beta = Tensor::from_slice(&[0.5f64, 0.]).view([1, 2]);
//! let band = band_bias(&a, &gamma, &beta)?;
//! assert_eq!(Vec::<f64>::try_from(band.view(-1))?, [1.5, 4., 3.5, 8., 5.5, 12.]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::Tensor;

use crate::error::{OpsError, Result};
use crate::{check, slow};

/// `M_t = (1 + gamma_t) * A + beta_t` in band form, `[T, L, w]`.
///
/// `a` is `[L, w]`. `gamma` and `beta` are both `[T, w]` (one value per column,
/// the released form) or both `[T, w, w]` (one value per element of a block, the
/// paper's form, shared by all blocks). With one more dimension `n` in front of all
/// three, the bands of `n` layers are computed at once, `[n, T, L, w]`.
///
/// # Errors
/// [`OpsError`] naming the tensor that does not fit.
pub fn band_bias(a: &Tensor, gamma: &Tensor, beta: &Tensor) -> Result<Tensor> {
    let op = "band_bias";
    let size = a.size();
    let (layers, width) = match size[..] {
        [_, width] => (&size[..0], width),
        [_, _, width] => (&size[..1], width),
        _ => return Err(OpsError::shape(op, "a", "[L, w] or [n, L, w]", a)),
    };
    check::floating(op, "a", a)?;
    let of_gamma = gamma.size();
    let fits = of_gamma.starts_with(layers)
        && match of_gamma[layers.len()..] {
            [_, w] => w == width,
            [_, r, w] => w == width && r == width,
            _ => false,
        };
    if !fits {
        let lead = layers.first().map_or(String::new(), |n| format!("{n}, "));
        return Err(OpsError::shape(
            op,
            "gamma",
            format!("[{lead}T, {width}] or [{lead}T, {width}, {width}]"),
            gamma,
        ));
    }
    if beta.size() != of_gamma {
        return Err(OpsError::shape(
            op,
            "beta",
            format!("gamma's shape {of_gamma:?}"),
            beta,
        ));
    }
    slow::band_bias(a, gamma, beta).map_err(|e| e.within(op))
}
