//! The C interface of `csrc/`: the only unsafe code of the workspace.
//!
//! Every wrapper is safe: it passes pointers of live tensors or slices whose
//! sizes it passes along, and turns the return code into an [`OpsError`].

pub(crate) mod cuda;
pub(crate) mod masks;
pub(crate) mod operations;
pub(crate) mod runtime;

use std::ffi::{CStr, c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::{OpsError, Result, first_line};

unsafe extern "C" {
    fn camtl_last_error() -> *const c_char;
}

/// Turns a return code of the shim into a result.
fn done(code: c_int) -> Result<()> {
    result_of(code, camtl_last_error)
}

/// Turns a return code into a result; `last_error` gives this thread's error text.
fn result_of(code: c_int, last_error: unsafe extern "C" fn() -> *const c_char) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the pointer is to this thread's error text, which lives as long as
    // the thread and changes only in a failing call on this thread.
    let text = unsafe { CStr::from_ptr(last_error()) }
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
