//! The definition of every operation, as a composition of libtorch operations.
//!
//! These are what the fused kernels are tested against, and what runs where no
//! kernel is built for the device or the type at hand. Arguments are those of
//! the functions of the same name at the crate's root, which check them first;
//! here libtorch's own checks apply.
//!
//! ```
//! use camtl_ops::{Packing, film, slow};
//! use tch::{Device, Kind, Tensor};
//!
//! let packing = Packing::new(&[0, 3, 4], &[0, 1], Device::Cpu)?;
//! let options = (Kind::Float, Device::Cpu);
//! let (x, gamma, beta) =
//!     (Tensor::randn([4, 8], options), Tensor::randn([2, 8], options), Tensor::randn([2, 8], options));
//! let (fast, slow) = (film(&x, &gamma, &beta, &packing)?, slow::film(&x, &gamma, &beta, &packing)?);
//! assert!(fast.allclose(&slow, 1e-6, 1e-6, false));
//! # Ok::<(), camtl_ops::OpsError>(())
//! ```

pub(crate) mod adamw;
pub(crate) mod attention;
mod heads;
mod rows;
mod top_scores;

pub use adamw::adamw_flat;
pub use attention::cond_attention;
pub use heads::heads_entropy_loss;
pub use rows::{band_bias, cond_layer_norm, embed_norm_film, film, gelu_bias};
pub use top_scores::top_scores;
