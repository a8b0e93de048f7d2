//! Heads, losses and entropies from libtorch operations, task by task.

use tch::{Kind, Reduction, Tensor};

use crate::error::Result;
use crate::heads::{Head, HeadsOutput, IGNORED_CLASS, Targets};
use crate::packing::Packing;

/// Definition of [`heads_entropy_loss`](crate::heads_entropy_loss).
///
/// # Errors
/// [`OpsError::Libtorch`](crate::OpsError::Libtorch) where libtorch refuses.
pub fn heads_entropy_loss(
    pooled: &Tensor,
    heads: &[Head<'_>],
    packing: &Packing,
    targets: Option<&Targets>,
) -> Result<HeadsOutput> {
    let members = packing.task_members();
    let order: Vec<i64> = members
        .iter()
        .flat_map(|(_, rows)| rows.iter().copied())
        .collect();
    let sorted = order.windows(2).all(|pair| pair[0] < pair[1]);
    let mut place = vec![0i64; order.len()];
    for (at, b) in order.iter().enumerate() {
        place[*b as usize] = at as i64;
    }
    let device = packing.device();
    let restore = |parts: &[Tensor]| -> Result<Tensor> {
        if parts.is_empty() {
            return Ok(Tensor::f_zeros([0], (pooled.kind(), device))?);
        }
        let joined = Tensor::f_cat(parts, 0)?;
        if sorted {
            return Ok(joined);
        }
        Ok(joined.f_index_select(0, &Tensor::from_slice(&place).f_to_device(device)?)?)
    };
    let (mut logits, mut losses, mut entropies) = (Vec::new(), Vec::new(), Vec::new());
    for (task, rows) in members {
        let head = &heads[task as usize];
        let count = rows.len() as i64;
        let index = Tensor::from_slice(&rows).f_to_device(device)?;
        let pick = |tensor: &Tensor| -> Result<Tensor> {
            if sorted {
                Ok(tensor.f_narrow(0, rows[0], count)?)
            } else {
                Ok(tensor.f_index_select(0, &index)?)
            }
        };
        let said = pick(pooled)?.f_linear(head.weight, Some(head.bias))?;
        let loss_kind = if said.kind() == Kind::Double {
            Kind::Double
        } else {
            Kind::Float
        };
        if head.regression {
            entropies.push(Tensor::f_zeros([count], (loss_kind, device))?);
            if let Some(targets) = targets {
                let score = pick(&targets.scores)?.f_to_kind(loss_kind)?;
                let known = score.f_isnan()?.f_logical_not()?;
                let error = said
                    .f_squeeze_dim(1)?
                    .f_to_kind(loss_kind)?
                    .f_sub(&score.f_nan_to_num(0.0, 0.0, 0.0)?)?;
                losses.push(error.f_square()?.f_mul(&known.f_to_kind(loss_kind)?)?);
            }
        } else {
            let log_p = said.f_log_softmax(1, loss_kind)?;
            entropies.push(tch::no_grad(|| -> Result<Tensor> {
                // xlogx of an impossible class is 0, not 0 * -inf.
                let terms = log_p.f_exp()?.f_mul(&log_p)?.f_nan_to_num(0.0, 0.0, 0.0)?;
                Ok(terms
                    .f_sum_dim_intlist(1, false, None)?
                    .f_neg()?
                    .f_detach()?)
            })?);
            if let Some(targets) = targets {
                let class = pick(&targets.classes)?;
                losses.push(log_p.f_nll_loss::<&Tensor>(
                    &class,
                    None,
                    Reduction::None,
                    IGNORED_CLASS,
                )?);
            }
        }
        logits.push((task as usize, said));
    }
    Ok(HeadsOutput {
        logits,
        loss: targets.map(|_| restore(&losses)).transpose()?,
        entropy: restore(&entropies)?,
    })
}
