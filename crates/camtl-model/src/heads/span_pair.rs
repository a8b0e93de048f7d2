//! Span pair: a class for two stretches of a sequence (a word in its two sentences, a pronoun and a
//! noun).

use tch::Tensor;

use crate::error::ModelError;
use crate::heads::gather::Block;
use crate::heads::part::{Part, Scored};

/// `hidden` is [N, D]; the head reads [first token, mean of stretch 1, mean of stretch 2], 3D wide.
/// Logits are [n, C], the loss is the cross-entropy.
pub(crate) fn apply(part: &Part<'_>, hidden: &Tensor) -> Result<Scored, ModelError> {
    let mut first = Vec::new();
    let mut stretches = [Vec::new(), Vec::new()];
    for &example in part.members {
        let tokens = part.tokens_of(example);
        let length = tokens.end - tokens.start;
        let &[s1, e1, s2, e2] = part.examples.extra(example) else {
            return Err(part.problem(
                example,
                format!(
                    "a span pair takes 4 numbers (start and end of two stretches), it has {}",
                    part.examples.extra(example).len()
                ),
            ));
        };
        for (lines, (start, end)) in stretches.iter_mut().zip([(s1, e1), (s2, e2)]) {
            if start < 0 || end <= start || end > length {
                return Err(part.problem(
                    example,
                    format!("its stretch {start}..{end} is empty or outside its {length} tokens"),
                ));
            }
            lines.push((tokens.start + start..tokens.start + end).collect::<Vec<_>>());
        }
        first.push(tokens.start);
    }
    let device = part.packing.device();
    let [one, two] = stretches;
    let read = Tensor::f_cat(
        &[
            part.rows_of(hidden, &first)?,
            Block::new(&one, device)?.mean(hidden)?,
            Block::new(&two, device)?.mean(hidden)?,
        ],
        1,
    )?;
    let logits = part.linear(&read)?;
    part.one_of(logits)
}
