//! What a training loop needs of libtorch's run time and tch does not bind:
//! gradients as views of one buffer, generator state, determinism, autocast and
//! the thread count.
//!
//! ```
//! use camtl_ops::{rng_state, set_rng_state};
//! use tch::{Device, Kind, Tensor};
//!
//! let state = rng_state()?;
//! let first = Tensor::randn([4], (Kind::Float, Device::Cpu));
//! set_rng_state(&state)?;
//! assert_eq!(first, Tensor::randn([4], (Kind::Float, Device::Cpu)));
//! # Ok::<(), camtl_ops::OpsError>(())
//! ```

use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use crate::error::{OpsError, Result};
use crate::ffi::runtime as ffi;

/// Makes `grad` the gradient of `param`, without a copy: the next backward pass
/// adds into it. With `grad` a view of a flat buffer, the whole model's gradient
/// is one array, and [`linear`](crate::linear) and
/// [`embed_norm_film`](crate::embed_norm_film) add to it themselves: a backward
/// pass that is to return such a gradient (`run_backward`) returns none.
///
/// # Errors
/// [`OpsError::Shape`] or [`OpsError::Kind`] if the two differ,
/// [`OpsError::Libtorch`] if `param` is no leaf that requires a gradient.
///
/// ```
/// use camtl_ops::set_grad_view;
/// use tch::{Device, Kind, Tensor};
///
/// let flat = Tensor::zeros([6], (Kind::Float, Device::Cpu));
/// let mut w = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// set_grad_view(&mut w, &flat.narrow(0, 1, 4).view([2, 2]))?;
/// (&w * 3.0).sum(Kind::Float).backward();
/// assert_eq!(Vec::<f32>::try_from(&flat)?, [0., 3., 3., 3., 3., 0.]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn set_grad_view(param: &mut Tensor, grad: &Tensor) -> Result<()> {
    let op = "set_grad_view";
    if param.size() != grad.size() {
        return Err(OpsError::shape(
            op,
            "grad",
            format!("{:?}", param.size()),
            grad,
        ));
    }
    crate::check::kind(op, "grad", grad, param.kind())?;
    ffi::set_grad(param, grad).map_err(|e| e.within(op))
}

/// The numbers as a one-dimensional tensor on `device`. A GPU is not waited for: the copy takes its
/// turn among the work that it has been given.
///
/// # Errors
/// [`OpsError::Libtorch`] if the device refuses them.
///
/// ```
/// use camtl_ops::upload;
/// use tch::{Device, Kind};
///
/// let ids = upload(&[3i64, 1, 2], Device::Cpu)?;
/// assert_eq!((ids.kind(), ids.size()), (Kind::Int64, vec![3]));
/// # Ok::<(), camtl_ops::OpsError>(())
/// ```
pub fn upload<T: tch::kind::Element>(values: &[T], device: Device) -> Result<Tensor> {
    match device {
        Device::Cuda(index) => ffi::upload(values, index).map_err(|e| e.within("upload")),
        _ => Ok(Tensor::f_from_slice(values)?.f_to_device(device)?),
    }
}

/// Puts the numbers of `from` in the place of those of `to`, which keeps its address. From host
/// memory to a GPU this does not wait, as [`upload`] does not.
///
/// # Errors
/// [`OpsError::Libtorch`] if the shapes differ or the device refuses.
///
/// ```
/// use camtl_ops::overwrite;
/// use tch::Tensor;
///
/// let mut to = Tensor::from_slice(&[0i64, 0]);
/// let view = to.shallow_clone();
/// overwrite(&mut to, &Tensor::from_slice(&[3i64, 4]))?;
/// assert_eq!(Vec::<i64>::try_from(view)?, [3, 4]);
/// assert!(overwrite(&mut to, &Tensor::from_slice(&[1i64])).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn overwrite(to: &mut Tensor, from: &Tensor) -> Result<()> {
    ffi::overwrite(to, from).map_err(|e| e.within("overwrite"))
}

/// State of libtorch's CPU generator, a tensor of bytes to store as it is.
///
/// # Errors
/// [`OpsError::Libtorch`] if libtorch cannot give it.
pub fn rng_state() -> Result<Tensor> {
    ffi::rng_state().map_err(|e| e.within("rng_state"))
}

/// Puts libtorch's CPU generator into a state from [`rng_state`].
///
/// # Errors
/// [`OpsError::Libtorch`] if the bytes are no generator state.
pub fn set_rng_state(state: &Tensor) -> Result<()> {
    ffi::set_rng_state(state).map_err(|e| e.within("set_rng_state"))
}

/// Makes libtorch refuse operations without a deterministic form, and stops
/// cuDNN from choosing algorithms by timing. The operations of this crate are
/// deterministic either way.
///
/// # Errors
/// [`OpsError::Libtorch`] if libtorch refuses.
pub fn set_deterministic(on: bool) -> Result<()> {
    ffi::set_deterministic(on).map_err(|e| e.within("set_deterministic"))
}

/// Whether [`set_deterministic`] is on.
///
/// # Errors
/// [`OpsError::Libtorch`] if libtorch cannot tell.
pub fn deterministic() -> Result<bool> {
    ffi::deterministic().map_err(|e| e.within("deterministic"))
}

/// Sets the number of threads of libtorch and of this crate's kernels, which
/// share one pool. Results of reductions are the same for the same count.
///
/// # Errors
/// [`OpsError::Value`] if `threads` is below 1.
pub fn set_num_threads(threads: i32) -> Result<()> {
    let op = "set_num_threads";
    if threads < 1 {
        return Err(OpsError::Value {
            op,
            message: format!("{threads} threads, expected 1 or more"),
        });
    }
    ffi::set_num_threads(threads).map_err(|e| e.within(op))
}

/// Number of threads in use.
///
/// # Errors
/// [`OpsError::Libtorch`] if libtorch cannot tell.
pub fn num_threads() -> Result<i32> {
    ffi::num_threads().map_err(|e| e.within("num_threads"))
}

/// Lets the C library keep freed memory for the next allocation, instead of
/// returning every large block to the system and having each page of the next
/// one cleared and mapped anew: activations of a training step are such blocks.
/// For programs that train or serve; call it once at the start. Gives whether
/// the C library took the request (glibc does).
pub fn keep_freed_memory() -> bool {
    ffi::keep_freed_memory()
}

/// Automatic mixed precision on this thread until the guard is dropped, on the
/// CPU as well (tch's own form does nothing there).
///
/// ```
/// use camtl_ops::AutocastGuard;
/// use tch::{Device, Kind, Tensor};
///
/// let x = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
/// {
///     let _autocast = AutocastGuard::new(Device::Cpu, Kind::BFloat16)?;
///     assert_eq!(x.matmul(&x).kind(), Kind::BFloat16);
///     assert_eq!(x.softmax(-1, None::<Kind>).kind(), Kind::Float);
/// }
/// assert_eq!(x.matmul(&x).kind(), Kind::Float);
/// # Ok::<(), camtl_ops::OpsError>(())
/// ```
#[derive(Debug)]
pub struct AutocastGuard {
    cuda: bool,
    was_on: bool,
    was_dtype: i32,
    // Autocast is a property of the thread.
    thread: PhantomData<*const ()>,
}

impl AutocastGuard {
    /// Starts autocast for operations on `device`, computing in `kind`
    /// (`BFloat16` or `Half`).
    ///
    /// # Errors
    /// [`OpsError::Value`] for another kind or a device that is neither CPU nor
    /// CUDA.
    pub fn new(device: Device, kind: Kind) -> Result<Self> {
        let op = "AutocastGuard::new";
        let dtype = match kind {
            Kind::BFloat16 => 15,
            Kind::Half => 5,
            other => {
                let message = format!("kind {other:?}, expected BFloat16 or Half");
                return Err(OpsError::Value { op, message });
            }
        };
        let cuda = match device {
            Device::Cpu => false,
            Device::Cuda(_) => true,
            other => {
                return Err(OpsError::Value {
                    op,
                    message: format!("device {other:?}, expected the CPU or CUDA"),
                });
            }
        };
        let (was_on, was_dtype) = ffi::begin_autocast(cuda, dtype).map_err(|e| e.within(op))?;
        Ok(AutocastGuard {
            cuda,
            was_on,
            was_dtype,
            thread: PhantomData,
        })
    }
}

impl Drop for AutocastGuard {
    fn drop(&mut self) {
        if let Err(error) = ffi::end_autocast(self.cuda, self.was_on, self.was_dtype) {
            tracing::error!(%error, "autocast could not be restored");
        }
    }
}
