//! Captured graphs: the GPU work of a step, recorded once and replayed by one call.
//!
//! A step of a small model has more launches than the host can make while the GPU works
//! through them. A captured graph holds the launches with their arguments, so a replay
//! does the same work on whatever lies at the same addresses by then: new batches are put
//! in place with [`Packing::assign`](crate::Packing::assign) and `copy_`.
//!
//! What is captured must not copy to or from the host, and may not depend on the batch
//! through anything but the contents of tensors. Dropouts are the exception: each
//! replay is given their seeds.
//!
//! ```no_run
//! use camtl_ops::{CaptureScope, CudaGraph, OpsError, open_cuda};
//! use tch::{Kind, Tensor};
//!
//! let device = open_cuda(0)?;
//! let x = Tensor::ones([4], (Kind::Float, device));
//! let work = || -> Result<Tensor, OpsError> { Ok(x.f_exp()?.f_sum(Kind::Float)?) };
//! // Once for real, on the stream of captures: kernels are loaded, memory is there.
//! let first = CaptureScope::enter(device)?.run(work)?;
//! // Now it is recorded; nothing runs.
//! let (graph, sum) = CudaGraph::capture(device, None, work)?;
//! graph.replay(&[])?;
//! assert_eq!(sum, first);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::Device;

use crate::cuda;
use crate::error::{OpsError, Result};
use crate::ffi::cuda::{CaptureStream, RawGraph};

fn index_of(device: Device) -> Result<usize> {
    match device {
        Device::Cuda(index) => Ok(index),
        other => Err(OpsError::Value {
            op: "CudaGraph",
            message: format!("graphs are captured on a GPU, not on {other:?}"),
        }),
    }
}

/// This thread's work on the stream that graphs are captured on, until it is dropped. Work on the
/// stream before and after it is waited for.
#[derive(Debug)]
pub struct CaptureScope {
    stream: CaptureStream,
}

impl CaptureScope {
    /// Puts this thread on the stream of captures of a GPU.
    ///
    /// # Errors
    /// `device` is no GPU, the plugin is missing ([`OpsError::Cuda`]), or this thread is there already.
    pub fn enter(device: Device) -> Result<Self> {
        let index = index_of(device)?;
        Ok(CaptureScope {
            stream: CaptureStream::enter(cuda::plugin()?, index)?,
        })
    }

    /// Runs `work` there and brings the thread back.
    pub fn run<T>(self, work: impl FnOnce() -> T) -> T {
        let result = work();
        drop(self.stream);
        result
    }
}

/// A captured graph.
#[derive(Debug)]
pub struct CudaGraph {
    raw: RawGraph,
    seeds: Vec<u64>,
}

impl CudaGraph {
    /// Records what `work` would have the GPU do, without doing it. The same work must have run once
    /// in a [`CaptureScope`] before. What `work` returns is written by each replay.
    ///
    /// The graph reads and writes the tensors that `work` used at the addresses they have: they must
    /// live as long as the graph. Memory for what is in between is the graph's own, or that of
    /// `shared`; graphs that share it must be replayed one after another, and their results read
    /// before the next.
    ///
    /// # Errors
    /// Those of `work`; or the GPU refuses, as when `work` waits for the device.
    pub fn capture<T, E: From<OpsError>>(
        device: Device,
        shared: Option<&CudaGraph>,
        work: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<(Self, T), E> {
        let index = index_of(device)?;
        let within = |error: OpsError| error.within("CudaGraph::capture");
        let plugin = cuda::plugin()?;
        let stream = CaptureStream::enter(plugin, index).map_err(within)?;
        let mut raw =
            RawGraph::begin(plugin, index, shared.map(|graph| &graph.raw)).map_err(within)?;
        // If it fails, `raw` is dropped first: a capture ends on the stream it began on.
        let result = work()?;
        raw.end().map_err(within)?;
        drop(stream);
        let seeds = raw.seeds().map_err(within)?;
        Ok((CudaGraph { raw, seeds }, result))
    }

    /// Seeds of the dropouts that were captured, in the order of [`CudaGraph::replay`]'s.
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// Does the recorded work, with these dropout seeds. Returns as soon as the GPU has been told.
    ///
    /// # Errors
    /// There are not as many seeds as dropouts were captured, or the GPU refuses.
    pub fn replay(&self, seeds: &[u64]) -> Result<()> {
        self.raw
            .replay(seeds)
            .map_err(|error| error.within("CudaGraph::replay"))
    }
}
