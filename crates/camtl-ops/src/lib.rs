//! camtl-ops
