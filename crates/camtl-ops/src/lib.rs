//! Task-conditioned tensor operations on libtorch.
//!
//! The operations of a conditionally adaptive multi-task encoder on packed
//! batches: every row of a `[N, D]` tensor belongs to a sequence and through it
//! to a task, as a [`Packing`] says, and each operation reads its task's row of
//! a table of modulations. All of them take and return [`tch::Tensor`]s, carry
//! gradients to every floating-point input, and report errors as [`OpsError`].
//!
//! | operation | equation |
//! |---|---|
//! | [`film`] | `y = (1 + gamma_t) * x + beta_t` |
//! | [`cond_layer_norm`] | `y = LN(dropout(x) + residual) * w_t + b_t` |
//! | [`band_bias`] | `M_t = (1 + gamma_t) * A + beta_t` in band form |
//! | [`cond_attention`] | `softmax(q k' / sqrt(d) + M_t) v` within each sequence |
//! | [`linear`], [`linear_lowered`] | `y = x w' + b` |
//! | [`gelu_bias`] | `y = gelu(x + b)`, exact |
//! | [`embed_norm_film`] | embeddings, layer norm, dropout, FiLM in one pass |
//! | [`heads_entropy_loss`] | per-task logits, loss and entropy per sequence |
//! | [`adamw_flat`] | AdamW over one flat buffer, with clipping |
//! | [`top_scores`] | indices of the largest scores, ties to the lower |
//!
//! Each operation has its definition in [`slow`], a composition of libtorch
//! operations. The default form is fused where it is built for the inputs at
//! hand; [`set_fused`]`(false)` selects the definition everywhere. Both give the
//! same values and gradients up to rounding, and the same dropout masks.
//!
//! ```
//! use camtl_ops::{Packing, Queries, Qkv, band_bias, cond_attention};
//! use tch::{Device, Kind, Tensor};
//!
//! // Two sequences, 5 and 3 tokens, of tasks 0 and 1; hidden size 8, two heads.
//! let packing = Packing::new(&[0, 5, 8], &[0, 1], Device::Cpu)?;
//! let qkv = Tensor::randn([8, 24], (Kind::Float, Device::Cpu)).set_requires_grad(true);
//! // A task's bias: a matrix A in band form and the task's gain and shift per column.
//! let a = Tensor::zeros([16, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
//! let gamma = Tensor::zeros([2, 4], (Kind::Float, Device::Cpu));
//! let beta = Tensor::ones([2, 4], (Kind::Float, Device::Cpu));
//! let band = band_bias(&a, &gamma, &beta)?;
//! let y = cond_attention(Qkv::Joint(&qkv), 2, Some(&band), None, &packing, Queries::All)?;
//! assert_eq!(y.size(), [8, 8]);
//! y.sum(Kind::Float).backward();
//! assert_eq!(qkv.grad().size(), [8, 24]);
//! assert_eq!(a.grad().size(), [16, 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adamw;
mod attention;
mod band;
mod check;
mod clip;
mod cuda;
mod cuda_graph;
mod dropout;
mod embedding;
mod error;
#[allow(unsafe_code)]
mod exit;
#[allow(unsafe_code)]
mod ffi;
mod film;
mod fused;
mod gelu;
mod heads;
mod layer_norm;
mod linear;
mod packing;
mod runtime;
pub mod slow;
mod top_scores;

pub use adamw::{
    AdamWForm, AdamWOptions, AdamWState, RANGE_ALIGNMENT, adamw_flat, adamw_flat_lowered,
};
pub use attention::{Qkv, Queries, cond_attention};
pub use band::band_bias;
pub use clip::{clip_coefficient, grad_norm};
pub use cuda::{no_gpu, open_cuda};
pub use cuda_graph::{CaptureScope, CudaGraph};
pub use dropout::{Dropout, DropoutStream, dropout_mask, token_dropout, token_dropout_mask};
pub use embedding::{Embedding, embed_norm_film};
pub use error::{OpsError, Result};
pub use exit::exit_at_once;
pub use film::film;
pub use fused::{CpuIsa, cpu_isa, fused, limit_cpu_isa, set_fused};
pub use gelu::gelu_bias;
pub use heads::{Head, HeadsOutput, IGNORED_CLASS, Targets, heads_entropy_loss};
pub use layer_norm::cond_layer_norm;
pub use linear::{Lowered, linear, linear_lowered};
pub use packing::Packing;
pub use runtime::{
    AutocastGuard, deterministic, keep_freed_memory, num_threads, overwrite, rng_state,
    set_deterministic, set_grad_view, set_num_threads, set_rng_state, upload,
};
pub use top_scores::top_scores;
