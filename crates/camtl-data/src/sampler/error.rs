//! What can go wrong with a sampler.

/// An error of any kind, as a [`Scorer`](super::Scorer) may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a sampler cannot be built, continue or be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// The task list is empty.
    #[error("sampler: no tasks; give at least one")]
    NoTasks,
    /// Two tasks share a name.
    #[error("sampler: the task `{task}` is listed twice; every task needs a name of its own")]
    DuplicateTask {
        /// The name.
        task: String,
    },
    /// A task has nothing to sample from.
    #[error(
        "sampler: the task `{task}` has no training examples; check its train split or leave it out"
    )]
    EmptyTask {
        /// The task.
        task: String,
    },
    /// More examples than can be counted in 32 bits.
    #[error(
        "sampler: with the task `{task}` there are more than 4,294,967,295 training examples, the most that can be indexed"
    )]
    TooManyExamples {
        /// The task at which the count was exceeded.
        task: String,
    },
    /// A classification with fewer than two classes.
    #[error(
        "sampler: the classification `{task}` has {num_outputs} class(es); it needs at least 2, or must be declared a regression"
    )]
    TooFewClasses {
        /// The task.
        task: String,
        /// Its number of classes.
        num_outputs: usize,
    },
    /// An option is out of its range.
    #[error("sampler: {option} = {value}; expected {expected}")]
    Option {
        /// The option as spelled in the configuration.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// An option was given to a strategy that does not have it.
    #[error("the sampler `{sampler}` has no option `{option}`; its options are: {allowed}")]
    ForeignOption {
        /// The strategy.
        sampler: &'static str,
        /// The option.
        option: String,
        /// The options it has.
        allowed: String,
    },
    /// A `borrow` entry names a task that is not in the run.
    #[error(
        "sampler: borrow names the task `{task}`, which is not in this run (tasks: {known}); correct or remove the entry"
    )]
    UnknownTask {
        /// The name.
        task: String,
        /// The run's tasks, separated by commas.
        known: String,
    },
    /// A `borrow` entry that makes no sense.
    #[error("sampler: borrow from `{from}` to `{to}`: {reason}")]
    Borrow {
        /// The donor.
        from: String,
        /// The borrower.
        to: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The scorer failed.
    #[error("scoring candidates failed")]
    Scorer(#[source] BoxError),
    /// The scorer returned too few or too many scores.
    #[error(
        "the scorer returned {got} scores for {expected} candidates; the first candidate affected is example {example} of task `{task}`"
    )]
    ScoreCount {
        /// Number of candidates.
        expected: usize,
        /// Number of scores.
        got: usize,
        /// Task of the first candidate without a score (the last candidate if there are too many).
        task: String,
        /// Row of that candidate in the task's training split.
        example: u32,
    },
    /// The scorer returned a value that is no uncertainty.
    #[error(
        "the score of example {example} of task `{task}` is {value}; expected {expected}. The model's output for it may be broken: check the example and lower the learning rate if its loss diverged"
    )]
    Score {
        /// The candidate's task.
        task: String,
        /// The candidate's row in the task's training split.
        example: u32,
        /// The score.
        value: f32,
        /// What a score of this task must be.
        expected: String,
    },
    /// A stored state that does not fit.
    #[error("the saved sampler state cannot be restored: {reason}")]
    State {
        /// What does not fit, and what to do.
        reason: String,
    },
}
