//! What the file itself calls the rows behind the examples of a split.

use super::{AnswerError, RowsOf};
use crate::encoded::EncodedSplit;
use crate::task::TaskSpec;

/// The file's own identifiers ([`Example::key`](crate::Example::key)) of a split's examples, in order; none for rows
/// without one.
///
/// # Errors
/// A split that was made without its texts, a file that was changed or removed since it was encoded.
pub fn row_keys(spec: &TaskSpec, split: &EncodedSplit) -> Result<Vec<Option<String>>, AnswerError> {
    let rows = RowsOf::new(spec, split)?;
    Ok((0..split.len())
        .map(|index| rows.row(index).key.clone())
        .collect())
}
