//! Exact match and F1 of extracted answers, by the rules of the official scorers of SQuAD v1.1, SQuAD v2.0 and MRQA.
//!
//! Prediction and gold answer are compared in their normalised form ([`normalize_answer`]). With the bags of their words
//! P and G (words counted as often as they occur),
//!
//! `EM = [P's text = G's text]`, `precision = |P ∩ G| / |P|`, `recall = |P ∩ G| / |G|`,
//! `F1 = 2 precision recall / (precision + recall) = 2 |P ∩ G| / (|P| + |G|)`,
//!
//! and each question takes its best value over the gold answers, EM and F1 separately; the score is the mean over the
//! questions. The scorers differ only where there is nothing to compare:
//!
//! | | `evaluate-v1.1.py`, `mrqa_official_eval.py` | `evaluate-v2.0.py` |
//! |---|---|---|
//! | F1, a side has no words left | 0, even if both have none (EM is 1 then) | 1 if both have none, else 0 |
//! | question without an answer | an error | the gold answer is the empty string |
//! | gold answers that normalise to nothing | kept | left out if there are others |
//!
//! The official scripts print percent, these functions give fractions. A question without a prediction is given as the
//! empty string.
//!
//! ```
//! use camtl_data::metrics::question_answering::{squad_v1_scores, squad_v2_scores};
//!
//! let predictions = ["The Eiffel Tower!", "in 1889"];
//! let scores = squad_v1_scores(&predictions, &[vec!["Eiffel Tower"], vec!["1889", "the year 1889"]])?;
//! assert_eq!(scores.exact_match, 0.5);
//! assert_eq!(scores.f1, (1.0 + 2.0 / 3.0) / 2.0);
//!
//! // The second question has no answer, and the model says so.
//! let scores = squad_v2_scores(&["Eiffel", ""], &[vec!["Eiffel Tower"], vec![]])?;
//! assert_eq!(scores.all.exact_match, 0.5);
//! assert_eq!(scores.no_answer.unwrap().f1, 1.0);
//! # Ok::<(), camtl_data::metrics::MetricError>(())
//! ```

use std::collections::BTreeMap;

use super::check::check_counts;
use super::error::MetricError;

/// Mean exact match and F1 over questions, as fractions.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AnswerScores {
    /// Share of the questions whose prediction equals a gold answer after normalisation.
    pub exact_match: f64,
    /// Mean over the questions of the best F1 over the gold answers.
    pub f1: f64,
    /// How many questions were scored.
    pub questions: usize,
}

/// Scores by the rules of SQuAD v2.0: over all questions and, where there are any, over those with and without answers.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SquadV2Scores {
    /// Over all questions: `exact`, `f1` and `total` of the official script.
    pub all: AnswerScores,
    /// Over the questions that have an answer: the script's `HasAns_*`.
    pub has_answer: Option<AnswerScores>,
    /// Over the questions that have none: the script's `NoAns_*`.
    pub no_answer: Option<AnswerScores>,
}

/// The best scores that any threshold on the no-answer probability reaches, and where: the script's `best_exact`,
/// `best_exact_thresh`, `best_f1` and `best_f1_thresh`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BestThresholds {
    /// Best exact match over thresholds.
    pub exact_match: f64,
    /// The threshold of the best exact match.
    pub exact_match_threshold: f64,
    /// Best F1 over thresholds.
    pub f1: f64,
    /// The threshold of the best F1.
    pub f1_threshold: f64,
}

/// Normalises an answer as every official scorer does: lower case, then ASCII punctuation removed (without leaving a
/// space), then the words *a*, *an*, *the* removed, then white space collapsed to single spaces.
///
/// White space and word boundaries are those of Unicode, as in Python 3. (One difference is known: Python does not count
/// combining vowel signs and circled letters as parts of words, so that an article glued to one is removed there.)
///
/// ```
/// use camtl_data::metrics::question_answering::normalize_answer;
///
/// assert_eq!(normalize_answer("  The U.S.\u{a0}Navy's  Élan "), "us navys élan");
/// assert_eq!(normalize_answer("an a-the?"), "athe");
/// assert_eq!(normalize_answer("The..."), "");
/// ```
pub fn normalize_answer(text: &str) -> String {
    let mut plain = text.to_lowercase();
    plain.retain(|character| !character.is_ascii_punctuation());
    let plain = without_articles(&plain);
    plain
        .split(is_space)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Python's `str.isspace`: Unicode's white space and the four separators U+001C to U+001F.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric()
}

/// `re.sub(r'\b(a|an|the)\b', ' ', text)`: a run of word characters that is an article becomes a space. The underscore,
/// also a word character, is gone with the punctuation by now.
fn without_articles(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word_end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(word_end);
        let gap_end = tail.find(is_word).unwrap_or(tail.len());
        let (gap, next) = tail.split_at(gap_end);
        kept.push_str(match word {
            "a" | "an" | "the" => " ",
            word => word,
        });
        kept.push_str(gap);
        rest = next;
    }
    kept
}

/// Whether prediction and gold answer are the same after [`normalize_answer`].
pub fn exact_match(prediction: &str, gold: &str) -> bool {
    normalize_answer(prediction) == normalize_answer(gold)
}

/// F1 of the words of prediction and gold answer after [`normalize_answer`], by the rule of SQuAD v1.1: 0 if no word is
/// shared, even if neither has any.
///
/// ```
/// use camtl_data::metrics::question_answering::token_f1;
///
/// assert_eq!(token_f1("the cat sat", "a cat"), 2.0 / 3.0);
/// assert_eq!(token_f1("the", "the"), 0.0);
/// ```
pub fn token_f1(prediction: &str, gold: &str) -> f64 {
    overlap_f1(&normalize_answer(prediction), &normalize_answer(gold))
}

/// F1 of two normalised texts; 0 if they share no word.
fn overlap_f1(prediction: &str, gold: &str) -> f64 {
    let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).count();
    let mut unmatched: BTreeMap<&str, usize> = BTreeMap::new();
    for word in gold.split(' ').filter(|word| !word.is_empty()) {
        *unmatched.entry(word).or_default() += 1;
    }
    let mut shared = 0usize;
    for word in prediction.split(' ') {
        if let Some(count) = unmatched.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    if shared == 0 {
        return 0.0;
    }
    2.0 * shared as f64 / (words(prediction) + words(gold)) as f64
}

/// Exact match and F1 of one question.
#[derive(Clone, Copy)]
struct QuestionScore {
    exact_match: bool,
    f1: f64,
}

const WRONG: QuestionScore = QuestionScore {
    exact_match: false,
    f1: 0.0,
};
const RIGHT: QuestionScore = QuestionScore {
    exact_match: true,
    f1: 1.0,
};

fn mean(scores: impl Iterator<Item = QuestionScore>) -> Option<AnswerScores> {
    let (mut exact, mut f1, mut questions) = (0usize, 0.0, 0usize);
    for score in scores {
        exact += usize::from(score.exact_match);
        f1 += score.f1;
        questions += 1;
    }
    (questions > 0).then(|| AnswerScores {
        exact_match: exact as f64 / questions as f64,
        f1: f1 / questions as f64,
        questions,
    })
}

/// Exact match and F1 by the rules of SQuAD v1.1, which are those of MRQA too: one prediction and at least one gold
/// answer per question.
///
/// Sources: `evaluate-v1.1.py` (Rajpurkar et al. 2016), `mrqa_official_eval.py` (Fisch et al. 2019).
///
/// # Errors
/// [`MetricError::CountMismatch`], [`MetricError::NothingToScore`] and, for a question without gold answers,
/// [`MetricError::NoGoldAnswer`].
pub fn squad_v1_scores<P: AsRef<str>, G: AsRef<str>>(
    predictions: &[P],
    gold_answers: &[Vec<G>],
) -> Result<AnswerScores, MetricError> {
    best_over_answers("squad", predictions, gold_answers)
}

/// The shared rule of SQuAD v1.1, MRQA and ReCoRD; `metric` names it in errors.
pub(super) fn best_over_answers<P: AsRef<str>, G: AsRef<str>>(
    metric: &'static str,
    predictions: &[P],
    gold_answers: &[Vec<G>],
) -> Result<AnswerScores, MetricError> {
    check_counts(
        metric,
        "sets of gold answers",
        predictions.len(),
        gold_answers.len(),
    )?;
    if let Some(question) = gold_answers.iter().position(Vec::is_empty) {
        return Err(MetricError::NoGoldAnswer { metric, question });
    }
    let scores = predictions
        .iter()
        .zip(gold_answers)
        .map(|(prediction, gold)| {
            let prediction = normalize_answer(prediction.as_ref());
            gold.iter().fold(WRONG, |best, answer| {
                let answer = normalize_answer(answer.as_ref());
                QuestionScore {
                    exact_match: best.exact_match || prediction == answer,
                    f1: best.f1.max(overlap_f1(&prediction, &answer)),
                }
            })
        });
    mean(scores).ok_or(MetricError::NothingToScore { metric })
}

/// Exact match and F1 by the rules of SQuAD v2.0: a question whose set of gold answers is empty has no answer, and the
/// prediction that says so is the empty string (or one that normalises to nothing).
///
/// Source: `evaluate-v2.0.py` (Rajpurkar et al. 2018), without `--na-prob-file`.
///
/// # Errors
/// [`MetricError::CountMismatch`] and [`MetricError::NothingToScore`].
pub fn squad_v2_scores<P: AsRef<str>, G: AsRef<str>>(
    predictions: &[P],
    gold_answers: &[Vec<G>],
) -> Result<SquadV2Scores, MetricError> {
    let raw = squad_v2_raw(predictions, gold_answers)?;
    summarise(&raw, gold_answers)
}

/// As [`squad_v2_scores`], but a question whose no-answer probability is above `threshold` counts as answered with
/// "no answer" whatever its prediction: the official script with `--na-prob-file` and `--na-prob-thresh`.
///
/// The probabilities may be any finite scores that grow with the belief that there is no answer.
///
/// # Errors
/// As [`squad_v2_scores`], and [`MetricError::NonFiniteProbability`].
pub fn squad_v2_scores_at<P: AsRef<str>, G: AsRef<str>>(
    predictions: &[P],
    gold_answers: &[Vec<G>],
    no_answer_probabilities: &[f64],
    threshold: f64,
) -> Result<SquadV2Scores, MetricError> {
    let mut raw = squad_v2_raw(predictions, gold_answers)?;
    check_probabilities(no_answer_probabilities, raw.len())?;
    for ((score, gold), probability) in raw
        .iter_mut()
        .zip(gold_answers)
        .zip(no_answer_probabilities)
    {
        if *probability > threshold {
            *score = if gold.is_empty() { RIGHT } else { WRONG };
        }
    }
    summarise(&raw, gold_answers)
}

/// The thresholds for [`squad_v2_scores_at`] that give the best exact match and the best F1, found as the official script
/// finds them (and, like there, meant for the development split).
///
/// The questions are passed in order of their no-answer probability, equal ones in the order given; starting from "nothing
/// is answered", each one adds its score if it has an answer and subtracts 1 if it has none but is answered with a
/// non-empty text. The threshold is the probability at which the running sum first reaches its maximum, 0 if it never
/// exceeds its start. Where probabilities are equal the best value may lie within a group that no threshold can split;
/// this is the script's behaviour.
///
/// # Errors
/// As [`squad_v2_scores_at`].
pub fn best_thresholds<P: AsRef<str>, G: AsRef<str>>(
    predictions: &[P],
    gold_answers: &[Vec<G>],
    no_answer_probabilities: &[f64],
) -> Result<BestThresholds, MetricError> {
    let raw = squad_v2_raw(predictions, gold_answers)?;
    check_probabilities(no_answer_probabilities, raw.len())?;
    let mut order: Vec<usize> = (0..raw.len()).collect();
    order.sort_by(|a, b| {
        // All finite; unlike the total order, this one holds 0.0 and -0.0 equal, as Python does.
        no_answer_probabilities[*a]
            .partial_cmp(&no_answer_probabilities[*b])
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let unanswerable = gold_answers.iter().filter(|gold| gold.is_empty()).count() as f64;
    let best = |score: &dyn Fn(&QuestionScore) -> f64| {
        let (mut sum, mut best, mut threshold) = (unanswerable, unanswerable, 0.0);
        for &question in &order {
            sum += if !gold_answers[question].is_empty() {
                score(&raw[question])
            } else if predictions[question].as_ref().is_empty() {
                0.0
            } else {
                -1.0
            };
            if sum > best {
                (best, threshold) = (sum, no_answer_probabilities[question]);
            }
        }
        (best / raw.len() as f64, threshold)
    };
    let (exact_match, exact_match_threshold) =
        best(&|score| f64::from(u8::from(score.exact_match)));
    let (f1, f1_threshold) = best(&|score| score.f1);
    Ok(BestThresholds {
        exact_match,
        exact_match_threshold,
        f1,
        f1_threshold,
    })
}

const SQUAD_V2: &str = "squad v2";

fn squad_v2_raw<P: AsRef<str>, G: AsRef<str>>(
    predictions: &[P],
    gold_answers: &[Vec<G>],
) -> Result<Vec<QuestionScore>, MetricError> {
    check_counts(
        SQUAD_V2,
        "sets of gold answers",
        predictions.len(),
        gold_answers.len(),
    )?;
    let score = |(prediction, gold): (&P, &Vec<G>)| {
        let prediction = normalize_answer(prediction.as_ref());
        let mut answers: Vec<String> = gold
            .iter()
            .map(|answer| normalize_answer(answer.as_ref()))
            .filter(|answer| !answer.is_empty())
            .collect();
        if answers.is_empty() {
            answers.push(String::new());
        }
        answers.iter().fold(WRONG, |best, answer| {
            let exact_match = prediction == *answer;
            let f1 = if prediction.is_empty() || answer.is_empty() {
                f64::from(u8::from(exact_match))
            } else {
                overlap_f1(&prediction, answer)
            };
            QuestionScore {
                exact_match: best.exact_match || exact_match,
                f1: best.f1.max(f1),
            }
        })
    };
    Ok(predictions.iter().zip(gold_answers).map(score).collect())
}

fn summarise<G>(
    raw: &[QuestionScore],
    gold_answers: &[Vec<G>],
) -> Result<SquadV2Scores, MetricError> {
    let part = |unanswerable: bool| {
        mean(
            raw.iter()
                .zip(gold_answers)
                .filter(|(_, gold)| gold.is_empty() == unanswerable)
                .map(|(score, _)| *score),
        )
    };
    Ok(SquadV2Scores {
        all: mean(raw.iter().copied()).ok_or(MetricError::NothingToScore { metric: SQUAD_V2 })?,
        has_answer: part(false),
        no_answer: part(true),
    })
}

fn check_probabilities(probabilities: &[f64], questions: usize) -> Result<(), MetricError> {
    check_counts(
        SQUAD_V2,
        "no-answer probabilities",
        questions,
        probabilities.len(),
    )?;
    match probabilities.iter().position(|value| !value.is_finite()) {
        Some(question) => Err(MetricError::NonFiniteProbability {
            metric: SQUAD_V2,
            question,
            value: probabilities[question],
        }),
        None => Ok(()),
    }
}
