//! The CUDA plugin as `csrc/cuda/plugin/table.h` describes it: a library opened at
//! run time that exports one table of functions.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use tch::Tensor;
use torch_sys::C_tensor;

use super::operations::{self, DropoutArguments, Layout, Operations};
use crate::dropout::Dropout;
use crate::error::Result;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;
const RTLD_GLOBAL: c_int = 0x100;

/// `kTableVersion` of table.h.
const TABLE_VERSION: u32 = 5;

/// `Table` of table.h, field by field.
#[repr(C)]
struct Table {
    version: u32,
    size: u32,
    torch_version: *const c_char,
    operations: operations::Table,
    devices: unsafe extern "C" fn(*mut i64) -> c_int,
    capability: unsafe extern "C" fn(i64, *mut i64) -> c_int,
    autocast: unsafe extern "C" fn() -> c_int,
    layout_assign: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
    dropout: unsafe extern "C" fn(
        *mut *mut C_tensor,
        *const C_tensor,
        *const DropoutArguments,
        *mut c_void,
    ) -> c_int,
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

    /// The operations.
    pub(crate) fn operations(self) -> Operations {
        Operations::of(&self.table.operations)
    }

    fn done(&self, code: c_int) -> Result<()> {
        self.operations().done(code)
    }

    pub(crate) fn dropout(&self, x: &Tensor, dropout: Dropout, layout: &Layout) -> Result<Tensor> {
        let dropout = DropoutArguments::from(Some(dropout));
        // SAFETY: all pointers are of live objects.
        self.operations().tensor(|out| unsafe {
            (self.table.dropout)(out, x.as_ptr(), &dropout, layout.pointer)
        })
    }

    /// `to` takes over the contents of a layout of the same sizes, at the places they have.
    pub(crate) fn assign(&self, to: &mut Layout, from: &Layout) -> Result<()> {
        // SAFETY: two live layouts of this plugin.
        self.done(unsafe { (self.table.layout_assign)(to.pointer, from.pointer) })
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
