//! camtl-data
