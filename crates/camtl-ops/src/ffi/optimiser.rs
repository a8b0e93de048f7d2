//! AdamW and norms over flat buffers, see `csrc/cpu/adamw.cc`.

use std::ffi::c_void;

use tch::{Kind, Tensor};

use crate::adamw::{AdamWForm, AdamWOptions, AdamWState};
use crate::error::Result;

/// `CamtlAdamW` of `csrc/kernels.h`.
#[repr(C)]
struct AdamWArgs {
    dtype: i32,
    huggingface: i32,
    count: i64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    rate: f64,
    root_correction: f64,
    decay: f64,
    decay_ranges: i64,
    decay_range: *const i64,
    clip: *const c_void,
    grad: *const c_void,
    param: *mut c_void,
    exp_avg: *mut c_void,
    exp_avg_sq: *mut c_void,
}

/// `CamtlNorm` of `csrc/kernels.h`.
#[repr(C)]
struct NormArgs {
    dtype: i32,
    count: i64,
    x: *const c_void,
    partial: *mut f64,
    norm: *mut f64,
}

unsafe extern "C" {
    fn camtl_adamw(args: *const AdamWArgs);
    fn camtl_norm(args: *const NormArgs);
}

fn dtype(tensor: &Tensor) -> i32 {
    (tensor.kind() == Kind::Double).into()
}

/// One step in place. The caller has checked that all tensors are contiguous CPU
/// tensors of one length and of float32 or float64.
pub(crate) fn adamw(
    state: &mut AdamWState,
    param: &mut Tensor,
    grad: &Tensor,
    options: &AdamWOptions,
    clip: Option<&Tensor>,
) -> Result<()> {
    let step = state.step + 1;
    let correction1 = 1.0 - options.beta1.powf(step as f64);
    let correction2 = (1.0 - options.beta2.powf(step as f64)).sqrt();
    let huggingface = options.form == AdamWForm::HuggingFace;
    let count = param.size1()?;
    let decay = options.lr * options.weight_decay;
    let ranges: Vec<i64> = match (&options.decay, decay == 0.0) {
        (_, true) => Vec::new(),
        (None, false) => vec![0, count],
        (Some(ranges), false) => ranges
            .iter()
            .flat_map(|range| [range.start, range.end])
            .collect(),
    };
    let clip = clip
        .map(|clip| clip.f_to_kind(param.kind())?.f_contiguous())
        .transpose()?;
    let args = AdamWArgs {
        dtype: dtype(param),
        huggingface: huggingface.into(),
        count,
        beta1: options.beta1,
        beta2: options.beta2,
        eps: options.eps,
        rate: options.lr / correction1 * if huggingface { correction2 } else { 1.0 },
        root_correction: correction2,
        decay,
        decay_ranges: ranges.len() as i64 / 2,
        decay_range: ranges.as_ptr(),
        clip: clip
            .as_ref()
            .map_or(std::ptr::null(), |clip| clip.data_ptr().cast_const()),
        grad: grad.data_ptr(),
        param: param.data_ptr(),
        exp_avg: state.exp_avg.data_ptr(),
        exp_avg_sq: state.exp_avg_sq.data_ptr(),
    };
    // SAFETY: every buffer holds `count` elements of `dtype` (one for `clip`), and
    // the ranges lie within them, as the caller has checked.
    unsafe { camtl_adamw(&args) };
    // The kernel writes behind libtorch's back. An in-place operation on an empty
    // view raises the parameters' version counter, by which caches of what depends
    // on them notice the change.
    tch::no_grad(|| param.f_narrow(0, 0, 0)?.f_zero_().map(|_| ()))?;
    state.step = step;
    Ok(())
}

/// Euclidean norm of a contiguous float32 or float64 CPU tensor.
pub(crate) fn norm(x: &Tensor) -> Result<f64> {
    let count = x.size1()?;
    let mut partial = vec![0.0; usize::try_from(count).unwrap_or(0).div_ceil(65536)];
    let mut norm = 0.0;
    let args = NormArgs {
        dtype: dtype(x),
        count,
        x: x.data_ptr(),
        partial: partial.as_mut_ptr(),
        norm: &mut norm,
    };
    // SAFETY: `x` holds `count` elements and `partial` one per block of 65536.
    unsafe { camtl_norm(&args) };
    Ok(norm)
}
