//! AdamW from libtorch's in-place operations.

use tch::Tensor;

use crate::adamw::{AdamWForm, AdamWOptions, AdamWState};
use crate::error::Result;

/// Elements updated at a time: what the operations pass from one to the next stays in the cache, and
/// no temporary is as long as the model.
const PIECE: i64 = 1 << 17;

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
        let clip = clip.map(|clip| clip.f_to_kind(param.kind())).transpose()?;
        let step = state.step + 1;
        if options.form == AdamWForm::Torch {
            decay(param, options)?;
        }
        let length = param.size1()?;
        for start in (0..length).step_by(PIECE as usize) {
            let piece = |tensor: &Tensor| tensor.f_narrow(0, start, PIECE.min(length - start));
            update(
                &mut piece(&state.exp_avg)?,
                &mut piece(&state.exp_avg_sq)?,
                &mut piece(param)?,
                &piece(grad)?,
                options,
                step,
                clip.as_ref(),
            )?;
        }
        if options.form == AdamWForm::HuggingFace {
            decay(param, options)?;
        }
        state.step = step;
        Ok(())
    })
}

/// The formula without its decay.
fn update(
    exp_avg: &mut Tensor,
    exp_avg_sq: &mut Tensor,
    param: &mut Tensor,
    grad: &Tensor,
    options: &AdamWOptions,
    step: i64,
    clip: Option<&Tensor>,
) -> Result<()> {
    let scaled = clip.map(|clip| grad.f_mul(clip)).transpose()?;
    let grad = scaled.as_ref().unwrap_or(grad);
    let (beta1, beta2) = (options.beta1, options.beta2);
    let correction1 = 1.0 - beta1.powf(step as f64);
    let correction2 = (1.0 - beta2.powf(step as f64)).sqrt();
    let _ = exp_avg
        .f_mul_scalar_(beta1)?
        .f_add_(&grad.f_mul_scalar(1.0 - beta1)?)?;
    let _ = exp_avg_sq
        .f_mul_scalar_(beta2)?
        .f_add_(&grad.f_square()?.f_mul_scalar(1.0 - beta2)?)?;
    let mut root = exp_avg_sq.f_sqrt()?;
    let rate = match options.form {
        AdamWForm::Torch => {
            let _ = root.f_div_scalar_(correction2)?;
            options.lr / correction1
        }
        AdamWForm::HuggingFace => options.lr * correction2 / correction1,
    };
    let denominator = root.f_add_scalar_(options.eps)?;
    let change = exp_avg.f_div(&denominator)?.f_mul_scalar_(rate)?;
    let _ = param.f_sub_(&change)?;
    Ok(())
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
