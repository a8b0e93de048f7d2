//! The embedding layer of a BERT encoder, with the task's alignment after it.

use tch::{Kind, Tensor};

use crate::dropout::Dropout;
use crate::error::{OpsError, Result};
use crate::layer_norm::check_eps;
use crate::packing::Packing;
use crate::{check, cuda, fused, slow};

/// Ids and tables of the embedding layer.
#[derive(Debug, Clone, Copy)]
pub struct Embedding<'a> {
    /// Token ids, `[N]` int64, below `word`'s rows.
    pub input_ids: &'a Tensor,
    /// Segment ids, `[N]` int64, below `token_type`'s rows.
    pub token_type_ids: &'a Tensor,
    /// Positions, `[N]` int64, below `position`'s rows.
    pub position_ids: &'a Tensor,
    /// Word embeddings, `[V, D]`.
    pub word: &'a Tensor,
    /// Segment embeddings, `[S, D]`.
    pub token_type: &'a Tensor,
    /// Position embeddings, `[P, D]`.
    pub position: &'a Tensor,
    /// Weight of the layer norm, `[D]`.
    pub weight: &'a Tensor,
    /// Bias of the layer norm, `[D]`.
    pub bias: &'a Tensor,
    /// Epsilon of the layer norm.
    pub eps: f64,
}

impl<'a> Embedding<'a> {
    /// Ids in the order of the kernels' interface.
    pub(crate) fn ids(&self) -> [&'a Tensor; 3] {
        [self.input_ids, self.token_type_ids, self.position_ids]
    }

    /// Tables in the order of the kernels' interface, FiLM's last.
    pub(crate) fn tables(&self, film: Option<(&'a Tensor, &'a Tensor)>) -> [Option<&'a Tensor>; 7] {
        [
            Some(self.word),
            Some(self.token_type),
            Some(self.position),
            Some(self.weight),
            Some(self.bias),
            film.map(|(gamma, _)| gamma),
            film.map(|(_, beta)| beta),
        ]
    }
}

/// `y = FiLM_t(dropout(LN(word[id] + token_type[segment] + position[p]) * w + b))`.
///
/// `film` is the task's gain and shift as in [`film`](crate::film), two tables
/// `[T, D]`, or `None` for none. The result is `[N, D]`. The dropout's mask is
/// [`token_dropout_mask`](crate::token_dropout_mask).
///
/// # Errors
/// [`OpsError`] naming the tensor that does not fit, or the first id that is
/// outside its table.
///
/// ```
/// use camtl_ops::{Embedding, Packing, embed_norm_film};
/// use tch::{Device, Kind, Tensor};
///
/// let packing = Packing::new(&[0, 2], &[0], Device::Cpu)?;
/// let options = (Kind::Float, Device::Cpu);
/// let y = embed_norm_film(
///     &Embedding {
///         input_ids: &Tensor::from_slice(&[5i64, 9]),
///         token_type_ids: &Tensor::from_slice(&[0i64, 0]),
///         position_ids: &Tensor::from_slice(&[0i64, 1]),
///         word: &Tensor::randn([10, 4], options),
///         token_type: &Tensor::randn([2, 4], options),
///         position: &Tensor::randn([8, 4], options),
///         weight: &Tensor::ones([4], options),
///         bias: &Tensor::zeros([4], options),
///         eps: 1e-12,
///     },
///     None,
///     None,
///     &packing,
/// )?;
/// assert_eq!(y.size(), [2, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn embed_norm_film(
    embedding: &Embedding<'_>,
    film: Option<(&Tensor, &Tensor)>,
    dropout: Option<Dropout>,
    packing: &Packing,
) -> Result<Tensor> {
    let op = "embed_norm_film";
    let [_, columns] = embedding.word.size()[..] else {
        return Err(OpsError::shape(op, "word", "[V, D]", embedding.word));
    };
    for (name, ids, table_name, table) in [
        ("input_ids", embedding.input_ids, "word", embedding.word),
        (
            "token_type_ids",
            embedding.token_type_ids,
            "token_type",
            embedding.token_type,
        ),
        (
            "position_ids",
            embedding.position_ids,
            "position",
            embedding.position,
        ),
    ] {
        check::shape(op, name, ids, &[("N", packing.num_tokens())])?;
        check::kind(op, name, ids, Kind::Int64)?;
        check::device(op, name, ids, packing)?;
        check::device(op, table_name, table, packing)?;
        let rows = match table.size()[..] {
            [rows, d] if d == columns => rows,
            _ => {
                return Err(OpsError::shape(
                    op,
                    table_name,
                    format!("[rows, {columns}]"),
                    table,
                ));
            }
        };
        check_ids(op, name, ids, table_name, rows)?;
    }
    check::shape(op, "weight", embedding.weight, &[("D", columns)])?;
    check::shape(op, "bias", embedding.bias, &[("D", columns)])?;
    check_eps(op, embedding.eps)?;
    if let Some((gamma, beta)) = film {
        check::table(op, "gamma", gamma, columns, packing)?;
        check::table(op, "beta", beta, columns, packing)?;
    }
    if let Some(dropout) = &dropout {
        dropout.check(op)?;
    }
    let tables = [
        embedding.token_type,
        embedding.position,
        embedding.weight,
        embedding.bias,
    ]
    .map(Some)
    .into_iter();
    let tables = tables.chain([film.map(|(gamma, _)| gamma), film.map(|(_, beta)| beta)]);
    if let Some(kernels) = fused::kernels(embedding.word, tables, cuda::for_held_rows)? {
        return kernels
            .embedding(embedding, film, dropout, packing.layout(kernels)?)
            .map_err(|e| e.within(op));
    }
    slow::embed_norm_film(embedding, film, dropout, packing).map_err(|e| e.within(op))
}

/// Every id is a row of its table. On a GPU this would cost a synchronisation,
/// and libtorch's kernels assert the same there.
fn check_ids(op: &'static str, name: &str, ids: &Tensor, table: &str, rows: i64) -> Result<()> {
    if ids.device() != tch::Device::Cpu || ids.numel() == 0 {
        return Ok(());
    }
    let (low, high) = (
        ids.f_min()?.f_int64_value(&[])?,
        ids.f_max()?.f_int64_value(&[])?,
    );
    if low >= 0 && high < rows {
        return Ok(());
    }
    let bad = if low < 0 { low } else { high };
    Err(OpsError::Value {
        op,
        message: format!("`{name}` holds {bad}, but `{table}` has rows 0..{rows}"),
    })
}
