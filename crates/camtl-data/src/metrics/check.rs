//! What must hold before a metric has a value.

use super::error::MetricError;

pub(crate) fn check_lengths(
    metric: &'static str,
    predictions: usize,
    references: usize,
) -> Result<(), MetricError> {
    if predictions != references {
        return Err(MetricError::LengthMismatch {
            metric,
            predictions,
            references,
        });
    }
    if references == 0 {
        return Err(MetricError::Empty { metric });
    }
    Ok(())
}

/// [`check_lengths`] of what is no list of predictions and references.
pub(super) fn check_counts(
    metric: &'static str,
    what: &'static str,
    predictions: usize,
    others: usize,
) -> Result<(), MetricError> {
    if predictions != others {
        return Err(MetricError::CountMismatch {
            metric,
            what,
            predictions,
            others,
        });
    }
    if others == 0 {
        return Err(MetricError::NothingToScore { metric });
    }
    Ok(())
}

pub(crate) fn check_finite(
    metric: &'static str,
    side: &'static str,
    scores: &[f32],
) -> Result<(), MetricError> {
    match scores.iter().position(|score| !score.is_finite()) {
        Some(index) => Err(MetricError::NonFinite {
            metric,
            side,
            index,
            value: scores[index],
        }),
        None => Ok(()),
    }
}
