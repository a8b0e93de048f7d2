//! Downloading files over HTTP so that an interruption costs nothing and a wrong file goes nowhere.
//!
//! A [`Fetcher`] writes to `NAME.part` beside the target, continues a partial file with a Range
//! request, checks length and SHA-256, and renames last. See [`transfer`] for the rules.

mod answer;
pub mod client;
pub mod partial;
pub mod progress;
pub mod transfer;

pub use answer::NotFound;
pub use client::Fetcher;
pub use transfer::{Fetched, Request};
