//! The C interface of `csrc/`: the only unsafe code of the workspace.
//!
//! Every wrapper is safe: it passes pointers of live tensors or slices whose
//! sizes it passes along, and turns the return code into an [`OpsError`].

use std::ffi::{CStr, c_char, c_int};

use tch::{Kind, Tensor};
use torch_sys::C_tensor;

use crate::dropout::Dropout;
use crate::error::{OpsError, Result, first_line};

unsafe extern "C" {
    fn camtl_last_error() -> *const c_char;
    fn camtl_set_grad(param: *mut C_tensor, grad: *const C_tensor) -> c_int;
    fn camtl_rng_state(out: *mut *mut C_tensor) -> c_int;
    fn camtl_set_rng_state(state: *const C_tensor) -> c_int;
    fn camtl_set_deterministic(on: c_int) -> c_int;
    fn camtl_deterministic(on: *mut c_int) -> c_int;
    fn camtl_set_num_threads(threads: c_int) -> c_int;
    fn camtl_num_threads(threads: *mut c_int) -> c_int;
    fn camtl_begin_autocast(
        cuda: c_int,
        dtype: c_int,
        was_on: *mut c_int,
        was_dtype: *mut c_int,
    ) -> c_int;
    fn camtl_end_autocast(cuda: c_int, was_on: c_int, was_dtype: c_int) -> c_int;
    fn camtl_dropout_flat(out: *mut f32, count: i64, seed: u64, threshold: u32);
    fn camtl_dropout_tokens(
        out: *mut f32,
        columns: i64,
        cu_seqlens: *const i64,
        sequences: i64,
        seed: u64,
        threshold: u32,
    );
    fn camtl_dropout_attention(
        out: *mut f32,
        members: *const i64,
        count: i64,
        heads: i64,
        queries: i64,
        keys: i64,
        seed: u64,
        threshold: u32,
    );
}

/// Turns a return code of the shim into a result.
fn done(code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the pointer is to this thread's error text, which lives as long as
    // the thread and changes only in a failing call on this thread.
    let text = unsafe { CStr::from_ptr(camtl_last_error()) }
        .to_string_lossy()
        .into_owned();
    Err(OpsError::Libtorch {
        op: "",
        message: first_line(&text),
    })
}

/// Takes ownership of a tensor the shim has made.
fn owned(tensor: *mut C_tensor) -> Result<Tensor> {
    if tensor.is_null() {
        return Err(OpsError::Libtorch {
            op: "",
            message: "the shim returned no tensor".into(),
        });
    }
    // SAFETY: not null, made by `new at::Tensor` in the shim, and given away.
    Ok(unsafe { Tensor::from_ptr(tensor) })
}

pub(crate) fn set_grad(param: &mut Tensor, grad: &Tensor) -> Result<()> {
    // SAFETY: both pointers are of live tensors.
    done(unsafe { camtl_set_grad(param.as_mut_ptr(), grad.as_ptr()) })
}

pub(crate) fn rng_state() -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: `out` is a valid place for one pointer.
    done(unsafe { camtl_rng_state(&mut out) })?;
    owned(out)
}

pub(crate) fn set_rng_state(state: &Tensor) -> Result<()> {
    // SAFETY: the pointer is of a live tensor.
    done(unsafe { camtl_set_rng_state(state.as_ptr()) })
}

pub(crate) fn set_deterministic(on: bool) -> Result<()> {
    // SAFETY: no pointers.
    done(unsafe { camtl_set_deterministic(on.into()) })
}

pub(crate) fn deterministic() -> Result<bool> {
    let mut on = 0;
    // SAFETY: `on` is a valid place for one int.
    done(unsafe { camtl_deterministic(&mut on) })?;
    Ok(on != 0)
}

pub(crate) fn set_num_threads(threads: i32) -> Result<()> {
    // SAFETY: no pointers.
    done(unsafe { camtl_set_num_threads(threads) })
}

pub(crate) fn num_threads() -> Result<i32> {
    let mut threads = 0;
    // SAFETY: `threads` is a valid place for one int.
    done(unsafe { camtl_num_threads(&mut threads) })?;
    Ok(threads)
}

/// Starts autocast and gives what was set before.
pub(crate) fn begin_autocast(cuda: bool, dtype: c_int) -> Result<(bool, c_int)> {
    let (mut was_on, mut was_dtype) = (0, 0);
    // SAFETY: both places are valid for one int.
    done(unsafe { camtl_begin_autocast(cuda.into(), dtype, &mut was_on, &mut was_dtype) })?;
    Ok((was_on != 0, was_dtype))
}

/// Restores what [`begin_autocast`] gave.
pub(crate) fn end_autocast(cuda: bool, was_on: bool, was_dtype: c_int) -> Result<()> {
    // SAFETY: no pointers.
    done(unsafe { camtl_end_autocast(cuda.into(), was_on.into(), was_dtype) })
}

/// A float32 CPU tensor whose elements `fill` writes.
fn filled(shape: &[i64], fill: impl FnOnce(*mut f32)) -> Result<Tensor> {
    let mask = Tensor::f_empty(shape, (Kind::Float, tch::Device::Cpu))?;
    if mask.numel() > 0 {
        fill(mask.data_ptr().cast());
    }
    Ok(mask)
}

pub(crate) fn dropout_mask_flat(count: i64, dropout: &Dropout) -> Result<Tensor> {
    filled(&[count], |out| {
        // SAFETY: `out` has `count` floats.
        unsafe { camtl_dropout_flat(out, count, dropout.seed, dropout.threshold()) }
    })
}

pub(crate) fn dropout_mask_tokens(
    columns: i64,
    dropout: &Dropout,
    cu_seqlens: &[i64],
) -> Result<Tensor> {
    let sequences = cu_seqlens.len() as i64 - 1;
    let rows = cu_seqlens.last().copied().unwrap_or(0);
    filled(&[rows, columns], |out| {
        // SAFETY: `out` has rows x columns floats, and rows is the last start.
        unsafe {
            camtl_dropout_tokens(
                out,
                columns,
                cu_seqlens.as_ptr(),
                sequences,
                dropout.seed,
                dropout.threshold(),
            );
        }
    })
}

pub(crate) fn dropout_mask_attention(
    members: &[i64],
    heads: i64,
    queries: i64,
    keys: i64,
    dropout: &Dropout,
) -> Result<Tensor> {
    let count = members.len() as i64;
    filled(&[count, heads, queries, keys], |out| {
        // SAFETY: `out` has count x heads x queries x keys floats.
        unsafe {
            camtl_dropout_attention(
                out,
                members.as_ptr(),
                count,
                heads,
                queries,
                keys,
                dropout.seed,
                dropout.threshold(),
            );
        }
    })
}
