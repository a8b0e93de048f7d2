//! The fused operations as autograd functions, see `csrc/function_*.cc`.
//!
//! Arguments have been checked by the public operations: shapes, devices and
//! that all floating-point tensors are of one of the supported types.

use std::ffi::{c_int, c_void};

use tch::Tensor;
use torch_sys::C_tensor;

use super::{done, owned};
use crate::dropout::Dropout;
use crate::embedding::Embedding;
use crate::error::Result;
use crate::heads::Head;

/// `CamtlDropout` of `csrc/kernels.h`.
#[repr(C)]
pub(super) struct DropoutArgs {
    seed: u64,
    scale: f64,
    threshold: u32,
    on: i32,
}

impl From<Option<Dropout>> for DropoutArgs {
    fn from(dropout: Option<Dropout>) -> Self {
        match dropout {
            Some(d) => DropoutArgs {
                seed: d.seed,
                scale: d.scale(),
                threshold: d.threshold(),
                on: 1,
            },
            None => DropoutArgs {
                seed: 0,
                scale: 1.0,
                threshold: 0,
                on: 0,
            },
        }
    }
}

unsafe extern "C" {
    fn camtl_layout_new(
        out: *mut *mut c_void,
        starts: *const i64,
        keys: *const i64,
        tasks: *const i64,
        sequences: i64,
    ) -> c_int;
    fn camtl_layout_free(layout: *mut c_void);
    fn camtl_film(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        gamma: *const C_tensor,
        beta: *const C_tensor,
        layout: *mut c_void,
    ) -> c_int;
    fn camtl_layer_norm(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        residual: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        eps: f64,
        dropout: *const DropoutArgs,
        layout: *mut c_void,
    ) -> c_int;
    fn camtl_gelu(out: *mut *mut C_tensor, x: *const C_tensor, bias: *const C_tensor) -> c_int;
    fn camtl_linear(
        out: *mut *mut C_tensor,
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
    ) -> c_int;
    fn camtl_attention(
        out: *mut *mut C_tensor,
        q: *const C_tensor,
        k: *const C_tensor,
        v: *const C_tensor,
        band: *const C_tensor,
        heads: i64,
        first_only: c_int,
        dropout: *const DropoutArgs,
        layout: *mut c_void,
    ) -> c_int;
    fn camtl_embedding(
        out: *mut *mut C_tensor,
        ids: *const *const C_tensor,
        tables: *const *const C_tensor,
        eps: f64,
        dropout: *const DropoutArgs,
        layout: *mut c_void,
    ) -> c_int;
    fn camtl_heads(
        out: *mut *mut C_tensor,
        pooled: *const C_tensor,
        weights: *const *const C_tensor,
        biases: *const *const C_tensor,
        outputs: *const i64,
        regression: *const i32,
        heads: i64,
        head: *const i64,
        offset: *const i64,
        said: i64,
        classes: *const C_tensor,
        scores: *const C_tensor,
    ) -> c_int;
}

/// Layout of a batch on the C++ side; autograd nodes share it.
#[derive(Debug)]
pub(crate) struct Layout(*mut c_void);

// SAFETY: the object behind the pointer is immutable and its count is atomic.
unsafe impl Send for Layout {}

impl Layout {
    pub(crate) fn new(cu_seqlens: &[i64], key_lengths: &[i64], tasks: &[i64]) -> Result<Self> {
        let mut out = std::ptr::null_mut();
        // SAFETY: the slices have sequences + 1, sequences and sequences entries,
        // as Packing keeps them.
        done(unsafe {
            camtl_layout_new(
                &mut out,
                cu_seqlens.as_ptr(),
                key_lengths.as_ptr(),
                tasks.as_ptr(),
                tasks.len() as i64,
            )
        })?;
        Ok(Layout(out))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: the pointer is from camtl_layout_new and given back once.
        unsafe { camtl_layout_free(self.0) }
    }
}

fn pointer(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(std::ptr::null(), Tensor::as_ptr)
}

pub(crate) fn film(x: &Tensor, gamma: &Tensor, beta: &Tensor, layout: &Layout) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: all pointers are of live objects.
    done(unsafe {
        camtl_film(
            &mut out,
            x.as_ptr(),
            gamma.as_ptr(),
            beta.as_ptr(),
            layout.0,
        )
    })?;
    owned(out)
}

pub(crate) fn layer_norm(
    x: &Tensor,
    residual: Option<&Tensor>,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    dropout: Option<Dropout>,
    layout: &Layout,
) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    let dropout = DropoutArgs::from(dropout);
    // SAFETY: all pointers are of live objects or null where that is allowed.
    done(unsafe {
        camtl_layer_norm(
            &mut out,
            x.as_ptr(),
            pointer(residual),
            weight.as_ptr(),
            bias.as_ptr(),
            eps,
            &dropout,
            layout.0,
        )
    })?;
    owned(out)
}

pub(crate) fn gelu(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: all pointers are of live objects.
    done(unsafe { camtl_gelu(&mut out, x.as_ptr(), bias.as_ptr()) })?;
    owned(out)
}

pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: all pointers are of live objects.
    done(unsafe { camtl_linear(&mut out, x.as_ptr(), weight.as_ptr(), pointer(bias)) })?;
    owned(out)
}

/// `k` and `v` absent: `q` holds all three side by side.
#[allow(clippy::too_many_arguments)]
pub(crate) fn attention(
    q: &Tensor,
    k: Option<&Tensor>,
    v: Option<&Tensor>,
    band: Option<&Tensor>,
    heads: i64,
    first_only: bool,
    dropout: Option<Dropout>,
    layout: &Layout,
) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    let dropout = DropoutArgs::from(dropout);
    // SAFETY: all pointers are of live objects or null where that is allowed.
    done(unsafe {
        camtl_attention(
            &mut out,
            q.as_ptr(),
            pointer(k),
            pointer(v),
            pointer(band),
            heads,
            first_only.into(),
            &dropout,
            layout.0,
        )
    })?;
    owned(out)
}

pub(crate) fn embedding(
    e: &Embedding<'_>,
    film: Option<(&Tensor, &Tensor)>,
    dropout: Option<Dropout>,
    layout: &Layout,
) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    let dropout = DropoutArgs::from(dropout);
    let ids = e.ids().map(Tensor::as_ptr);
    let tables = e.tables(film).map(pointer);
    // SAFETY: three ids and seven tables, the last two may be null.
    done(unsafe {
        camtl_embedding(
            &mut out,
            ids.as_ptr(),
            tables.as_ptr(),
            e.eps,
            &dropout,
            layout.0,
        )
    })?;
    owned(out)
}

/// Logits of all sequences in one tensor, loss, entropy. `offset` is each
/// sequence's place among the `said` logits.
pub(crate) fn heads(
    pooled: &Tensor,
    heads: &[Head<'_>],
    head: &[i64],
    offset: &[i64],
    said: i64,
    targets: Option<(&Tensor, &Tensor)>,
) -> Result<[Tensor; 3]> {
    let mut out = [std::ptr::null_mut(); 3];
    let weights: Vec<_> = heads.iter().map(|head| head.weight.as_ptr()).collect();
    let biases: Vec<_> = heads.iter().map(|head| head.bias.as_ptr()).collect();
    let outputs: Vec<i64> = heads.iter().map(|head| head.bias.numel() as i64).collect();
    let regression: Vec<i32> = heads.iter().map(|head| head.regression.into()).collect();
    // SAFETY: one entry per head, and one per row of `pooled` in `head` and
    // `offset`; pointers are of live tensors or null where that is allowed.
    done(unsafe {
        camtl_heads(
            out.as_mut_ptr(),
            pooled.as_ptr(),
            weights.as_ptr(),
            biases.as_ptr(),
            outputs.as_ptr(),
            regression.as_ptr(),
            heads.len() as i64,
            head.as_ptr(),
            offset.as_ptr(),
            said,
            pointer(targets.map(|(classes, _)| classes)),
            pointer(targets.map(|(_, scores)| scores)),
        )
    })?;
    let [logits, loss, entropy] = out;
    Ok([owned(logits)?, owned(loss)?, owned(entropy)?])
}
