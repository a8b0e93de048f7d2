//! The switch between the fused kernels and their definitions.
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
