//! MultiRC's F1a and exact match: each question has several candidate answers, each of them right or wrong.
//!
//! With TP answers that are right and called right, P called right and T right, over all answers of all questions,
//!
//! `F1a = 2 TP / (P + T)`, `EM = share of the questions of which every answer is judged correctly`.
//!
//! Sources: `multirc_measures.py` (Khashabi et al. 2018: `per_dataset_metric`, `exact_match_metrics` with delta 0) and
//! SuperGLUE's scorer. Where nothing is called right and nothing is, F1a is 0 as in SuperGLUE's scorer (scikit-learn's
//! `f1_score`); the original script has 1 there.
//!
//! ```
//! use camtl_data::metrics::multirc::multirc_scores;
//!
//! let questions = ["q1", "q1", "q1", "q2", "q2"];
//! let predicted = [true, false, true, false, true];
//! let actual = [true, false, false, false, true];
//! let scores = multirc_scores(&questions, &predicted, &actual)?;
//! assert_eq!(scores.f1a, 0.8);
//! assert_eq!(scores.exact_match, 0.5);
//! # Ok::<(), camtl_data::metrics::MetricError>(())
//! ```

use std::collections::BTreeMap;

use super::check::check_counts;
use super::error::MetricError;

/// MultiRC's scores, as fractions.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MultiRcScores {
    /// F1 of "this answer is right" over all answers of all questions.
    pub f1a: f64,
    /// Share of the questions of which every answer is judged correctly.
    pub exact_match: f64,
    /// How many questions there are.
    pub questions: usize,
    /// How many answers there are.
    pub answers: usize,
}

/// F1a and exact match of judgements (`true`: the answer is right), one per candidate answer. Answers with equal keys
/// belong to one question, wherever they stand.
///
/// A key must tell questions of different passages apart; in the official files the question's `idx` does.
///
/// # Errors
/// [`MetricError::CountMismatch`] and [`MetricError::NothingToScore`].
pub fn multirc_scores<K: Ord>(
    questions: &[K],
    predictions: &[bool],
    references: &[bool],
) -> Result<MultiRcScores, MetricError> {
    const METRIC: &str = "multirc";
    check_counts(METRIC, "references", predictions.len(), references.len())?;
    check_counts(METRIC, "question keys", predictions.len(), questions.len())?;
    let (mut both, mut predicted, mut actual) = (0u64, 0u64, 0u64);
    let mut all_correct: BTreeMap<&K, bool> = BTreeMap::new();
    for ((question, prediction), reference) in questions.iter().zip(predictions).zip(references) {
        both += u64::from(*prediction && *reference);
        predicted += u64::from(*prediction);
        actual += u64::from(*reference);
        *all_correct.entry(question).or_insert(true) &= prediction == reference;
    }
    let f1a = match predicted + actual {
        0 => 0.0,
        sum => 2.0 * both as f64 / sum as f64,
    };
    let correct = all_correct.values().filter(|correct| **correct).count();
    Ok(MultiRcScores {
        f1a,
        exact_match: correct as f64 / all_correct.len() as f64,
        questions: all_correct.len(),
        answers: references.len(),
    })
}
