//! libtorch's run time, see `csrc/runtime.cc`; and the kernels' instruction set.

use std::ffi::{c_int, c_void};

use tch::kind::Element;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::{done, owned};
use crate::error::Result;

unsafe extern "C" {
    fn camtl_set_grad(param: *mut C_tensor, grad: *const C_tensor) -> c_int;
    fn camtl_upload(
        out: *mut *mut C_tensor,
        values: *const c_void,
        count: i64,
        dtype: c_int,
        device: i64,
    ) -> c_int;
    fn camtl_overwrite(to: *mut C_tensor, from: *const C_tensor) -> c_int;
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
    fn camtl_keep_freed_memory() -> c_int;
    fn camtl_isa() -> c_int;
    fn camtl_limit_isa(level: c_int);
}

/// Whether the C library took the request.
pub(crate) fn keep_freed_memory() -> bool {
    // SAFETY: no pointers.
    unsafe { camtl_keep_freed_memory() != 0 }
}

/// Instruction set in use: 0 baseline, 1 AVX2, 2 AVX-512.
pub(crate) fn isa() -> i32 {
    // SAFETY: no pointers.
    unsafe { camtl_isa() }
}

/// Restricts the kernels to a set; above what the processor has means its best.
pub(crate) fn limit_isa(level: i32) {
    // SAFETY: no pointers.
    unsafe { camtl_limit_isa(level) }
}

pub(crate) fn set_grad(param: &mut Tensor, grad: &Tensor) -> Result<()> {
    // SAFETY: both pointers are of live tensors.
    done(unsafe { camtl_set_grad(param.as_mut_ptr(), grad.as_ptr()) })
}

/// Numbers on a GPU, without waiting for it.
pub(crate) fn upload<T: Element>(values: &[T], device: usize) -> Result<Tensor> {
    // Numbers of `c10::ScalarType`.
    let dtype = match T::KIND {
        Kind::Int64 => 4,
        Kind::Float => 6,
        Kind::Double => 7,
        Kind::Bool => 11,
        _ => return Ok(Tensor::f_from_slice(values)?.f_to_device(Device::Cuda(device))?),
    };
    let mut out = std::ptr::null_mut();
    // SAFETY: as many numbers of this type as the slice has; `out` is a valid place for one pointer.
    done(unsafe {
        camtl_upload(
            &mut out,
            values.as_ptr().cast(),
            values.len() as i64,
            dtype,
            device as i64,
        )
    })?;
    owned(out)
}

pub(crate) fn overwrite(to: &mut Tensor, from: &Tensor) -> Result<()> {
    // SAFETY: both pointers are of live tensors.
    done(unsafe { camtl_overwrite(to.as_mut_ptr(), from.as_ptr()) })
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
