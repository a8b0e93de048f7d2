//! Row-wise operations: FiLM, layer norm, GELU, embeddings; and the band bias.

use tch::Tensor;

use crate::dropout::{Dropout, token_dropout_mask};
use crate::embedding::Embedding;
use crate::error::Result;
use crate::packing::Packing;

/// The task's row of a table for every token, `[N, D]`; a vector as it is.
fn per_token(table: &Tensor, packing: &Packing) -> Result<Tensor> {
    if table.dim() == 1 {
        return Ok(table.shallow_clone());
    }
    if table.size().first() == Some(&1) {
        return Ok(table.f_squeeze_dim(0)?);
    }
    Ok(table.f_index_select(0, packing.token_tasks())?)
}

/// Definition of [`film`](crate::film).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn film(x: &Tensor, gamma: &Tensor, beta: &Tensor, packing: &Packing) -> Result<Tensor> {
    let gain = per_token(gamma, packing)?.f_add_scalar(1.0)?;
    Ok(x.f_mul(&gain)?.f_add(&per_token(beta, packing)?)?)
}

fn dropped(x: &Tensor, dropout: Option<Dropout>, packing: &Packing) -> Result<Tensor> {
    let Some(dropout) = dropout else {
        return Ok(x.shallow_clone());
    };
    let columns = x.size().last().copied().unwrap_or(0);
    Ok(x.f_mul(&token_dropout_mask(columns, &dropout, packing, x.kind())?)?)
}

/// Definition of [`cond_layer_norm`](crate::cond_layer_norm).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn cond_layer_norm(
    x: &Tensor,
    residual: Option<&Tensor>,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    dropout: Option<Dropout>,
    packing: &Packing,
) -> Result<Tensor> {
    let columns = x.size().last().copied().unwrap_or(0);
    let mut z = dropped(x, dropout, packing)?;
    if let Some(residual) = residual {
        z = z.f_add(residual)?;
    }
    let (weight, bias) = (per_token(weight, packing)?, per_token(bias, packing)?);
    if weight.dim() == 1 && bias.dim() == 1 {
        return Ok(z.f_layer_norm([columns], Some(&weight), Some(&bias), eps, false)?);
    }
    let normed = z.f_layer_norm([columns], None::<&Tensor>, None, eps, false)?;
    Ok(normed.f_mul(&weight)?.f_add(&bias)?)
}

/// Definition of [`gelu_bias`](crate::gelu_bias).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn gelu_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Ok(x.f_add(bias)?.f_gelu("none")?)
}

/// Definition of [`embed_norm_film`](crate::embed_norm_film).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn embed_norm_film(
    embedding: &Embedding<'_>,
    film: Option<(&Tensor, &Tensor)>,
    dropout: Option<Dropout>,
    packing: &Packing,
) -> Result<Tensor> {
    let gather = |table: &Tensor, ids: &Tensor| Tensor::f_embedding(table, ids, -1, false, false);
    let sum = gather(embedding.word, embedding.input_ids)?
        .f_add(&gather(embedding.token_type, embedding.token_type_ids)?)?
        .f_add(&gather(embedding.position, embedding.position_ids)?)?;
    let columns = sum.size().last().copied().unwrap_or(0);
    let normed = sum.f_layer_norm(
        [columns],
        Some(embedding.weight),
        Some(embedding.bias),
        embedding.eps,
        false,
    )?;
    let y = dropped(&normed, dropout, packing)?;
    match film {
        Some((gamma, beta)) => self::film(&y, gamma, beta, packing),
        None => Ok(y),
    }
}

/// Definition of [`band_bias`](crate::band_bias).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn band_bias(a: &Tensor, gamma: &Tensor, beta: &Tensor) -> Result<Tensor> {
    let size = a.size();
    let (length, width) = (size[size.len() - 2], size[size.len() - 1]);
    let rows = |table: &Tensor| -> Result<Tensor> {
        if table.dim() == a.dim() {
            return Ok(table.f_unsqueeze(-2)?);
        }
        // Row i of the band is row i mod w of its block.
        let blocks = (length + width - 1) / width.max(1);
        let mut repeats = vec![1; table.dim()];
        repeats[table.dim() - 2] = blocks;
        Ok(table.f_repeat(&repeats[..])?.f_narrow(-2, 0, length)?)
    };
    Ok(a.f_unsqueeze(-3)?
        .f_mul(&rows(gamma)?.f_add_scalar(1.0)?)?
        .f_add(&rows(beta)?)?)
}
