//! The quickstart: an invented suite of tasks and the warm-up of an encoder.
//!
#![doc = include_str!("../README.md")]

pub mod pretrain;
pub mod synthetic;
