//! camtl-trainer
