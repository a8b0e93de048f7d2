//! Problems of a configuration, all of them at once.

use std::fmt;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where it stands: a line such as `run.toml:12`, or an override such as `--set train.seed=x`.
    pub location: Option<String>,
    /// The key, such as `train.seed`; empty for a problem of the whole file.
    pub key: String,
    /// What is wrong, what was expected and, where there is one, the nearest known word.
    pub message: String,
}

impl ConfigProblem {
    /// A problem of `key` that has no known place yet.
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            location: None,
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(formatter, "{location}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.message)
    }
}

/// A configuration that cannot be used, with every problem found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or what the text was called.
    pub origin: String,
    /// The problems, in the order of the file.
    pub problems: Vec<ConfigProblem>,
}

impl ConfigError {
    /// One problem of the whole file.
    pub(crate) fn unreadable(origin: &str, message: String) -> Self {
        Self {
            origin: origin.to_owned(),
            problems: vec![ConfigProblem::new("", message)],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] if one.location.is_some() => write!(formatter, "{one}"),
            [one] => write!(formatter, "{}: {one}", self.origin),
            many => {
                write!(formatter, "{}: {} problems", self.origin, many.len())?;
                many.iter()
                    .try_for_each(|problem| write!(formatter, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
