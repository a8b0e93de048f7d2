//! AdamW over one flat buffer.
//!
//! With `g` the gradient times the clip coefficient, `t` the step from 1 on:
//!
//! ```text
//! m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
//! Torch:        p = p (1 - lr wd) - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//! HuggingFace:  p = p - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps);  p = p - lr wd p
//! ```
//!
//! The second is the `AdamW` of transformers 2.11, which the released CA-MTL code
//! uses: it adds epsilon before the bias correction and decays after the update.
//! `lr` may differ by range of the buffer ([`AdamWOptions::lr_scales`]).
//!
//! ```
//! use camtl_ops::{AdamWOptions, AdamWState, adamw_flat};
//! use tch::{Device, Kind, Tensor};
//!
//! let mut param = Tensor::from_slice(&[1f32, -2.]);
//! let mut state = AdamWState::new(&param)?;
//! let options = AdamWOptions { lr: 0.1, ..AdamWOptions::default() };
//! adamw_flat(&mut state, &mut param, &Tensor::from_slice(&[0.5f32, -3.]), &options, None)?;
//! // The first step moves every element by lr against its gradient's sign.
//! let p = Vec::<f32>::try_from(&param)?;
//! assert!((p[0] - 0.9).abs() < 1e-6 && (p[1] + 1.9).abs() < 1e-6);
//! assert_eq!(state.step, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::error::{OpsError, Result};
use crate::{check, cuda, fused, slow};

/// Which of the two formulas is meant by AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdamWForm {
    /// `torch.optim.AdamW`.
    Torch,
    /// transformers 2.11's `AdamW` with bias correction.
    HuggingFace,
}

/// Constants of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamWOptions {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay on the elements of `decay`.
    pub weight_decay: f64,
    /// Ranges of the buffer that decay, ascending and apart; `None` for all of it.
    pub decay: Option<Vec<Range<i64>>>,
    /// Ranges of the buffer whose learning rate is `lr` times a factor, ascending and apart; elsewhere
    /// it is `lr`. Their ends are multiples of [`RANGE_ALIGNMENT`], or the buffer's own.
    pub lr_scales: Vec<(Range<i64>, f64)>,
    /// Formula.
    pub form: AdamWForm,
}

/// What the ends of [`AdamWOptions::lr_scales`]' ranges are multiples of: kernels read so many numbers
/// at once.
pub const RANGE_ALIGNMENT: i64 = 16;

impl Default for AdamWOptions {
    /// lr 1e-3, betas 0.9 and 0.999, eps 1e-8, no decay, torch's formula.
    fn default() -> Self {
        AdamWOptions {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decay: None,
            lr_scales: Vec::new(),
            form: AdamWForm::Torch,
        }
    }
}

/// Moments of every element and the number of steps taken: all there is to save.
#[derive(Debug)]
pub struct AdamWState {
    /// First moment, the parameter buffer's shape and type.
    pub exp_avg: Tensor,
    /// Second moment, the parameter buffer's shape and type.
    pub exp_avg_sq: Tensor,
    /// Steps taken.
    pub step: i64,
}

impl AdamWState {
    /// The state before the first step.
    ///
    /// # Errors
    /// [`OpsError::Libtorch`] if the moments cannot be allocated.
    pub fn new(param: &Tensor) -> Result<Self> {
        tch::no_grad(|| {
            Ok(AdamWState {
                exp_avg: param.f_zeros_like()?,
                exp_avg_sq: param.f_zeros_like()?,
                step: 0,
            })
        })
    }
}

/// One step: updates `param` and `state` in place.
///
/// `param` and `grad` are `[n]` of one floating-point type; `clip` is a scalar
/// factor on the gradient, as of [`clip_coefficient`](crate::clip_coefficient).
/// Elements whose gradient is NaN become NaN: check the norm first.
///
/// # Errors
/// [`OpsError`] naming the tensor that does not fit, or the option that is out
/// of range. Nothing is changed then.
pub fn adamw_flat(
    state: &mut AdamWState,
    param: &mut Tensor,
    grad: &Tensor,
    options: &AdamWOptions,
    clip: Option<&Tensor>,
) -> Result<()> {
    let op = "adamw_flat";
    check_arguments(op, state, param, grad, options, clip)?;
    match fused::kernels(param, [Some(grad)], cuda::for_flat)? {
        Some(kernels) => by_rate(state, param, None, grad, options, |piece, options| {
            let (state, param, grad) = (&mut piece.state, &mut piece.param, &piece.grad);
            kernels.adamw(state, param, grad, options, None, clip)
        }),
        None => slow::adamw_flat(state, param, grad, options, clip),
    }
    .map_err(|e| e.within(op))
}

/// A stretch of the buffers that has one learning rate.
pub(crate) struct Piece {
    pub(crate) state: AdamWState,
    pub(crate) param: Tensor,
    pub(crate) lowered: Option<Tensor>,
    pub(crate) grad: Tensor,
}

/// Calls `update` with the whole buffers, or with every stretch of them that has its own learning rate and
/// that learning rate. Counts the step.
pub(crate) fn by_rate(
    state: &mut AdamWState,
    param: &Tensor,
    lowered: Option<&Tensor>,
    grad: &Tensor,
    options: &AdamWOptions,
    mut update: impl FnMut(&mut Piece, &AdamWOptions) -> Result<()>,
) -> Result<()> {
    for (stretch, scale) in stretches(&options.lr_scales, param.size1()?) {
        let part = |tensor: &Tensor| {
            tch::no_grad(|| tensor.f_narrow(0, stretch.start, stretch.end - stretch.start))
        };
        let mut piece = Piece {
            state: AdamWState {
                exp_avg: part(&state.exp_avg)?,
                exp_avg_sq: part(&state.exp_avg_sq)?,
                step: state.step,
            },
            param: part(param)?,
            lowered: lowered.map(part).transpose()?,
            grad: part(grad)?,
        };
        let decay = options.decay.as_ref().map(|ranges| {
            let inside = ranges.iter().map(|range| {
                range.start.max(stretch.start) - stretch.start
                    ..range.end.min(stretch.end) - stretch.start
            });
            inside.filter(|range| range.start < range.end).collect()
        });
        let options = AdamWOptions {
            lr: options.lr * scale,
            decay,
            lr_scales: Vec::new(),
            ..*options
        };
        update(&mut piece, &options)?;
    }
    state.step += 1;
    Ok(())
}

/// `0..n` cut where the learning rate changes, with its factor. Neighbours of one factor are one stretch,
/// so that factors of 1 cut nothing.
fn stretches(scales: &[(Range<i64>, f64)], n: i64) -> Vec<(Range<i64>, f64)> {
    let mut all: Vec<(Range<i64>, f64)> = Vec::new();
    let mut add = |range: Range<i64>, scale: f64| match all.last_mut() {
        _ if range.is_empty() => {}
        Some((last, same)) if *same == scale => last.end = range.end,
        _ => all.push((range, scale)),
    };
    let mut at = 0;
    for (range, scale) in scales {
        add(at..range.start, 1.0);
        add(range.clone(), *scale);
        at = range.end;
    }
    add(at..n, 1.0);
    all
}

/// [`adamw_flat`] that writes the new parameters to `lowered` as well, rounded to bfloat16.
///
/// # Errors
/// As [`adamw_flat`]; or `lowered` is not `[n]` bfloat16, contiguous and on the same device.
///
/// ```
/// use camtl_ops::{AdamWOptions, AdamWState, adamw_flat_lowered};
/// use tch::{Kind, Tensor};
///
/// let mut param = Tensor::from_slice(&[1f32, 1.]);
/// let mut lowered = param.to_kind(Kind::BFloat16);
/// let mut state = AdamWState::new(&param)?;
/// let grad = Tensor::from_slice(&[0.5f32, -3.]);
/// adamw_flat_lowered(&mut state, &mut param, &mut lowered, &grad, &AdamWOptions::default(), None)?;
/// assert_eq!(lowered, param.to_kind(Kind::BFloat16));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adamw_flat_lowered(
    state: &mut AdamWState,
    param: &mut Tensor,
    lowered: &mut Tensor,
    grad: &Tensor,
    options: &AdamWOptions,
    clip: Option<&Tensor>,
) -> Result<()> {
    let op = "adamw_flat_lowered";
    check_arguments(op, state, param, grad, options, clip)?;
    check::shape(op, "lowered", lowered, &[("n", param.numel() as i64)])?;
    check::kind(op, "lowered", lowered, Kind::BFloat16)?;
    if !lowered.is_contiguous() || lowered.device() != param.device() {
        return Err(OpsError::Value {
            op,
            message: format!(
                "lowered must be contiguous and on {:?} like param",
                param.device()
            ),
        });
    }
    if let Some(plugin) = cuda::for_flat(param)? {
        return by_rate(
            state,
            param,
            Some(lowered),
            grad,
            options,
            |piece, options| {
                let (state, param, grad) = (&mut piece.state, &mut piece.param, &piece.grad);
                let lowered = piece.lowered.as_mut();
                plugin
                    .operations()
                    .adamw(state, param, grad, options, lowered, clip)
            },
        )
        .map_err(|e| e.within(op));
    }
    adamw_flat(state, param, grad, options, clip)?;
    tch::no_grad(|| lowered.f_copy_(param))?;
    Ok(())
}

fn check_arguments(
    op: &'static str,
    state: &AdamWState,
    param: &Tensor,
    grad: &Tensor,
    options: &AdamWOptions,
    clip: Option<&Tensor>,
) -> Result<()> {
    let [n] = param.size()[..] else {
        return Err(OpsError::shape(op, "param", "[n]", param));
    };
    match param.kind() {
        Kind::Float | Kind::Double => {}
        got => {
            let expected = "Float or Double (master weights)".to_owned();
            return Err(OpsError::Kind {
                op,
                tensor: "param".into(),
                expected,
                got,
            });
        }
    }
    for (name, tensor) in [
        ("param", param),
        ("grad", grad),
        ("state.exp_avg", &state.exp_avg),
        ("state.exp_avg_sq", &state.exp_avg_sq),
    ] {
        check::shape(op, name, tensor, &[("n", n)])?;
        check::kind(op, name, tensor, param.kind())?;
        if tensor.device() != param.device() {
            return Err(OpsError::Device {
                op,
                tensor: name.to_owned(),
                expected: param.device(),
                got: tensor.device(),
            });
        }
        if !tensor.is_contiguous() {
            return Err(OpsError::Value {
                op,
                message: format!("`{name}` is not contiguous"),
            });
        }
    }
    if let Some(clip) = clip
        && clip.numel() != 1
    {
        return Err(OpsError::shape(op, "clip", "a scalar", clip));
    }
    let fail = |message: String| Err(OpsError::Value { op, message });
    for (name, beta) in [("beta1", options.beta1), ("beta2", options.beta2)] {
        if !(0.0..1.0).contains(&beta) {
            return fail(format!("{name} = {beta} is outside [0, 1)"));
        }
    }
    for (name, value) in [
        ("lr", options.lr),
        ("eps", options.eps),
        ("weight_decay", options.weight_decay),
    ] {
        if !value.is_finite() || value < 0.0 {
            return fail(format!(
                "{name} = {value} is not a finite number of 0 or more"
            ));
        }
    }
    let mut end = 0;
    for (range, scale) in &options.lr_scales {
        let aligned = |at: i64| at % RANGE_ALIGNMENT == 0 || at == n;
        if range.start < end || range.end < range.start || range.end > n {
            return fail(format!(
                "lr_scales range {}..{} is not ascending within 0..{n} and apart from the one before",
                range.start, range.end
            ));
        }
        if !aligned(range.start) || !aligned(range.end) {
            return fail(format!(
                "lr_scales range {}..{} does not begin and end on multiples of {RANGE_ALIGNMENT}",
                range.start, range.end
            ));
        }
        if !scale.is_finite() || *scale < 0.0 {
            return fail(format!(
                "the learning rate's factor {scale} of {}..{} is not a finite number of 0 or more",
                range.start, range.end
            ));
        }
        end = range.end;
    }
    let mut end = 0;
    for range in options.decay.iter().flatten() {
        if range.start < end || range.end < range.start || range.end > n {
            return fail(format!(
                "decay range {}..{} is not ascending within 0..{n} and apart from the one before",
                range.start, range.end
            ));
        }
        end = range.end;
    }
    Ok(())
}
