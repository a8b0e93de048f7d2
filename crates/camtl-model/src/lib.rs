//! camtl-model
