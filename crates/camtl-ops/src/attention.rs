//! Attention within each sequence of a packed batch, with the task's bias.
//!
//! ```
//! use camtl_ops::{Packing, Qkv, Queries, cond_attention};
//! use tch::{Device, Kind, Tensor};
//!
//! // A single token attends to itself only: the output is its value.
//! let packing = Packing::new(&[0, 1, 2], &[0, 0], Device::Cpu)?;
//! let options = (Kind::Float, Device::Cpu);
//! let (q, k, v) =
//!     (Tensor::randn([2, 4], options), Tensor::randn([2, 4], options), Tensor::randn([2, 4], options));
//! let y = cond_attention(Qkv::Separate { q: &q, k: &k, v: &v }, 2, None, None, &packing, Queries::All)?;
//! assert!(y.allclose(&v, 1e-6, 1e-6, false));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::Tensor;

use crate::dropout::Dropout;
use crate::error::{OpsError, Result};
use crate::packing::Packing;
use crate::{check, cuda, fused, slow};

/// Projected queries, keys and values.
#[derive(Debug, Clone, Copy)]
pub enum Qkv<'a> {
    /// One tensor `[N, 3 D]`: queries, keys, values side by side.
    Joint(&'a Tensor),
    /// Three tensors. `k` and `v` are `[N, D]`; `q` is `[N, D]`, or `[B, D]` with
    /// [`Queries::FirstTokens`].
    Separate {
        /// Queries.
        q: &'a Tensor,
        /// Keys.
        k: &'a Tensor,
        /// Values.
        v: &'a Tensor,
    },
}

/// Which tokens ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queries {
    /// Every token; the result is `[N, D]`.
    All,
    /// The first token of each sequence; the result is `[B, D]`, zero for a
    /// sequence without tokens. For layers of which only the pooled output is
    /// read afterwards.
    FirstTokens,
}

/// Queries, keys and values with checked shapes. `q` has a row per query, or a
/// row per token (then first-token queries are picked by the operation).
#[derive(Debug)]
pub(crate) struct Projections {
    pub(crate) q: Tensor,
    pub(crate) k: Tensor,
    pub(crate) v: Tensor,
    pub(crate) q_per_sequence: bool,
    pub(crate) columns: i64,
}

/// `softmax(q k' / sqrt(D / heads) + M_t) v` within each sequence, per head.
///
/// `band` is the bias of [`band_bias`](crate::band_bias), `[T, L, w]`, shared by
/// all heads: query `i` of a sequence of task `t` adds `band[t, i, c]` to the
/// score of key `floor(i / w) * w + c`. Keys outside the band get no bias and are
/// attended all the same. Dropout acts on the probabilities, after the softmax.
///
/// The result is `[N, D]` or `[B, D]`, as `queries` says.
///
/// # Errors
/// [`OpsError`] naming the tensor that does not fit, or if `D` is no multiple of
/// `heads`, or if a sequence is longer than the band's `L`.
pub fn cond_attention(
    qkv: Qkv<'_>,
    heads: i64,
    band: Option<&Tensor>,
    dropout: Option<Dropout>,
    packing: &Packing,
    queries: Queries,
) -> Result<Tensor> {
    let op = "cond_attention";
    check_arguments(&qkv, heads, band, dropout.as_ref(), packing, queries)?;
    let (q, k, v) = match qkv {
        Qkv::Joint(qkv) => (qkv, None, None),
        Qkv::Separate { q, k, v } => (q, Some(k), Some(v)),
    };
    let columns = k.map_or_else(|| q.size()[1] / 3, |k| k.size()[1]);
    let on_gpu = |q: &Tensor| {
        cuda::for_attention(
            q,
            columns / heads,
            packing.max_len(),
            packing.num_sequences(),
        )
    };
    if let Some(kernels) = fused::kernels(q, [k, v, band], on_gpu)? {
        let first_only = queries == Queries::FirstTokens;
        return kernels
            .attention(
                q,
                k,
                v,
                band,
                heads,
                first_only,
                dropout,
                packing.layout(kernels)?,
            )
            .map_err(|e| e.within(op));
    }
    slow::cond_attention(qkv, heads, band, dropout, packing, queries).map_err(|e| e.within(op))
}

fn check_arguments(
    qkv: &Qkv<'_>,
    heads: i64,
    band: Option<&Tensor>,
    dropout: Option<&Dropout>,
    packing: &Packing,
    queries: Queries,
) -> Result<()> {
    let op = "cond_attention";
    let (rows, sequences) = (packing.num_tokens(), packing.num_sequences());
    let columns = match qkv {
        Qkv::Joint(qkv) => {
            let joint = check::rows(op, "qkv", qkv, packing)?;
            if joint % 3 != 0 {
                return Err(OpsError::shape(op, "qkv", format!("[N={rows}, 3 D]"), qkv));
            }
            joint / 3
        }
        Qkv::Separate { q, k, v } => {
            let columns = check::rows(op, "k", k, packing)?;
            check::shape(op, "v", v, &[("N", rows), ("D", columns)])?;
            check::device(op, "v", v, packing)?;
            check::device(op, "q", q, packing)?;
            let first = queries == Queries::FirstTokens && q.size() == [sequences, columns];
            if !first {
                check::shape(op, "q", q, &[("N", rows), ("D", columns)])?;
            }
            columns
        }
    };
    if heads < 1 || columns % heads != 0 {
        return Err(OpsError::Value {
            op,
            message: format!("{columns} columns do not divide into {heads} heads"),
        });
    }
    if let Some(band) = band {
        match band.size()[..] {
            [t, length, width] if t >= packing.num_tasks() && width >= 1 => {
                if packing.max_len() > length {
                    return Err(OpsError::Value {
                        op,
                        message: format!(
                            "a sequence of {} tokens is longer than the bias, which was made for {length}; \
                             shorten it or use a larger max_length",
                            packing.max_len()
                        ),
                    });
                }
            }
            _ => {
                return Err(OpsError::shape(
                    op,
                    "band",
                    format!("[T>={}, L, w]", packing.num_tasks()),
                    band,
                ));
            }
        }
        check::device(op, "band", band, packing)?;
    }
    dropout.map_or(Ok(()), |dropout| dropout.check(op))
}

impl Projections {
    /// Views of checked arguments.
    pub(crate) fn of(qkv: Qkv<'_>, packing: &Packing) -> Result<Self> {
        Ok(match qkv {
            Qkv::Joint(qkv) => {
                let columns = qkv.size().get(1).copied().unwrap_or(0) / 3;
                Projections {
                    q: qkv.f_narrow(1, 0, columns)?,
                    k: qkv.f_narrow(1, columns, columns)?,
                    v: qkv.f_narrow(1, 2 * columns, columns)?,
                    q_per_sequence: false,
                    columns,
                }
            }
            Qkv::Separate { q, k, v } => Projections {
                q: q.shallow_clone(),
                k: k.shallow_clone(),
                v: v.shallow_clone(),
                // With one token per sequence the two readings are the same.
                q_per_sequence: q.size().first() != Some(&packing.num_tokens()),
                columns: k.size().get(1).copied().unwrap_or(0),
            },
        })
    }
}
