//! Dropout whose mask is a pure function of a seed and of an element's place.
//!
//! `keep(x) = word(x) >= round(p * 2^32)`, kept elements are scaled by
//! `1 / (1 - p)`. `word(x)` is one 32-bit output of Philox4x32-10 (Salmon et
//! al., 2011) under the key `(seed low, seed high)`:
//!
//! | mask | counter `(c0, c1, c2, c3)` | output word |
//! |---|---|---|
//! | [`dropout_mask`], flat index `e` | `(e/4 low, e/4 high, 0, 0)` | `e mod 4` |
//! | [`token_dropout_mask`], sequence `b`, position `i`, column `j` | `(j/4, i, 0, b)` | `j mod 4` |
//! | attention, sequence `b`, head `h`, query `i`, key `j` | `(j/4, i, h, b)` | `j mod 4` |
//!
//! No generator state is involved: packed, padded and first-row-only execution,
//! slow and fused forms, CPU and GPU drop the same elements, and backward passes
//! regenerate the mask instead of keeping it.
//!
//! ```
//! use camtl_ops::{Dropout, dropout_mask};
//! use tch::{Device, Kind};
//!
//! let dropout = Dropout { p: 0.25, seed: 7 };
//! let mask = dropout_mask(&[1000], &dropout, Kind::Float, Device::Cpu)?;
//! let kept = f64::try_from(mask.gt(0.).sum(Kind::Float))? / 1000.;
//! assert!((kept - 0.75).abs() < 0.05);
//! assert!((f64::try_from(mask.max())? - 1. / 0.75).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::{Device, Kind, Tensor};

use crate::error::{OpsError, Result};
use crate::ffi::masks as ffi;
use crate::packing::Packing;
use crate::{check, cuda};

/// One dropout: probability and the seed of this call's mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Probability that an element is dropped, in `[0, 1)`.
    pub p: f64,
    /// Key of the generator. Two calls with one seed drop the same elements.
    pub seed: u64,
}

impl Dropout {
    /// Words below this are dropped: `round(p * 2^32)`.
    pub(crate) fn threshold(&self) -> u32 {
        // In range: p < 1 is checked, and the largest such p rounds to 2^32 at
        // most, which saturates.
        (self.p * 4_294_967_296.0).round() as u32
    }

    /// Factor on kept elements, `1 / (1 - p)`.
    pub(crate) fn scale(&self) -> f64 {
        1.0 / (1.0 - self.p)
    }

    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        if (0.0..1.0).contains(&self.p) {
            Ok(())
        } else {
            Err(OpsError::Value {
                op,
                message: format!("dropout probability {} is outside [0, 1)", self.p),
            })
        }
    }
}

/// A sequence of dropouts with fresh seeds, one per call site and step.
///
/// The seed of call `n` is `splitmix64(seed + (n + 1) * golden ratio)`.
///
/// ```
/// use camtl_ops::DropoutStream;
///
/// let mut stream = DropoutStream::new(0.1, 42);
/// let (a, b) = (stream.next(), stream.next());
/// assert!(a.is_some() && a != b);
/// assert_eq!(DropoutStream::new(0.1, 42).next(), a);
/// assert_eq!(DropoutStream::new(0.0, 42).next(), None);
/// ```
#[derive(Debug, Clone)]
pub struct DropoutStream {
    p: f64,
    state: u64,
    given: usize,
}

impl DropoutStream {
    /// A stream of dropouts with probability `p`; `p = 0` gives `None` for ever.
    pub fn new(p: f64, seed: u64) -> Self {
        DropoutStream {
            p,
            state: seed,
            given: 0,
        }
    }

    /// Number of dropouts given so far; those of probability 0 do not count.
    pub fn given(&self) -> usize {
        self.given
    }

    /// Probability of the dropouts.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The next dropout, or `None` if the probability is 0.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Dropout> {
        self.next_with(self.p)
    }

    /// The next dropout with another probability, for models whose attention and
    /// hidden probabilities differ. The stream advances even if `p` is 0.
    pub fn next_with(&mut self, p: f64) -> Option<Dropout> {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        if p == 0.0 {
            return None;
        }
        self.given += 1;
        Some(Dropout {
            p,
            seed: z ^ (z >> 31),
        })
    }
}

/// Mask over a tensor of `shape` in row-major order: 0 or `1 / (1 - p)`.
///
/// # Errors
/// [`OpsError::Value`] if `p` is outside `[0, 1)` or a size is negative,
/// [`OpsError::Libtorch`] if `kind` is no floating-point type.
pub fn dropout_mask(
    shape: &[i64],
    dropout: &Dropout,
    kind: Kind,
    device: Device,
) -> Result<Tensor> {
    dropout.check("dropout_mask")?;
    if let Some(size) = shape.iter().find(|size| **size < 0) {
        return Err(OpsError::Value {
            op: "dropout_mask",
            message: format!("size {size} is negative"),
        });
    }
    let count: i64 = shape.iter().product();
    let mask = ffi::dropout_mask_flat(count, dropout).map_err(|e| e.within("dropout_mask"))?;
    Ok(scaled(&mask, dropout, kind)?
        .f_reshape(shape)?
        .f_to_device(device)?)
}

/// Mask over `[N, columns]` keyed by sequence, position and column, so that it
/// does not depend on how the batch is laid out: 0 or `1 / (1 - p)`.
///
/// # Errors
/// As [`dropout_mask`].
pub fn token_dropout_mask(
    columns: i64,
    dropout: &Dropout,
    packing: &Packing,
    kind: Kind,
) -> Result<Tensor> {
    let op = "token_dropout_mask";
    dropout.check(op)?;
    if columns < 0 {
        return Err(OpsError::Value {
            op,
            message: format!("{columns} columns"),
        });
    }
    let mask = ffi::dropout_mask_tokens(columns, dropout, packing.cu_seqlens())
        .map_err(|e| e.within(op))?;
    Ok(scaled(&mask, dropout, kind)?.f_to_device(packing.device())?)
}

/// `x` (`[N, columns]`) under the mask of [`token_dropout_mask`].
///
/// # Errors
/// As [`dropout_mask`], or [`OpsError::Shape`] if `x` has not the packing's rows.
///
/// ```
/// use camtl_ops::{Dropout, Packing, token_dropout};
/// use tch::{Device, Kind, Tensor};
///
/// let packing = Packing::new(&[0, 2], &[0], Device::Cpu)?;
/// let x = Tensor::ones([2, 64], (Kind::Float, Device::Cpu));
/// let y = token_dropout(&x, &Dropout { p: 0.5, seed: 3 }, &packing)?;
/// assert_eq!(y.max().double_value(&[]), 2.0);
/// assert_eq!(y.min().double_value(&[]), 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn token_dropout(x: &Tensor, dropout: &Dropout, packing: &Packing) -> Result<Tensor> {
    let op = "token_dropout";
    dropout.check(op)?;
    let columns = check::rows(op, "x", x, packing)?;
    if let Some(plugin) = cuda::for_held_rows(x)? {
        return plugin
            .dropout(x, *dropout, packing.layout(plugin.operations())?)
            .map_err(|e| e.within(op));
    }
    let mask = token_dropout_mask(columns, dropout, packing, x.kind())?;
    Ok(x.f_mul(&mask)?)
}

/// A mask of 0 and 1 as 0 and `1 / (1 - p)`, rounded once, in `kind`.
fn scaled(mask: &Tensor, dropout: &Dropout, kind: Kind) -> Result<Tensor> {
    Ok(mask.f_to_kind(kind)?.f_mul_scalar(dropout.scale())?)
}

/// Mask of the attention probabilities of the sequences `members`, padded to
/// `queries` x `keys`: `[members, heads, queries, keys]` on the CPU.
pub(crate) fn attention_dropout_mask(
    members: &[i64],
    heads: i64,
    queries: i64,
    keys: i64,
    dropout: &Dropout,
    kind: Kind,
) -> Result<Tensor> {
    scaled(
        &ffi::dropout_mask_attention(members, heads, queries, keys, dropout)?,
        dropout,
        kind,
    )
}
