//! What a command can end with: an exit code, an error chain and, where one exists, a remedy.
//!
//! Libraries return their own error types; a command wraps them in a [`Failure`] that says whether
//! the user asked for something impossible (exit code 2) or the work itself failed (exit code 1).

use std::fmt::Write as _;

/// Exit code of a command that did what was asked.
pub(crate) const SUCCESS: u8 = 0;
/// Exit code when the work failed: unreadable data, a full disk, a loss that is not finite.
pub(crate) const WORK_FAILED: u8 = 1;
/// Exit code for bad usage or configuration: nothing was started.
pub(crate) const BAD_USAGE: u8 = 2;
/// Exit code after Ctrl-C (128 + SIGINT, as shells count): the run was saved and can be resumed.
pub(crate) const INTERRUPTED: u8 = 130;

/// Result of a command: the exit code, or why it did not get there.
pub(crate) type Outcome = Result<u8, Failure>;

/// An error with its exit code and an optional remedy.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    /// The user asked for something that cannot be: exit code 2.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: BAD_USAGE,
            error: error.into(),
            hint: None,
        }
    }

    /// The work failed: exit code 1.
    pub(crate) fn work(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: WORK_FAILED,
            error: error.into(),
            hint: None,
        }
    }

    /// Adds what to do next; an earlier, more specific hint stays.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// True if the reader of our output closed it (`camtl ... | head`): nobody is left to tell.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.error.chain().any(|cause| {
            cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
        })
    }

    /// `error:` with the whole chain, one cause a line, then `hint:`.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let mut previous = String::new();
        for (depth, cause) in self.error.chain().enumerate() {
            let message = cause.to_string();
            // thiserror's `#[error("...: {source}")]` repeats its cause; say it once.
            if depth > 0 && previous.contains(message.trim()) {
                continue;
            }
            let _ = if depth == 0 {
                writeln!(text, "error: {message}")
            } else {
                writeln!(text, "  because: {message}")
            };
            previous = message;
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::work(error)
    }
}

/// Turns any result into one that carries an exit code, and adds context.
pub(crate) trait OrFail<T> {
    /// Failing means bad usage or configuration.
    fn or_usage(self, context: impl FnOnce() -> String) -> Result<T, Failure>;
    /// Failing means the work failed.
    fn or_work(self, context: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_usage(self, context: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|e| Failure::usage(e.into().context(context())))
    }

    fn or_work(self, context: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|e| Failure::work(e.into().context(context())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_listed_once_and_the_hint_comes_last() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = anyhow::Error::new(io)
            .context("cannot read x.toml: no such file")
            .context("cannot start");
        let text = Failure::usage(error)
            .hint("give the path")
            .hint("never shown")
            .render();
        assert_eq!(
            text,
            "error: cannot start\n  because: cannot read x.toml: no such file\nhint: give the path\n"
        );
    }
}
