//! AdamW from libtorch's in-place operations.

use tch::Tensor;

use crate::adamw::{AdamWForm, AdamWOptions, AdamWState};
use crate::error::Result;

/// Definition of [`adamw_flat`](crate::adamw_flat).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn adamw_flat(
    state: &mut AdamWState,
    param: &mut Tensor,
    grad: &Tensor,
    options: &AdamWOptions,
    clip: Option<&Tensor>,
) -> Result<()> {
    tch::no_grad(|| {
        let kind = param.kind();
        let scaled = clip
            .map(|clip| -> Result<Tensor> { Ok(grad.f_mul(&clip.f_to_kind(kind)?)?) })
            .transpose()?;
        let grad = scaled.as_ref().unwrap_or(grad);
        let step = state.step + 1;
        let (beta1, beta2) = (options.beta1, options.beta2);
        let correction1 = 1.0 - beta1.powf(step as f64);
        let correction2 = (1.0 - beta2.powf(step as f64)).sqrt();
        let _ = state
            .exp_avg
            .f_mul_scalar_(beta1)?
            .f_add_(&grad.f_mul_scalar(1.0 - beta1)?)?;
        let _ = state
            .exp_avg_sq
            .f_mul_scalar_(beta2)?
            .f_add_(&grad.f_square()?.f_mul_scalar(1.0 - beta2)?)?;
        let root = state.exp_avg_sq.f_sqrt()?;
        match options.form {
            AdamWForm::Torch => {
                decay(param, options)?;
                let denominator = root.f_div_scalar(correction2)?.f_add_scalar(options.eps)?;
                let update = state
                    .exp_avg
                    .f_div(&denominator)?
                    .f_mul_scalar(options.lr / correction1)?;
                let _ = param.f_sub_(&update)?;
            }
            AdamWForm::HuggingFace => {
                let denominator = root.f_add_scalar(options.eps)?;
                let rate = options.lr * correction2 / correction1;
                let update = state.exp_avg.f_div(&denominator)?.f_mul_scalar(rate)?;
                let _ = param.f_sub_(&update)?;
                decay(param, options)?;
            }
        }
        state.step = step;
        Ok(())
    })
}

/// `p = p (1 - lr wd)` on the ranges that decay.
fn decay(param: &mut Tensor, options: &AdamWOptions) -> Result<()> {
    if options.weight_decay == 0.0 {
        return Ok(());
    }
    let factor = 1.0 - options.lr * options.weight_decay;
    match &options.decay {
        None => {
            let _ = param.f_mul_scalar_(factor)?;
        }
        Some(ranges) => {
            for range in ranges {
                let _ = param
                    .f_narrow(0, range.start, range.end - range.start)?
                    .f_mul_scalar_(factor)?;
            }
        }
    }
    Ok(())
}
