//! Span: the first and the last token of an answer.
//!
//! The alternatives of both are the tokens of the context and the sequence's first token, which stands
//! for `no answer here`: a window without the answer is trained towards it even if every question has
//! an answer. Only where there may be none does it count among the alternatives of the uncertainty.

use camtl_ops::upload;
use tch::{Tensor, no_grad};

use crate::config::HeadKind;
use crate::error::ModelError;
use crate::heads::examples::UNKNOWN;
use crate::heads::gather::Block;
use crate::heads::part::{Part, Scored};
use crate::heads::score;

/// `hidden` is [N, D]; logits are [M, 2] (start, end) for the M tokens of all examples, whether
/// alternatives or not. The loss is the mean of both cross-entropies over the alternatives.
/// The entropy is `ln 2` times the mean of both entropies, each as a share of the largest possible.
pub(crate) fn apply(part: &Part<'_>, hidden: &Tensor) -> Result<Scored, ModelError> {
    let (mut rows, mut counts) = (Vec::new(), Vec::new());
    // Places of the alternatives among the rows, by example, and the answers' places among them.
    let (mut lines, mut answers) = (Vec::new(), Vec::new());
    for &example in part.members {
        let tokens = part.tokens_of(example);
        let length = tokens.end - tokens.start;
        let alternatives = alternatives(part, example, length)?;
        answers.extend(answer(part, example, &alternatives)?);
        let first = rows.len() as i64;
        lines.push(alternatives.iter().map(|at| first + at).collect::<Vec<_>>());
        counts.push(length as usize);
        rows.extend(tokens);
    }
    let examples = part.members.len() as i64;
    let logits = part.linear(&part.rows_of(hidden, &rows)?)?;
    let block = Block::new(&lines, part.packing.device())?;
    // Start and end of an example follow each other: [2n, alternatives].
    let said = block
        .gather(&logits, f64::NEG_INFINITY)?
        .f_transpose(1, 2)?
        .f_reshape([2 * examples, -1])?;
    let log_p = score::log_probabilities(&said)?;
    let loss = match part.with_loss() {
        true => {
            let answers = upload(&answers, part.packing.device())?;
            let losses = score::cross_entropy(&log_p, &answers)?;
            Some(mean_of_pairs(&losses)?)
        }
        false => None,
    };
    Ok(Scored {
        entropy: no_grad(|| entropy(part, &lines, &said, &log_p))?,
        loss,
        logits: part.logits(logits, counts),
    })
}

/// Token indices of the first token and of the context, in order.
fn alternatives(part: &Part<'_>, example: usize, length: i64) -> Result<Vec<i64>, ModelError> {
    let &[_, _, first, last] = part.examples.extra(example) else {
        return Err(part.problem(
            example,
            format!(
                "a span takes 4 numbers (answer and context, first and last token each), it has {}",
                part.examples.extra(example).len()
            ),
        ));
    };
    if first < 0 || last >= length || first > last + 1 {
        return Err(part.problem(
            example,
            format!("its context [{first}, {last}] is outside its {length} tokens"),
        ));
    }
    let mut alternatives: Vec<i64> = (first..=last).collect();
    if first > 0 || alternatives.is_empty() {
        alternatives.insert(0, 0);
    }
    Ok(alternatives)
}

/// Places of the answer's first and last token among the alternatives.
fn answer(part: &Part<'_>, example: usize, alternatives: &[i64]) -> Result<[i64; 2], ModelError> {
    let extra = part.examples.extra(example);
    let (start, end) = (extra[0], extra[1]);
    if start == UNKNOWN || end == UNKNOWN {
        return Ok([score::NO_CLASS; 2]);
    }
    let place = |token: i64| alternatives.iter().position(|&at| at == token);
    match (place(start), place(end)) {
        (Some(first), Some(last)) if first <= last => Ok([first as i64, last as i64]),
        _ => Err(part.problem(
            example,
            format!(
                "its answer [{start}, {end}] is outside its context [{}, {}]",
                extra[2], extra[3]
            ),
        )),
    }
}

/// `ln 2` times the mean of the start's and the end's `H / ln(alternatives)`; 0 with one alternative.
fn entropy(
    part: &Part<'_>,
    lines: &[Vec<i64>],
    said: &Tensor,
    log_p: &Tensor,
) -> Result<Tensor, ModelError> {
    let counts_first = matches!(part.head.kind, HeadKind::Span { no_answer: true });
    let mut shares = Vec::with_capacity(2 * lines.len());
    let mut dropped = Vec::with_capacity(2 * lines.len());
    for (line, &example) in lines.iter().zip(part.members) {
        // The first token is apart from the context when that begins after it.
        let context_first = part.examples.extra(example)[2];
        let drop = !counts_first && context_first > 0 && line.len() > 1;
        let count = line.len() - usize::from(drop);
        let share = if count > 1 {
            std::f64::consts::LN_2 / (count as f64).ln()
        } else {
            0.0
        };
        shares.extend([share; 2]);
        dropped.extend([drop; 2]);
    }
    let device = part.packing.device();
    let log_p = if dropped.contains(&true) {
        let width = said.size().get(1).copied().unwrap_or(0);
        let dropped = upload(&dropped, device)?.f_unsqueeze(1)?;
        let is_first = Tensor::f_arange(width, (tch::Kind::Int64, device))?
            .f_eq(0i64)?
            .f_unsqueeze(0)?;
        let mask = dropped.f_logical_and(&is_first)?;
        score::log_probabilities(&said.f_masked_fill(&mask, f64::NEG_INFINITY)?)?
    } else {
        log_p.shallow_clone()
    };
    let shares = upload(&shares, device)?.f_to_kind(log_p.kind())?;
    mean_of_pairs(&score::entropy(&log_p)?.f_mul(&shares)?)
}

/// The mean of the two values of each example: [2n] to [n].
fn mean_of_pairs(values: &Tensor) -> Result<Tensor, ModelError> {
    Ok(values
        .f_view([-1, 2])?
        .f_mean_dim(1, false, values.kind())?)
}
