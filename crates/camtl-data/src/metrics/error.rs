//! Why there is no value.

/// Why a metric or an average has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// There is nothing to compare.
    #[error("{metric}: no examples; evaluate on a split that has labels")]
    Empty {
        /// The metric that was asked for.
        metric: &'static str,
    },
    /// Predictions and references do not pair up.
    #[error(
        "{metric}: {predictions} predictions for {references} references; there must be one per example"
    )]
    LengthMismatch {
        /// The metric that was asked for.
        metric: &'static str,
        /// Number of predictions.
        predictions: usize,
        /// Number of references.
        references: usize,
    },
    /// A metric of classes was given scores, or the reverse.
    #[error(
        "{metric} compares {expected}, but the {side} are {got}; choose metrics that fit the task's kind"
    )]
    WrongKind {
        /// The metric that was asked for.
        metric: &'static str,
        /// Which side is wrong: `predictions` or `references`.
        side: &'static str,
        /// What the metric needs: `classes` or `scores`.
        expected: &'static str,
        /// What was given.
        got: &'static str,
    },
    /// A score is NaN or infinite.
    #[error("{metric}: {side}[{index}] is {value}; scores must be finite")]
    NonFinite {
        /// The metric that was asked for.
        metric: &'static str,
        /// Which side is wrong: `predictions` or `references`.
        side: &'static str,
        /// Position of the offending score.
        index: usize,
        /// The offending score.
        value: f32,
    },
    /// Binary F1 met a class other than 0 and 1.
    #[error(
        "f1: {side}[{index}] is class {class}, but this metric is of two-class tasks (0 and 1); use macro-f1 for more classes"
    )]
    NotBinary {
        /// Which side is wrong: `predictions` or `references`.
        side: &'static str,
        /// Position of the offending class.
        index: usize,
        /// The offending class.
        class: u32,
    },
    /// The metric compares more than one class or score per example.
    #[error("{metric} needs the whole split, not lists of classes; use `score_split`")]
    NeedsSplit {
        /// The metric that was asked for.
        metric: &'static str,
    },
    /// The task does not provide what the metric compares.
    #[error("{metric} does not fit {kind}; choose metrics that fit the task's kind")]
    NoEvidence {
        /// The metric that was asked for.
        metric: &'static str,
        /// The task's kind.
        kind: &'static str,
    },
    /// No metric has this name.
    #[error("unknown metric `{name}`; known are {}", known.join(", "))]
    UnknownMetric {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: &'static [&'static str],
    },
    /// An average needs a score that the table does not have.
    #[error(
        "the GLUE average needs {metric} of {task}, which is not among the scores; evaluate all nine scores or average fewer tasks yourself"
    )]
    MissingScore {
        /// The task, by its GLUE name.
        task: &'static str,
        /// The metric's name.
        metric: &'static str,
    },
    /// A score in a table is NaN or infinite.
    #[error("{metric} of {task} is {value}; a table of scores must be finite")]
    NonFiniteScore {
        /// The task.
        task: String,
        /// The metric's name.
        metric: String,
        /// The offending value.
        value: f64,
    },
    /// A spread was asked for of no scores at all.
    #[error("the spread over tasks needs at least one score")]
    NoScores,
    /// There is nothing to compare.
    #[error("{metric}: nothing to score; evaluate on a split that has examples and labels")]
    NothingToScore {
        /// The metric that was asked for.
        metric: &'static str,
    },
    /// Predictions do not pair up with what belongs to them.
    #[error("{metric}: {predictions} predictions for {others} {what}; there must be one for each")]
    CountMismatch {
        /// The metric that was asked for.
        metric: &'static str,
        /// What must be as many as the predictions, in the plural.
        what: &'static str,
        /// Number of predictions.
        predictions: usize,
        /// Number of the others.
        others: usize,
    },
    /// A question has no gold answer, but the rules demand one.
    #[error(
        "{metric}: question {question} (counted from 0) has no gold answer; leave it out, or score by the rules of SQuAD v2 where it means that there is none"
    )]
    NoGoldAnswer {
        /// The metric that was asked for.
        metric: &'static str,
        /// Position of the question.
        question: usize,
    },
    /// A no-answer probability is NaN or infinite.
    #[error(
        "{metric}: the no-answer probability of question {question} (counted from 0) is {value}; it must be finite"
    )]
    NonFiniteProbability {
        /// The metric that was asked for.
        metric: &'static str,
        /// Position of the question.
        question: usize,
        /// The offending value.
        value: f64,
    },
    /// A sentence has another number of predicted tags than of true ones.
    #[error(
        "entity f1: sentence {sentence} (counted from 0) has {predictions} predicted tags for {references} tokens; there must be one per token"
    )]
    SentenceLength {
        /// Position of the sentence.
        sentence: usize,
        /// Number of predicted tags.
        predictions: usize,
        /// Number of true tags.
        references: usize,
    },
    /// A tag is not of the BIO scheme.
    #[error(
        "entity f1: {side}, sentence {sentence}, token {token} (counted from 0): `{tag}` is not a BIO tag; expected `O`, `B-TYPE` or `I-TYPE` (turn IOBES's `E-` into `I-` and its `S-` into `B-`)"
    )]
    UnknownTag {
        /// Which side is wrong: `predictions`, `references`, or `tags` where there is one side only.
        side: &'static str,
        /// Position of the sentence.
        sentence: usize,
        /// Position of the token in its sentence.
        token: usize,
        /// The offending tag.
        tag: String,
    },
    /// Two neighbouring rows of AX-g do not belong together.
    #[error(
        "gender parity: row {row} (counted from 0) and the row after it are not a pair with the same hypothesis; give all rows in the order of the official file"
    )]
    NotAPair {
        /// The first of the two rows.
        row: usize,
    },
}
