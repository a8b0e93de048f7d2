//! ReCoRD's exact match and F1: the answer is one of the passage's entities, and any mention of it counts.
//!
//! Per question the best exact match and the best F1 over the gold mentions, after the normalisation of SQuAD v1.1; then
//! the mean over questions:
//!
//! `EM = 1/Q Σ_q max_g EM(p_q, g)`, `F1 = 1/Q Σ_q max_g F1(p_q, g)`
//!
//! with the functions of [`super::question_answering`]. Source: ReCoRD's `evaluate.py` (Zhang et al. 2018), which SuperGLUE
//! uses; it prints percent, this gives fractions.
//!
//! ```
//! use camtl_data::metrics::record::record_scores;
//!
//! let gold = [vec!["Trump", "Donald Trump"], vec!["U.S.", "United States"]];
//! let scores = record_scores(&["Donald J. Trump", "the US"], &gold)?;
//! assert_eq!(scores.exact_match, 0.5);
//! assert_eq!(scores.f1, (0.8 + 1.0) / 2.0);
//! # Ok::<(), camtl_data::metrics::MetricError>(())
//! ```

use super::error::MetricError;
use super::question_answering::{AnswerScores, best_over_answers};

/// ReCoRD's exact match and F1: one predicted entity and at least one gold mention per question (per query, that is: a
/// passage may have several).
///
/// # Errors
/// [`MetricError::CountMismatch`], [`MetricError::NothingToScore`] and, for a question without gold mentions,
/// [`MetricError::NoGoldAnswer`].
pub fn record_scores<P: AsRef<str>, G: AsRef<str>>(
    predictions: &[P],
    gold_mentions: &[Vec<G>],
) -> Result<AnswerScores, MetricError> {
    best_over_answers("record", predictions, gold_mentions)
}
