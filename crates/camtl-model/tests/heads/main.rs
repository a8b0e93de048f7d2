//! Heads of every kind: values, gradients, independence of the batch, and what does not fit.

mod batch;
#[path = "../support/finite_differences.rs"]
mod finite_differences;
mod gradients;
mod misfits;
mod stored;
mod values;
