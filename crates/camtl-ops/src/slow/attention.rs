//! Packed attention from libtorch operations: sequences of similar length share
//! one padded batch of products, so that a mean length of 40 does not pay for
//! 128 everywhere and no loop runs over sequences.

use tch::{Kind, Tensor};

use crate::attention::{Projections, Qkv, Queries};
use crate::dropout::{Dropout, attention_dropout_mask};
use crate::error::Result;
use crate::packing::Packing;
use crate::runtime::upload;

/// Sequences whose padded length is the same.
#[derive(Debug)]
struct Group {
    /// Sequences, ascending.
    members: Vec<i64>,
    /// Padded length.
    length: i64,
    /// Row of each padded place, `[n * length]`; places beyond a sequence's end
    /// repeat its first row, so that no sequence sees another's values.
    rows: Tensor,
    /// First row of each member, `[n]`.
    first: Tensor,
    /// Members as an index, `[n]`.
    index: Tensor,
    /// Task of each member, `[n]`.
    tasks: Tensor,
    /// True where a place is no key, `[n, 1, 1, length]`; `None` if all are keys.
    no_key: Option<Tensor>,
}

/// Index tensors for one layout.
#[derive(Debug)]
pub(crate) struct AttentionPlan {
    groups: Vec<Group>,
    /// Where each token's output lies in the concatenated groups, `[N]`.
    token_places: Tensor,
    /// The same for one output per sequence, `[B]`; the place after the last for
    /// sequences without tokens.
    sequence_places: Tensor,
}

/// Length to which a sequence is padded.
fn padded(length: i64) -> i64 {
    let step = if length <= 128 { 16 } else { 64 };
    (length + step - 1) / step * step
}

impl AttentionPlan {
    pub(crate) fn new(packing: &Packing) -> Result<Self> {
        let mut by_length = std::collections::BTreeMap::<i64, Vec<i64>>::new();
        for b in 0..packing.tasks().len() {
            if packing.length(b) > 0 {
                by_length
                    .entry(padded(packing.length(b)))
                    .or_default()
                    .push(b as i64);
            }
        }
        let device = packing.device();
        let on_device = |values: &[i64]| upload(values, device);
        let mut token_places =
            vec![0i64; usize::try_from(packing.num_tokens()).unwrap_or_default()];
        let nonempty: i64 = by_length.values().map(|members| members.len() as i64).sum();
        let mut sequence_places = vec![nonempty; packing.tasks().len()];
        let (mut place, mut sequence_place) = (0, 0);
        let mut groups = Vec::new();
        for members in by_length.into_values() {
            // No longer than the longest member: all of equal length need no padding.
            let length = members
                .iter()
                .map(|b| packing.length(*b as usize))
                .max()
                .unwrap_or(0);
            let mut rows = Vec::with_capacity(members.len() * length as usize);
            let mut no_key = Vec::with_capacity(members.len() * length as usize);
            let mut first = Vec::with_capacity(members.len());
            let mut tasks = Vec::with_capacity(members.len());
            for b in &members {
                let b = *b as usize;
                let start = packing.cu_seqlens()[b];
                for i in 0..length {
                    let inside = i < packing.length(b);
                    rows.push(if inside { start + i } else { start });
                    no_key.push(i >= packing.key_lengths()[b]);
                    if inside {
                        token_places[(start + i) as usize] = place + i;
                    }
                }
                place += length;
                first.push(start);
                tasks.push(packing.tasks()[b]);
                sequence_places[b] = sequence_place;
                sequence_place += 1;
            }
            let count = members.len() as i64;
            let no_key = if no_key.contains(&true) {
                let mask = upload(&no_key, device)?;
                Some(mask.f_view([count, 1, 1, length])?)
            } else {
                None
            };
            groups.push(Group {
                length,
                rows: on_device(&rows)?,
                first: on_device(&first)?,
                index: on_device(&members)?,
                tasks: on_device(&tasks)?,
                no_key,
                members,
            });
        }
        Ok(AttentionPlan {
            groups,
            token_places: on_device(&token_places)?,
            sequence_places: on_device(&sequence_places)?,
        })
    }
}

/// The bias as a matrix, `[T, queries, keys]`, zero outside the band.
fn dense_bias(band: &Tensor, queries: i64, keys: i64) -> Result<Tensor> {
    let (tasks, _, width) = band.size3()?;
    let options = (Kind::Int64, band.device());
    let block = Tensor::f_arange(queries, options)?
        .f_floor_divide_scalar(width)?
        .f_mul_scalar(width)?;
    let column = Tensor::f_arange(keys, options)?
        .f_unsqueeze(0)?
        .f_sub(&block.f_unsqueeze(1)?)?;
    let inside = column.f_ge(0)?.f_logical_and(&column.f_lt(width)?)?;
    let index = column
        .f_clamp(0, width - 1)?
        .f_unsqueeze(0)?
        .f_expand([tasks, queries, keys], false)?;
    let dense = band.f_narrow(1, 0, queries)?.f_gather(2, &index, false)?;
    Ok(dense.f_mul(&inside.f_to_kind(band.kind())?)?)
}

/// Definition of [`cond_attention`](crate::cond_attention).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn cond_attention(
    qkv: Qkv<'_>,
    heads: i64,
    band: Option<&Tensor>,
    dropout: Option<Dropout>,
    packing: &Packing,
    queries: Queries,
) -> Result<Tensor> {
    let p = Projections::of(qkv, packing)?;
    let plan = packing.plan()?;
    let head_dim = p.columns / heads.max(1);
    let scale = 1.0 / (head_dim.max(1) as f64).sqrt();
    let longest = packing.max_len();
    let first_only = queries == Queries::FirstTokens;
    let bias = match band {
        Some(band) if longest > 0 => {
            let asked = if first_only { 1 } else { longest };
            Some(dense_bias(band, asked, longest)?)
        }
        _ => None,
    };
    let mut outputs = Vec::with_capacity(plan.groups.len() + 1);
    for group in &plan.groups {
        let count = group.members.len() as i64;
        let split = |rows: Tensor, length: i64| -> Result<Tensor> {
            Ok(rows
                .f_view([count, length, heads, head_dim])?
                .f_transpose(1, 2)?)
        };
        let asked = if first_only { 1 } else { group.length };
        let q_rows = match (first_only, p.q_per_sequence) {
            (true, true) => p.q.f_index_select(0, &group.index)?,
            (true, false) => p.q.f_index_select(0, &group.first)?,
            (false, _) => p.q.f_index_select(0, &group.rows)?,
        };
        let q = split(q_rows, asked)?;
        let k = split(p.k.f_index_select(0, &group.rows)?, group.length)?;
        let v = split(p.v.f_index_select(0, &group.rows)?, group.length)?;
        let mut scores = q.f_mul_scalar(scale)?.f_matmul(&k.f_transpose(2, 3)?)?;
        if let Some(bias) = &bias {
            let rows = bias.f_narrow(1, 0, asked)?.f_narrow(2, 0, group.length)?;
            scores = scores.f_add(&rows.f_index_select(0, &group.tasks)?.f_unsqueeze(1)?)?;
        }
        if let Some(no_key) = &group.no_key {
            scores = scores.f_masked_fill(no_key, f64::NEG_INFINITY)?;
        }
        let mut probabilities = scores.f_softmax(-1, None)?;
        if let Some(dropout) = &dropout {
            let mask = attention_dropout_mask(
                &group.members,
                heads,
                asked,
                group.length,
                dropout,
                probabilities.kind(),
            )?;
            probabilities = probabilities.f_mul(&mask.f_to_device(packing.device())?)?;
        }
        let output = probabilities.f_to_kind(v.kind())?.f_matmul(&v)?;
        outputs.push(
            output
                .f_transpose(1, 2)?
                .f_reshape([count * asked, p.columns])?,
        );
    }
    let options = (p.v.kind(), packing.device());
    if first_only {
        // The row of sequences without tokens. Where all are such, it is an empty sum, so that the
        // result still belongs to the graph.
        outputs.push(if outputs.is_empty() {
            p.v.f_sum_dim_intlist(0, true, None)?
        } else {
            Tensor::f_zeros([1, p.columns], options)?
        });
        return Ok(Tensor::f_cat(&outputs, 0)?.f_index_select(0, &plan.sequence_places)?);
    }
    if outputs.is_empty() {
        return Ok(p.v.f_mul_scalar(0.0)?);
    }
    Ok(Tensor::f_cat(&outputs, 0)?.f_index_select(0, &plan.token_places)?)
}
