//! The switch between the fused kernels and their definitions, and which of the
//! two a call takes.
//!
//! Fused kernels exist for float32 and float64 on the CPU. A call whose tensors
//! are of another type or device, or of different types, takes the definition of
//! [`crate::slow`]: mixed precision under autocast is the usual case.
//!
//! ```
//! use camtl_ops::{fused, set_fused};
//!
//! assert!(fused());
//! set_fused(false);
//! assert!(!fused());
//! # set_fused(true);
//! ```

use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::ffi::cuda::Plugin;
use crate::ffi::operations::Operations;
use crate::ffi::runtime as ffi;

static FUSED: AtomicBool = AtomicBool::new(true);

/// Chooses for the whole process: `true` (the start value) uses fused kernels,
/// `false` the compositions of [`crate::slow`].
pub fn set_fused(on: bool) {
    FUSED.store(on, Ordering::Relaxed);
}

/// Whether fused kernels are in use.
pub fn fused() -> bool {
    FUSED.load(Ordering::Relaxed)
}

/// The kernels that a call with these tensors takes: the CPU's, or the GPU's if `on_gpu` finds that
/// they take tensors like the first; none leaves it to the definition.
pub(crate) fn kernels<'a>(
    first: &Tensor,
    others: impl IntoIterator<Item = Option<&'a Tensor>>,
    on_gpu: impl FnOnce(&Tensor) -> Result<Option<Plugin>>,
) -> Result<Option<Operations>> {
    if takes_on_cpu(first, others) {
        return Ok(Some(Operations::cpu()));
    }
    Ok(on_gpu(first)?.map(Plugin::operations))
}

fn takes_on_cpu<'a>(first: &Tensor, others: impl IntoIterator<Item = Option<&'a Tensor>>) -> bool {
    let kind = first.kind();
    fused()
        && first.device() == Device::Cpu
        && matches!(kind, Kind::Float | Kind::Double)
        && others
            .into_iter()
            .flatten()
            .all(|other| other.kind() == kind && other.device() == Device::Cpu)
}

/// Instruction sets the CPU kernels are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CpuIsa {
    /// What every processor of the architecture has.
    Baseline,
    /// x86-64-v3: AVX2 and FMA.
    Avx2,
    /// x86-64-v4: AVX-512.
    Avx512,
}

/// The instruction set in use: the best the processor has, unless limited.
pub fn cpu_isa() -> CpuIsa {
    match ffi::isa() {
        0 => CpuIsa::Baseline,
        1 => CpuIsa::Avx2,
        _ => CpuIsa::Avx512,
    }
}

/// Limits the kernels of this process to an instruction set, for comparisons.
/// Results differ in rounding between sets. Gives the set now in use.
///
/// ```
/// use camtl_ops::{CpuIsa, cpu_isa, limit_cpu_isa};
///
/// let best = cpu_isa();
/// assert_eq!(limit_cpu_isa(CpuIsa::Baseline), CpuIsa::Baseline);
/// assert_eq!(limit_cpu_isa(CpuIsa::Avx512), best);
/// ```
pub fn limit_cpu_isa(isa: CpuIsa) -> CpuIsa {
    ffi::limit_isa(match isa {
        CpuIsa::Baseline => 0,
        CpuIsa::Avx2 => 1,
        CpuIsa::Avx512 => 2,
    });
    cpu_isa()
}
