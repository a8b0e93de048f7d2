//! The operations of `csrc/operations.h`: one list of C functions, of which the CPU and the GPU's
//! plugin each have their own, called from here for both.
//!
//! Arguments have been checked by the public operations: shapes, devices and that all
//! floating-point tensors are of one of the supported types.

use std::ffi::{c_char, c_int, c_void};

use tch::Tensor;
use torch_sys::C_tensor;

use super::{owned, result_of};
use crate::adamw::{AdamWForm, AdamWOptions, AdamWState};
use crate::dropout::Dropout;
use crate::embedding::Embedding;
use crate::error::Result;
use crate::heads::Head;

type Out = *mut *mut C_tensor;
type In = *const C_tensor;

/// `DropoutArguments` of operations.h.
#[repr(C)]
pub(super) struct DropoutArguments {
    seed: u64,
    scale: f64,
    threshold: u32,
    on: i32,
}

impl From<Option<Dropout>> for DropoutArguments {
    fn from(dropout: Option<Dropout>) -> Self {
        match dropout {
            Some(d) => DropoutArguments {
                seed: d.seed,
                scale: d.scale(),
                threshold: d.threshold(),
                on: 1,
            },
            None => DropoutArguments {
                seed: 0,
                scale: 1.0,
                threshold: 0,
                on: 0,
            },
        }
    }
}

/// `Operations` of operations.h, field by field.
#[repr(C)]
pub(super) struct Table {
    last_error: unsafe extern "C" fn() -> *const c_char,
    layout_new: unsafe extern "C" fn(
        *mut *mut c_void,
        *const i64,
        *const i64,
        *const i64,
        i64,
        i64,
        i64,
        i64,
    ) -> c_int,
    layout_free: unsafe extern "C" fn(*mut c_void),
    film: unsafe extern "C" fn(Out, In, In, In, *mut c_void) -> c_int,
    layer_norm: unsafe extern "C" fn(
        Out,
        In,
        In,
        In,
        In,
        f64,
        *const DropoutArguments,
        *mut c_void,
    ) -> c_int,
    gelu: unsafe extern "C" fn(Out, In, In) -> c_int,
    linear: unsafe extern "C" fn(Out, In, In, In, *const In) -> c_int,
    attention: unsafe extern "C" fn(
        Out,
        In,
        In,
        In,
        In,
        i64,
        c_int,
        *const DropoutArguments,
        *mut c_void,
    ) -> c_int,
    embedding: unsafe extern "C" fn(
        Out,
        *const In,
        *const In,
        f64,
        *const DropoutArguments,
        *mut c_void,
    ) -> c_int,
    heads: unsafe extern "C" fn(
        Out,
        In,
        *const In,
        *const In,
        *const i32,
        i64,
        In,
        In,
        *mut c_void,
    ) -> c_int,
    adamw: unsafe extern "C" fn(
        *mut C_tensor,
        In,
        *mut C_tensor,
        *mut C_tensor,
        *mut C_tensor,
        In,
        f64,
        f64,
        f64,
        f64,
        f64,
        i64,
        c_int,
        *const i64,
        i64,
    ) -> c_int,
    norm: unsafe extern "C" fn(Out, In) -> c_int,
    top_scores: unsafe extern "C" fn(Out, In, i64) -> c_int,
}

unsafe extern "C" {
    fn camtl_cpu_operations() -> *const Table;
}

/// The operations of one kind of device.
#[derive(Clone, Copy)]
pub(crate) struct Operations {
    table: &'static Table,
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operations at {:p}", self.table)
    }
}

pub(super) fn pointer(tensor: Option<&Tensor>) -> In {
    tensor.map_or(std::ptr::null(), Tensor::as_ptr)
}

impl Operations {
    /// Those of the CPU.
    pub(crate) fn cpu() -> Self {
        // SAFETY: the address of a constant, laid out as declared above.
        Operations {
            table: unsafe { &*camtl_cpu_operations() },
        }
    }

    /// Those of a table that lives as long as the process.
    pub(super) fn of(table: &'static Table) -> Self {
        Operations { table }
    }

    /// Turns a return code into a result.
    pub(super) fn done(self, code: c_int) -> Result<()> {
        result_of(code, self.table.last_error)
    }

    pub(super) fn tensor(self, call: impl FnOnce(Out) -> c_int) -> Result<Tensor> {
        let mut out = std::ptr::null_mut();
        self.done(call(&mut out))?;
        owned(out)
    }

    pub(crate) fn film(
        self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        layout: &Layout,
    ) -> Result<Tensor> {
        // SAFETY: all pointers are of live objects; so in the functions below, where null stands for
        // an absent tensor.
        self.tensor(|out| unsafe {
            (self.table.film)(
                out,
                x.as_ptr(),
                gamma.as_ptr(),
                beta.as_ptr(),
                layout.pointer,
            )
        })
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn layer_norm(
        self,
        x: &Tensor,
        residual: Option<&Tensor>,
        weight: &Tensor,
        bias: &Tensor,
        eps: f64,
        dropout: Option<Dropout>,
        layout: &Layout,
    ) -> Result<Tensor> {
        let dropout = DropoutArguments::from(dropout);
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe {
            (self.table.layer_norm)(
                out,
                x.as_ptr(),
                pointer(residual),
                weight.as_ptr(),
                bias.as_ptr(),
                eps,
                &dropout,
                layout.pointer,
            )
        })
    }

    pub(crate) fn gelu(self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe { (self.table.gelu)(out, x.as_ptr(), bias.as_ptr()) })
    }

    /// `lowered`: weight and bias in bf16.
    pub(crate) fn linear(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        lowered: Option<(&Tensor, Option<&Tensor>)>,
    ) -> Result<Tensor> {
        let lowered = lowered.map(|(weight, bias)| [weight.as_ptr(), pointer(bias)]);
        // SAFETY: as in `film`; two pointers or none.
        self.tensor(|out| unsafe {
            (self.table.linear)(
                out,
                x.as_ptr(),
                weight.as_ptr(),
                pointer(bias),
                lowered
                    .as_ref()
                    .map_or(std::ptr::null(), |pair| pair.as_ptr()),
            )
        })
    }

    /// `k` and `v` absent: `q` holds all three side by side.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn attention(
        self,
        q: &Tensor,
        k: Option<&Tensor>,
        v: Option<&Tensor>,
        band: Option<&Tensor>,
        heads: i64,
        first_only: bool,
        dropout: Option<Dropout>,
        layout: &Layout,
    ) -> Result<Tensor> {
        let dropout = DropoutArguments::from(dropout);
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe {
            (self.table.attention)(
                out,
                q.as_ptr(),
                pointer(k),
                pointer(v),
                pointer(band),
                heads,
                first_only.into(),
                &dropout,
                layout.pointer,
            )
        })
    }

    pub(crate) fn embedding(
        self,
        e: &Embedding<'_>,
        film: Option<(&Tensor, &Tensor)>,
        dropout: Option<Dropout>,
        layout: &Layout,
    ) -> Result<Tensor> {
        let dropout = DropoutArguments::from(dropout);
        let ids = e.ids().map(|ids| pointer(Some(ids)));
        let tables = e.tables(film).map(pointer);
        // SAFETY: as in `film`; three ids and seven tables, the last two may be null.
        self.tensor(|out| unsafe {
            (self.table.embedding)(
                out,
                ids.as_ptr(),
                tables.as_ptr(),
                e.eps,
                &dropout,
                layout.pointer,
            )
        })
    }

    /// Logits `[B, C]` of all heads side by side, entropies and, with targets (classes and scores),
    /// losses.
    pub(crate) fn heads(
        self,
        pooled: &Tensor,
        heads: &[Head<'_>],
        targets: Option<(&Tensor, &Tensor)>,
        layout: &Layout,
    ) -> Result<(Tensor, Tensor, Option<Tensor>)> {
        let mut out = [std::ptr::null_mut(); 3];
        let weights: Vec<_> = heads.iter().map(|head| head.weight.as_ptr()).collect();
        let biases: Vec<_> = heads.iter().map(|head| head.bias.as_ptr()).collect();
        let regression: Vec<i32> = heads.iter().map(|head| head.regression.into()).collect();
        // SAFETY: as in `film`; one entry per head, whose number is passed along; all three results
        // are written on success.
        self.done(unsafe {
            (self.table.heads)(
                out.as_mut_ptr(),
                pooled.as_ptr(),
                weights.as_ptr().cast(),
                biases.as_ptr().cast(),
                regression.as_ptr(),
                heads.len() as i64,
                pointer(targets.map(|(classes, _)| classes)),
                pointer(targets.map(|(_, scores)| scores)),
                layout.pointer,
            )
        })?;
        let (logits, entropy) = (owned(out[0])?, owned(out[1])?);
        let loss = (!out[2].is_null()).then(|| owned(out[2])).transpose()?;
        Ok((logits, entropy, loss))
    }

    /// One step in place on flat buffers, the one after `state.step`. `lowered`: what takes the new
    /// parameters in bf16.
    pub(crate) fn adamw(
        self,
        state: &mut AdamWState,
        param: &mut Tensor,
        grad: &Tensor,
        options: &AdamWOptions,
        lowered: Option<&mut Tensor>,
        clip: Option<&Tensor>,
    ) -> Result<()> {
        let ranges: Option<Vec<i64>> = options.decay.as_ref().map(|ranges| {
            ranges
                .iter()
                .flat_map(|range| [range.start, range.end])
                .collect()
        });
        let step = state.step + 1;
        // SAFETY: live tensors; the caller has checked types, devices, sizes and that they are
        // contiguous; the ranges' number is passed along.
        self.done(unsafe {
            (self.table.adamw)(
                param.as_mut_ptr(),
                grad.as_ptr(),
                state.exp_avg.as_mut_ptr(),
                state.exp_avg_sq.as_mut_ptr(),
                lowered.map_or(std::ptr::null_mut(), Tensor::as_mut_ptr),
                pointer(clip),
                options.lr,
                options.beta1,
                options.beta2,
                options.eps,
                options.weight_decay,
                step,
                (options.form == AdamWForm::HuggingFace).into(),
                ranges
                    .as_ref()
                    .map_or(std::ptr::null(), |ranges| ranges.as_ptr()),
                ranges.as_ref().map_or(0, |ranges| ranges.len() as i64 / 2),
            )
        })
    }

    /// Euclidean norm, a scalar on the device.
    pub(crate) fn norm(self, flat: &Tensor) -> Result<Tensor> {
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe { (self.table.norm)(out, flat.as_ptr()) })
    }

    /// Indices of the largest scores.
    pub(crate) fn top_scores(self, scores: &Tensor, wanted: i64) -> Result<Tensor> {
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe { (self.table.top_scores)(out, scores.as_ptr(), wanted) })
    }
}

/// Layout of a batch on the C++ side; autograd nodes share it.
#[derive(Debug)]
pub(crate) struct Layout {
    operations: Operations,
    pub(super) pointer: *mut c_void,
}

// SAFETY: the count of the object behind the pointer is atomic, and it is written only through an
// exclusive reference.
unsafe impl Send for Layout {}

impl Layout {
    /// `fixed`: tasks and longest sequence on which sizes depend instead of the batch's own. `device`:
    /// the GPU's number, of no meaning on the CPU.
    pub(crate) fn new(
        operations: Operations,
        cu_seqlens: &[i64],
        key_lengths: &[i64],
        tasks: &[i64],
        fixed: Option<(i64, i64)>,
        device: usize,
    ) -> Result<Self> {
        let mut pointer = std::ptr::null_mut();
        let (fixed_tasks, fixed_length) = fixed.unwrap_or((0, 0));
        // SAFETY: the slices have sequences + 1, sequences and sequences entries, as Packing keeps
        // them.
        operations.done(unsafe {
            (operations.table.layout_new)(
                &mut pointer,
                cu_seqlens.as_ptr(),
                key_lengths.as_ptr(),
                tasks.as_ptr(),
                tasks.len() as i64,
                fixed_tasks,
                fixed_length,
                device as i64,
            )
        })?;
        Ok(Layout {
            operations,
            pointer,
        })
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: the pointer is from layout_new and given back once.
        unsafe { (self.operations.table.layout_free)(self.pointer) }
    }
}
