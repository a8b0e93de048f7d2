//! Ending the process while operations run.

unsafe extern "C" {
    // `_exit` of POSIX: flushes and destroys nothing.
    #[link_name = "_exit"]
    fn leave(status: i32) -> !;
}

/// Ends the process at once with `status`.
///
/// [`std::process::exit`] runs the destructors of libtorch and its thread pool, and
/// crashes if another thread is inside an operation. This runs none, so it can be
/// called from any thread at any time; buffered output is lost.
pub fn exit_at_once(status: i32) -> ! {
    // SAFETY: takes a plain number, and the process is gone when it is called.
    unsafe { leave(status) }
}
