//! Answers to the queries of `ReCoRD`: of a query's candidates the one that is most probably right.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, AnswerError, RowsOf, check_count, misfit};
use crate::encoded::EncodedSplit;
use crate::spec::Details;
use crate::task::TaskSpec;

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryAnswer {
    /// The key of the candidate's row, `passage-query-entity`.
    pub key: Option<String>,
    /// The entity as the passage spells it.
    pub entity: String,
    /// The accepted answers; none in unlabelled data.
    pub accepted: Arc<[String]>,
}

/// The answers to the queries whose candidates are the examples `indices` of a split, in the order of the file; `answers`
/// are one per index, in order. Of equally probable candidates the first is the answer.
///
/// # Errors
/// Examples that are no candidates, answers of another kind or number than the examples, a file that was changed or
/// removed since it was encoded.
pub fn query_answers(
    spec: &TaskSpec,
    split: &EncodedSplit,
    indices: &[usize],
    answers: &[Answer],
) -> Result<Vec<QueryAnswer>, AnswerError> {
    check_count(spec, indices, answers)?;
    let rows = RowsOf::new(spec, split)?;
    let groups = split.groups().unwrap_or_default();
    let mut best: BTreeMap<u64, (f32, usize)> = BTreeMap::new();
    for (index, answer) in indices.iter().zip(answers) {
        let right = match answer {
            Answer::Class { probabilities, .. } => probabilities.get(1),
            _ => None,
        };
        let (Some(&probability), Some(&query)) = (right, groups.get(*index)) else {
            return Err(misfit(spec, *index, answer));
        };
        let first = best.entry(query).or_insert((probability, *index));
        if probability > first.0 {
            *first = (probability, *index);
        }
    }
    (best.into_values())
        .map(|(_, index)| {
            let row = rows.row(index);
            match &row.details {
                Details::Candidate(candidate) => Ok(QueryAnswer {
                    key: row.key.clone(),
                    entity: candidate.entity.clone(),
                    accepted: candidate.answers.clone(),
                }),
                _ => Err(AnswerError::Answer {
                    task: spec.name.clone(),
                    example: index,
                    problem: "it is no candidate of a query".to_owned(),
                }),
            }
        })
        .collect()
}
