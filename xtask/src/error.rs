//! How an error says what failed, why, and what to do next.
//!
//! Errors are `anyhow` chains. Two markers can sit anywhere in a chain: a [`Hint`], printed last as
//! `hint: ...`, and a usage error, which turns the exit code from 1 into 2.

use std::fmt;

/// An error together with what to do about it; displays as the error alone.
#[derive(Debug)]
pub struct Hint {
    error: anyhow::Error,
    hint: String,
    usage: bool,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl std::error::Error for Hint {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Bad usage: the caller asked for something that cannot be. Exit code 2.
pub fn usage(message: impl fmt::Display, hint: impl Into<String>) -> anyhow::Error {
    Hint {
        error: anyhow::anyhow!("{message}"),
        hint: hint.into(),
        usage: true,
    }
    .into()
}

/// A failure of the work itself with its remedy. Exit code 1.
pub fn failure(message: impl fmt::Display, hint: impl Into<String>) -> anyhow::Error {
    Hint {
        error: anyhow::anyhow!("{message}"),
        hint: hint.into(),
        usage: false,
    }
    .into()
}

/// Adds a remedy to a result's error.
pub trait OrHint<T> {
    /// If this is an error, says what to do about it.
    ///
    /// # Errors
    /// The same error, with the hint attached.
    fn or_hint(self, hint: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrHint<T> for Result<T, E> {
    fn or_hint(self, hint: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.map_err(|error| {
            Hint {
                error: error.into(),
                hint: hint(),
                usage: false,
            }
            .into()
        })
    }
}

fn hints(error: &anyhow::Error) -> impl Iterator<Item = &Hint> {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Hint>())
}

/// The first error of type `T` in the chain, also below a hint.
pub fn find<T: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&T> {
    error.chain().find_map(|cause| {
        let below = cause
            .downcast_ref::<Hint>()
            .and_then(|hint| hint.error.downcast_ref());
        cause.downcast_ref().or(below)
    })
}

/// 2 for a usage error anywhere in the chain, otherwise 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if hints(error).any(|h| h.usage) || error.chain().any(|c| c.is::<lexopt::Error>()) {
        2
    } else {
        1
    }
}

/// `error:` with its causes, one a line, then `hint:` where one is known.
pub fn render(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut previous = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let message = cause.to_string();
        // A message that already quotes its cause need not repeat it.
        if depth > 0 && previous.contains(message.trim()) {
            continue;
        }
        text.push_str(if depth == 0 { "error: " } else { "  because: " });
        text.push_str(message.trim_end());
        text.push('\n');
        previous = message;
    }
    for hint in hints(error) {
        text.push_str("hint: ");
        text.push_str(&hint.hint);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_hint_survives_context_and_comes_last() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = Err::<(), _>(io)
            .context("cannot read lock.txt")
            .or_hint(|| "run `cargo xtask setup`".into())
            .context("cannot start")
            .expect_err("an error");
        assert_eq!(
            render(&error),
            "error: cannot start\n  because: cannot read lock.txt\n  because: no such file\n\
             hint: run `cargo xtask setup`\n"
        );
        assert_eq!(exit_code(&error), 1);
    }

    #[test]
    fn usage_errors_exit_with_two_even_below_context() {
        let error = usage("no such thing", "try another").context("cannot start");
        assert_eq!(exit_code(&error), 2);
        assert_eq!(
            render(&error),
            "error: cannot start\n  because: no such thing\nhint: try another\n"
        );
    }
}
