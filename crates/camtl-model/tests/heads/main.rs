//! Heads of every kind: values, gradients, independence of the batch, and what does not fit.

mod batch;
mod gradients;
mod misfits;
mod stored;
mod values;
