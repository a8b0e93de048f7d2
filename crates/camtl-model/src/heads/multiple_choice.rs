//! Multiple choice: one number per option, a softmax over the options of an example.

use tch::Tensor;

use crate::error::ModelError;
use crate::heads::part::{Part, Scored};

/// `pooled` is [S, D]; logits are [n, options], the loss is the cross-entropy of the right option.
pub(crate) fn apply(part: &Part<'_>, pooled: &Tensor) -> Result<Scored, ModelError> {
    let mut rows = Vec::new();
    let mut options = None;
    for &example in part.members {
        let (start, count) = part.examples.sequences(example);
        let first = *options.get_or_insert(count);
        if count != first {
            return Err(part.problem(
                example,
                format!("it has {count} options, an example before it {first}"),
            ));
        }
        rows.extend(start..start + count);
    }
    let shape = [part.members.len() as i64, options.unwrap_or(0)];
    let logits = part.linear(&part.rows_of(pooled, &rows)?)?.f_view(shape)?;
    part.one_of(logits)
}
