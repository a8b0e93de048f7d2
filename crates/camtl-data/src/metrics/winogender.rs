//! The scores of AX-g, SuperGLUE's Winogender diagnostic: accuracy and gender parity.
//!
//! The rows come in pairs whose premises differ in the gender of one pronoun and whose hypothesis is the same:
//!
//! `gender parity = pairs with equal predictions / pairs`.
//!
//! It says nothing by itself: a model that always predicts the same class has parity 1 (and accuracy 0.5), so read it
//! beside the accuracy.
//!
//! A pair is two rows that follow each other in the official file, as the official scorer takes them. The file's `pair_id`
//! does not help, it differs within a pair; the hypothesis is what both rows share, and it is checked.
//!
//! Sources: Rudinger et al. 2018; the gender parity score of DNC (Poliak et al. 2018) that SuperGLUE adopts (in percent
//! there, a fraction here).
//!
//! ```
//! use camtl_data::metrics::winogender::winogender_scores;
//!
//! let hypotheses = ["The nurse left.", "The nurse left.", "The cook ate.", "The cook ate."];
//! let scores = winogender_scores(&hypotheses, &[0, 0, 1, 0], &[0, 0, 1, 1])?;
//! assert_eq!(scores.accuracy, 0.75);
//! assert_eq!(scores.gender_parity, 0.5);
//! # Ok::<(), camtl_data::metrics::MetricError>(())
//! ```

use super::accuracy::accuracy;
use super::check::check_counts;
use super::error::MetricError;

/// AX-g's scores, as fractions.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct WinogenderScores {
    /// Share of the rows that are predicted correctly.
    pub accuracy: f64,
    /// Share of the pairs whose two rows are predicted alike, rightly or wrongly.
    pub gender_parity: f64,
    /// How many pairs there are.
    pub pairs: usize,
}

const METRIC: &str = "gender parity";

/// The share of pairs with the same prediction on both rows. The rows `2k` and `2k + 1` are a pair, and `hypotheses` holds
/// what both have in common.
///
/// # Errors
/// [`MetricError::CountMismatch`], [`MetricError::NothingToScore`], and [`MetricError::NotAPair`] for two neighbours with
/// different hypotheses or a last row without a partner.
pub fn gender_parity<H: PartialEq>(
    hypotheses: &[H],
    predictions: &[u32],
) -> Result<f64, MetricError> {
    check_counts(METRIC, "hypotheses", predictions.len(), hypotheses.len())?;
    let mut equal = 0usize;
    for (pair, (shared, predicted)) in hypotheses.chunks(2).zip(predictions.chunks(2)).enumerate() {
        let ([first, second], [one, other]) = (shared, predicted) else {
            return Err(MetricError::NotAPair { row: 2 * pair });
        };
        if first != second {
            return Err(MetricError::NotAPair { row: 2 * pair });
        }
        equal += usize::from(one == other);
    }
    Ok(equal as f64 / (predictions.len() / 2) as f64)
}

/// Accuracy and gender parity of AX-g, from the rows in the order of the official file (see [`gender_parity`]).
///
/// # Errors
/// As [`gender_parity`].
pub fn winogender_scores<H: PartialEq>(
    hypotheses: &[H],
    predictions: &[u32],
    references: &[u32],
) -> Result<WinogenderScores, MetricError> {
    check_counts(METRIC, "references", predictions.len(), references.len())?;
    Ok(WinogenderScores {
        gender_parity: gender_parity(hypotheses, predictions)?,
        accuracy: accuracy(predictions, references),
        pairs: predictions.len() / 2,
    })
}
