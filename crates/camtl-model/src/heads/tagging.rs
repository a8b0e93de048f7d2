//! Tagging: a class for the first piece of every word.

use camtl_ops::upload;
use tch::Tensor;

use crate::error::ModelError;
use crate::heads::examples::{NOT_TAGGED, UNKNOWN};
use crate::heads::gather::Block;
use crate::heads::part::{Part, Scored};
use crate::heads::score;

/// `hidden` is [N, D]; logits are [M, C] for the M tagged tokens of all examples. Loss and entropy of
/// an example are means over its tagged tokens (of known class for the loss), 0 if there is none.
pub(crate) fn apply(part: &Part<'_>, hidden: &Tensor) -> Result<Scored, ModelError> {
    let outputs = part.head.num_outputs as i64;
    let (mut rows, mut classes) = (Vec::new(), Vec::new());
    // Places among the tagged tokens, by example.
    let (mut tagged, mut known) = (Vec::new(), Vec::new());
    for &example in part.members {
        let tokens = part.tokens_of(example);
        let tags = part.examples.extra(example);
        if tags.len() as i64 != tokens.end - tokens.start {
            return Err(part.problem(
                example,
                format!(
                    "it has {} tags for {} tokens",
                    tags.len(),
                    tokens.end - tokens.start
                ),
            ));
        }
        let (mut of_example, mut known_here) = (Vec::new(), Vec::new());
        for (&tag, row) in tags.iter().zip(tokens) {
            let place = rows.len() as i64;
            match tag {
                NOT_TAGGED => continue,
                UNKNOWN => classes.push(score::NO_CLASS),
                class if (0..outputs).contains(&class) => {
                    classes.push(class);
                    known_here.push(place);
                }
                class => {
                    return Err(part.problem(
                        example,
                        format!(
                            "it has the tag {class}; the classes are 0 to {}",
                            outputs - 1
                        ),
                    ));
                }
            }
            rows.push(row);
            of_example.push(place);
        }
        tagged.push(of_example);
        known.push(known_here);
    }
    let counts = tagged.iter().map(Vec::len).collect();
    let logits = part.linear(&part.rows_of(hidden, &rows)?)?;
    let log_p = score::log_probabilities(&logits)?;
    let device = part.packing.device();
    let loss = match part.with_loss() {
        true => {
            let classes = upload(&classes, device)?;
            let losses = score::cross_entropy(&log_p, &classes)?;
            Some(Block::new(&known, device)?.mean(&losses)?)
        }
        false => None,
    };
    Ok(Scored {
        entropy: Block::new(&tagged, device)?.mean(&score::entropy(&log_p)?)?,
        loss,
        logits: part.logits(logits, counts),
    })
}
