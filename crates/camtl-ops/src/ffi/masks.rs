//! Dropout masks, see `csrc/dropout_mask.cc`.

use tch::{Kind, Tensor};

use crate::dropout::Dropout;
use crate::error::Result;

unsafe extern "C" {
    fn camtl_dropout_flat(out: *mut f32, count: i64, seed: u64, threshold: u32);
    fn camtl_dropout_tokens(
        out: *mut f32,
        columns: i64,
        cu_seqlens: *const i64,
        sequences: i64,
        seed: u64,
        threshold: u32,
    );
    fn camtl_dropout_attention(
        out: *mut f32,
        members: *const i64,
        count: i64,
        heads: i64,
        queries: i64,
        keys: i64,
        seed: u64,
        threshold: u32,
    );
}

/// A float32 CPU tensor whose elements `fill` writes.
fn filled(shape: &[i64], fill: impl FnOnce(*mut f32)) -> Result<Tensor> {
    let mask = Tensor::f_empty(shape, (Kind::Float, tch::Device::Cpu))?;
    if mask.numel() > 0 {
        fill(mask.data_ptr().cast());
    }
    Ok(mask)
}

pub(crate) fn dropout_mask_flat(count: i64, dropout: &Dropout) -> Result<Tensor> {
    filled(&[count], |out| {
        // SAFETY: `out` has `count` floats.
        unsafe { camtl_dropout_flat(out, count, dropout.seed, dropout.threshold()) }
    })
}

pub(crate) fn dropout_mask_tokens(
    columns: i64,
    dropout: &Dropout,
    cu_seqlens: &[i64],
) -> Result<Tensor> {
    let sequences = cu_seqlens.len() as i64 - 1;
    let rows = cu_seqlens.last().copied().unwrap_or(0);
    filled(&[rows, columns], |out| {
        // SAFETY: `out` has rows x columns floats, and rows is the last start.
        unsafe {
            camtl_dropout_tokens(
                out,
                columns,
                cu_seqlens.as_ptr(),
                sequences,
                dropout.seed,
                dropout.threshold(),
            );
        }
    })
}

pub(crate) fn dropout_mask_attention(
    members: &[i64],
    heads: i64,
    queries: i64,
    keys: i64,
    dropout: &Dropout,
) -> Result<Tensor> {
    let count = members.len() as i64;
    filled(&[count, heads, queries, keys], |out| {
        // SAFETY: `out` has count x heads x queries x keys floats.
        unsafe {
            camtl_dropout_attention(
                out,
                members.as_ptr(),
                count,
                heads,
                queries,
                keys,
                dropout.seed,
                dropout.threshold(),
            );
        }
    })
}
