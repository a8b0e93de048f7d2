//! AdamW from libtorch's in-place operations.

use tch::Tensor;

use crate::adamw::{AdamWForm, AdamWOptions, AdamWState, Piece, by_rate};
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
    by_rate(state, param, None, grad, options, |piece, options| {
        one_rate(piece, options, clip)
    })
}

/// The step where there is one learning rate.
fn one_rate(piece: &mut Piece, options: &AdamWOptions, clip: Option<&Tensor>) -> Result<()> {
    let Piece {
        state, param, grad, ..
    } = piece;
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
        Ok(())
    })
}

/// The formula without its decay. What libtorch can do in one operation is one: each passes over the piece.
fn update(
    exp_avg: &mut Tensor,
    exp_avg_sq: &mut Tensor,
    param: &mut Tensor,
    grad: &Tensor,
    options: &AdamWOptions,
    step: i64,
    clip: Option<&Tensor>,
) -> Result<()> {
    let (beta1, beta2) = (options.beta1, options.beta2);
    let correction1 = 1.0 - beta1.powf(step as f64);
    let correction2 = (1.0 - beta2.powf(step as f64)).sqrt();
    let scaled = clip.map(|clip| grad.f_mul(clip)).transpose()?;
    let _ = exp_avg.f_lerp_(scaled.as_ref().unwrap_or(grad), 1.0 - beta1)?;
    // The root of what the square is weighted with.
    let weight = (1.0 - beta2).sqrt();
    let root_of_term = match scaled {
        Some(mut scaled) => scaled.f_mul_scalar_(weight)?,
        None => grad.f_mul_scalar(weight)?,
    };
    let _ = exp_avg_sq
        .f_mul_scalar_(beta2)?
        .f_addcmul_(&root_of_term, &root_of_term)?;
    // Both forms are p - rate m / (sqrt(v) + eps'), the first after multiplying with its correction.
    let rate = options.lr * correction2 / correction1;
    if rate == 0.0 {
        // NaN stays NaN.
        let _ = param.f_sub_(&exp_avg.f_mul_scalar(0.0)?)?;
        return Ok(());
    }
    let eps = match options.form {
        AdamWForm::Torch => options.eps * correction2,
        AdamWForm::HuggingFace => options.eps,
    };
    let denominator = exp_avg_sq
        .f_sqrt()?
        .f_add_scalar_(eps)?
        .f_mul_scalar_(-1.0 / rate)?;
    let _ = param.f_addcdiv_(exp_avg, &denominator)?;
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
