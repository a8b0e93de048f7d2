//! The CUDA plugin as `csrc/cuda/plugin/table.h` describes it: a library opened at
//! run time that exports one table of functions.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use tch::Tensor;
use torch_sys::C_tensor;

use super::functions::DropoutArgs;
use super::owned;
use crate::adamw::{AdamWForm, AdamWOptions, AdamWState};
use crate::dropout::Dropout;
use crate::embedding::Embedding;
use crate::error::{OpsError, Result, first_line};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;
const RTLD_GLOBAL: c_int = 0x100;

/// `kTableVersion` of table.h.
const TABLE_VERSION: u32 = 3;

type Out = *mut *mut C_tensor;
type In = *const C_tensor;

/// `Table` of table.h, field by field.
#[repr(C)]
struct Table {
    version: u32,
    size: u32,
    torch_version: *const c_char,
    last_error: unsafe extern "C" fn() -> *const c_char,
    devices: unsafe extern "C" fn(*mut i64) -> c_int,
    capability: unsafe extern "C" fn(i64, *mut i64) -> c_int,
    autocast: unsafe extern "C" fn() -> c_int,
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
    layout_assign: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
    layout_free: unsafe extern "C" fn(*mut c_void),
    film: unsafe extern "C" fn(Out, In, In, In, *mut c_void) -> c_int,
    layer_norm:
        unsafe extern "C" fn(Out, In, In, In, In, f64, *const DropoutArgs, *mut c_void) -> c_int,
    dropout: unsafe extern "C" fn(Out, In, *const DropoutArgs, *mut c_void) -> c_int,
    gelu: unsafe extern "C" fn(Out, In, In) -> c_int,
    attention: unsafe extern "C" fn(
        Out,
        In,
        In,
        In,
        In,
        i64,
        c_int,
        *const DropoutArgs,
        *mut c_void,
    ) -> c_int,
    embedding: unsafe extern "C" fn(
        Out,
        *const In,
        *const In,
        f64,
        *const DropoutArgs,
        *mut c_void,
    ) -> c_int,
    heads: unsafe extern "C" fn(Out, In, *const i64, *const i64, i64, In, In, *mut c_void) -> c_int,
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
    graph_enter: unsafe extern "C" fn(i64) -> c_int,
    graph_leave: unsafe extern "C" fn() -> c_int,
    graph_begin: unsafe extern "C" fn(*mut *mut c_void, i64, *mut c_void) -> c_int,
    graph_end: unsafe extern "C" fn(*mut c_void) -> c_int,
    graph_seeds: unsafe extern "C" fn(*mut c_void, *mut u64, *mut i64) -> c_int,
    graph_replay: unsafe extern "C" fn(*mut c_void, *const u64, i64) -> c_int,
    graph_free: unsafe extern "C" fn(*mut c_void),
}

/// The opened plugin. It stays open as long as the process lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plugin {
    table: &'static Table,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table {{ version: {} }}", self.version)
    }
}

// SAFETY: the table is constant, and its functions may be called from any thread.
unsafe impl Send for Plugin {}
// SAFETY: as above.
unsafe impl Sync for Plugin {}

/// Opens a library for the whole process; its symbols are visible to those opened later.
pub(crate) fn open_library(name: &Path) -> std::result::Result<*mut c_void, String> {
    let text = CString::new(name.as_os_str().as_encoded_bytes())
        .map_err(|_| "its path contains a zero byte".to_owned())?;
    // SAFETY: a zero-terminated name; opening runs the library's constructors, which
    // is what is wanted.
    let library = unsafe { dlopen(text.as_ptr(), RTLD_NOW | RTLD_GLOBAL) };
    if library.is_null() {
        Err(loader_error())
    } else {
        Ok(library)
    }
}

fn loader_error() -> String {
    // SAFETY: dlerror returns null or a text that lives until the next call of a dl
    // function on this thread.
    let text = unsafe { dlerror() };
    if text.is_null() {
        return "the loader gives no reason".to_owned();
    }
    // SAFETY: as above, and not null.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

fn pointer(tensor: Option<&Tensor>) -> In {
    tensor.map_or(std::ptr::null(), Tensor::as_ptr)
}

impl Plugin {
    /// The table of an opened library, if it is a plugin of this build.
    pub(crate) fn of_library(library: *mut c_void) -> std::result::Result<Self, String> {
        // SAFETY: a library handle from open_library and a zero-terminated name.
        let symbol = unsafe { dlsym(library, c"camtl_cuda_table".as_ptr()) };
        if symbol.is_null() {
            return Err(format!("it is no plugin of camtl: {}", loader_error()));
        }
        // SAFETY: the name belongs to this signature, see table.h.
        let table_of: unsafe extern "C" fn() -> *const Table =
            unsafe { std::mem::transmute(symbol) };
        // SAFETY: returns the address of a constant that begins with version and size
        // in every version of the table.
        let table = unsafe { table_of() };
        // SAFETY: as above.
        let (version, size) = unsafe { ((*table).version, (*table).size) };
        if version != TABLE_VERSION || size as usize != size_of::<Table>() {
            return Err(format!(
                "it is of another version of camtl (table {version} of {size} bytes, expected {TABLE_VERSION} of {})",
                size_of::<Table>()
            ));
        }
        // SAFETY: version and size are those of this declaration, and the library is
        // never closed.
        Ok(Plugin {
            table: unsafe { &*table },
        })
    }

    /// Version of libtorch that the plugin was compiled against.
    pub(crate) fn torch_version(&self) -> String {
        // SAFETY: a constant text of the plugin.
        unsafe { CStr::from_ptr(self.table.torch_version) }
            .to_string_lossy()
            .into_owned()
    }

    /// Number of GPUs.
    pub(crate) fn devices(&self) -> Result<i64> {
        let mut count = 0;
        // SAFETY: writes one number.
        self.done(unsafe { (self.table.devices)(&mut count) })?;
        Ok(count)
    }

    /// Compute capability of a GPU: 90 for 9.0.
    pub(crate) fn capability(&self, device: i64) -> Result<i64> {
        let mut capability = 0;
        // SAFETY: writes one number.
        self.done(unsafe { (self.table.capability)(device, &mut capability) })?;
        Ok(capability)
    }

    /// Whether bf16 autocast is on for CUDA on this thread.
    pub(crate) fn autocast(&self) -> bool {
        // SAFETY: reads a setting of this thread.
        unsafe { (self.table.autocast)() != 0 }
    }

    fn done(&self, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: this thread's error text of the plugin.
        let text = unsafe { CStr::from_ptr((self.table.last_error)()) }
            .to_string_lossy()
            .into_owned();
        Err(OpsError::Libtorch {
            op: "",
            message: first_line(&text),
        })
    }

    fn tensor(&self, call: impl FnOnce(Out) -> c_int) -> Result<Tensor> {
        let mut out = std::ptr::null_mut();
        self.done(call(&mut out))?;
        owned(out)
    }

    pub(crate) fn film(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        layout: &CudaLayout,
    ) -> Result<Tensor> {
        // SAFETY: all pointers are of live objects; so in the functions below, where
        // null stands for an absent tensor.
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
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        weight: &Tensor,
        bias: &Tensor,
        eps: f64,
        dropout: Option<Dropout>,
        layout: &CudaLayout,
    ) -> Result<Tensor> {
        let dropout = DropoutArgs::from(dropout);
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

    pub(crate) fn dropout(
        &self,
        x: &Tensor,
        dropout: Dropout,
        layout: &CudaLayout,
    ) -> Result<Tensor> {
        let dropout = DropoutArgs::from(Some(dropout));
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe {
            (self.table.dropout)(out, x.as_ptr(), &dropout, layout.pointer)
        })
    }

    pub(crate) fn gelu(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe { (self.table.gelu)(out, x.as_ptr(), bias.as_ptr()) })
    }

    /// `k` and `v` absent: `q` holds all three side by side.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn attention(
        &self,
        q: &Tensor,
        k: Option<&Tensor>,
        v: Option<&Tensor>,
        band: Option<&Tensor>,
        heads: i64,
        first_only: bool,
        dropout: Option<Dropout>,
        layout: &CudaLayout,
    ) -> Result<Tensor> {
        let dropout = DropoutArgs::from(dropout);
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
        &self,
        e: &Embedding<'_>,
        film: Option<(&Tensor, &Tensor)>,
        dropout: Option<Dropout>,
        layout: &CudaLayout,
    ) -> Result<Tensor> {
        let dropout = DropoutArgs::from(dropout);
        let ids = e.ids().map(|ids| pointer(Some(ids)));
        let tables = e.tables(film).map(pointer);
        // SAFETY: three ids and seven tables, the last two may be null.
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

    /// Entropies and, with targets, losses of logits `[B, C]` of all heads side by side. Head `t`
    /// has the columns `offsets[t]..offsets[t + 1]`.
    pub(crate) fn heads(
        &self,
        logits: &Tensor,
        offsets: &[i64],
        regression: &[i64],
        targets: Option<(&Tensor, &Tensor)>,
        layout: &CudaLayout,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let mut out = [std::ptr::null_mut(); 2];
        // SAFETY: live tensors or null; `offsets` has one entry more than `regression`, whose
        // length is passed along; both results are written on success.
        self.done(unsafe {
            (self.table.heads)(
                out.as_mut_ptr(),
                logits.as_ptr(),
                offsets.as_ptr(),
                regression.as_ptr(),
                regression.len() as i64,
                pointer(targets.map(|(classes, _)| classes)),
                pointer(targets.map(|(_, scores)| scores)),
                layout.pointer,
            )
        })?;
        let entropy = owned(out[0])?;
        let loss = (!out[1].is_null()).then(|| owned(out[1])).transpose()?;
        Ok((entropy, loss))
    }

    /// One step in place on float32 buffers of one GPU; `state.step` is raised.
    pub(crate) fn adamw(
        &self,
        state: &mut AdamWState,
        param: &mut Tensor,
        grad: &Tensor,
        options: &AdamWOptions,
        clip: Option<&Tensor>,
    ) -> Result<()> {
        let ranges: Option<Vec<i64>> = options.decay.as_ref().map(|ranges| {
            ranges
                .iter()
                .flat_map(|range| [range.start, range.end])
                .collect()
        });
        let step = state.step + 1;
        // SAFETY: live tensors; the caller has checked types, devices, sizes and that
        // they are contiguous; the ranges' number is passed along.
        self.done(unsafe {
            (self.table.adamw)(
                param.as_mut_ptr(),
                grad.as_ptr(),
                state.exp_avg.as_mut_ptr(),
                state.exp_avg_sq.as_mut_ptr(),
                std::ptr::null_mut(),
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
        })?;
        state.step = step;
        Ok(())
    }

    /// Euclidean norm, a scalar on the GPU.
    pub(crate) fn norm(&self, flat: &Tensor) -> Result<Tensor> {
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe { (self.table.norm)(out, flat.as_ptr()) })
    }

    /// Indices of the largest scores.
    pub(crate) fn top_scores(&self, scores: &Tensor, wanted: i64) -> Result<Tensor> {
        // SAFETY: as in `film`.
        self.tensor(|out| unsafe { (self.table.top_scores)(out, scores.as_ptr(), wanted) })
    }
}

/// Layout of a batch on a GPU; autograd nodes share it.
#[derive(Debug)]
pub(crate) struct CudaLayout {
    plugin: Plugin,
    pointer: *mut c_void,
}

// SAFETY: the count of the object behind the pointer is atomic, and it is written only through an
// exclusive reference.
unsafe impl Send for CudaLayout {}

impl CudaLayout {
    /// `fixed`: tasks and longest sequence on which sizes depend instead of the batch's own.
    pub(crate) fn new(
        plugin: Plugin,
        cu_seqlens: &[i64],
        key_lengths: &[i64],
        tasks: &[i64],
        fixed: Option<(i64, i64)>,
        device: usize,
    ) -> Result<Self> {
        let mut out = std::ptr::null_mut();
        let (fixed_tasks, fixed_length) = fixed.unwrap_or((0, 0));
        // SAFETY: the slices have sequences + 1, sequences and sequences entries, as
        // Packing keeps them.
        plugin.done(unsafe {
            (plugin.table.layout_new)(
                &mut out,
                cu_seqlens.as_ptr(),
                key_lengths.as_ptr(),
                tasks.as_ptr(),
                tasks.len() as i64,
                fixed_tasks,
                fixed_length,
                device as i64,
            )
        })?;
        Ok(CudaLayout {
            plugin,
            pointer: out,
        })
    }

    /// Takes over the contents of a layout of the same sizes, at the places they have.
    pub(crate) fn assign(&mut self, other: &CudaLayout) -> Result<()> {
        // SAFETY: two live layouts.
        self.plugin
            .done(unsafe { (self.plugin.table.layout_assign)(self.pointer, other.pointer) })
    }
}

impl Drop for CudaLayout {
    fn drop(&mut self) {
        // SAFETY: the pointer is from layout_new and given back once.
        unsafe { (self.plugin.table.layout_free)(self.pointer) }
    }
}

/// This thread on the stream of captures; dropping it brings the thread back.
#[derive(Debug)]
pub(crate) struct CaptureStream {
    plugin: Plugin,
    // The stream is a property of the thread.
    thread: std::marker::PhantomData<*const ()>,
}

impl CaptureStream {
    pub(crate) fn enter(plugin: Plugin, device: usize) -> Result<Self> {
        // SAFETY: changes a property of this thread.
        plugin.done(unsafe { (plugin.table.graph_enter)(device as i64) })?;
        Ok(CaptureStream {
            plugin,
            thread: std::marker::PhantomData,
        })
    }
}

impl Drop for CaptureStream {
    fn drop(&mut self) {
        // SAFETY: as above.
        if let Err(error) = self
            .plugin
            .done(unsafe { (self.plugin.table.graph_leave)() })
        {
            tracing::error!(%error, "the thread stays on the stream of captures");
        }
    }
}

/// A captured graph, or the capture of one; dropping the latter gives it up.
#[derive(Debug)]
pub(crate) struct RawGraph {
    plugin: Plugin,
    pointer: *mut c_void,
}

impl RawGraph {
    /// Begins a capture on this thread, which must be on the stream of captures. `shared` lends the
    /// memory between its launches.
    pub(crate) fn begin(plugin: Plugin, device: usize, shared: Option<&RawGraph>) -> Result<Self> {
        let mut out = std::ptr::null_mut();
        let shared = shared.map_or(std::ptr::null_mut(), |graph| graph.pointer);
        // SAFETY: null or a live graph.
        plugin.done(unsafe { (plugin.table.graph_begin)(&mut out, device as i64, shared) })?;
        Ok(RawGraph {
            plugin,
            pointer: out,
        })
    }

    /// Ends the capture.
    pub(crate) fn end(&mut self) -> Result<()> {
        // SAFETY: a live graph.
        self.plugin
            .done(unsafe { (self.plugin.table.graph_end)(self.pointer) })
    }

    /// Seeds that the captured dropouts had.
    pub(crate) fn seeds(&self) -> Result<Vec<u64>> {
        let mut count = 0;
        // SAFETY: writes one number.
        self.plugin.done(unsafe {
            (self.plugin.table.graph_seeds)(self.pointer, std::ptr::null_mut(), &mut count)
        })?;
        let mut seeds = vec![0; usize::try_from(count).unwrap_or_default()];
        // SAFETY: room for as many seeds as the first call has counted; a graph's do not change.
        self.plugin.done(unsafe {
            (self.plugin.table.graph_seeds)(self.pointer, seeds.as_mut_ptr(), &mut count)
        })?;
        Ok(seeds)
    }

    /// Puts the captured launches in this thread's stream, with these seeds.
    pub(crate) fn replay(&self, seeds: &[u64]) -> Result<()> {
        // SAFETY: a live graph; the number of seeds is passed along.
        self.plugin.done(unsafe {
            (self.plugin.table.graph_replay)(self.pointer, seeds.as_ptr(), seeds.len() as i64)
        })
    }
}

impl Drop for RawGraph {
    fn drop(&mut self) {
        // SAFETY: the pointer is from graph_begin and given back once.
        unsafe { (self.plugin.table.graph_free)(self.pointer) }
    }
}
