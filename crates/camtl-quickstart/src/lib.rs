#![doc = include_str!("../README.md")]

pub mod pretrain;
pub mod synthetic;
