//! Regressions that take the scores of another task, as STS-B those of MRPC in the released code.

use serde::{Deserialize, Serialize};

use super::{SamplerError, TaskInfo};

/// The j-th candidate of `to` takes the score of the j-th candidate of `from`, as far as both have candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Borrow {
    /// The donor, a task with scores of its own.
    pub from: String,
    /// The borrower.
    pub to: String,
}

/// Resolves who borrows from whom, as `(from, to)` positions in the task list.
pub(super) fn resolve_borrowing(
    borrow: Option<&[Borrow]>,
    tasks: &[TaskInfo],
) -> Result<Vec<(u32, u32)>, SamplerError> {
    let Some(entries) = borrow else {
        return Ok(released_borrowing(tasks));
    };
    let position = |name: &str| {
        tasks
            .iter()
            .position(|task| task.name == name)
            .map(|position| position as u32)
            .ok_or_else(|| SamplerError::UnknownTask {
                task: name.to_owned(),
                known: tasks
                    .iter()
                    .map(|task| task.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    };
    let mut resolved: Vec<(u32, u32)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let pair = (position(&entry.from)?, position(&entry.to)?);
        let reason = if pair.0 == pair.1 {
            Some("a task cannot borrow from itself")
        } else if tasks[pair.0 as usize].regression {
            Some("the donor is a regression and has no scores of its own")
        } else if resolved.iter().any(|other| other.1 == pair.1) {
            Some("this task borrows twice; keep one entry")
        } else if entries.iter().any(|other| other.to == entry.from) {
            Some("the donor itself borrows; name the task that has the scores")
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(SamplerError::Borrow {
                from: entry.from.clone(),
                to: entry.to.clone(),
                reason,
            });
        }
        resolved.push(pair);
    }
    Ok(resolved)
}

/// The released code's rule: STS-B borrows from MRPC if both are there.
fn released_borrowing(tasks: &[TaskInfo]) -> Vec<(u32, u32)> {
    let find = |names: &[&str], regression: bool| {
        tasks.iter().position(|task| {
            task.regression == regression
                && names
                    .iter()
                    .any(|name| task.name.eq_ignore_ascii_case(name))
        })
    };
    match (
        find(&["mrpc"], false),
        find(&["sts-b", "stsb", "sts_b"], true),
    ) {
        (Some(from), Some(to)) => vec![(from as u32, to as u32)],
        _ => Vec::new(),
    }
}
