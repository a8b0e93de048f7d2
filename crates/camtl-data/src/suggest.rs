//! Lists and excerpts for messages, and TOML errors with the line they stand in.

use std::fmt;

use camtl_files::nearest;

/// A list for messages: `` `a`, `b` or `c` `` (at most twelve, the rest counted).
pub(crate) fn one_of<I, S>(words: I) -> String
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    const SHOWN: usize = 12;
    let words: Vec<String> = words
        .into_iter()
        .map(|word| format!("`{}`", word.as_ref()))
        .collect();
    match words.len() {
        0 => "nothing".to_owned(),
        1 => words[0].clone(),
        n if n <= SHOWN => format!("{} or {}", words[..n - 1].join(", "), words[n - 1]),
        n => format!("{} or {} more", words[..SHOWN].join(", "), n - SHOWN),
    }
}

/// The hint at the end of a message.
pub(crate) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or(String::new(), |word| format!(" (did you mean `{word}`?)"))
}

/// Shortens text from a data file so that it can stand in a message.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut out: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A TOML document that could not be understood: where, what, and the nearest known key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlProblem {
    /// File name, or what the text was called by its reader.
    pub origin: String,
    /// Line, from 1; `None` when the problem is not tied to one (a missing key).
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The nearest known key or value.
    pub suggestion: Option<String>,
}

impl TomlProblem {
    /// Describes `error`, which came from reading `text`, called `origin` in messages.
    ///
    /// ```
    /// #[derive(Debug, serde::Deserialize)]
    /// #[serde(deny_unknown_fields)]
    /// struct Settings { learning_rate: f64 }
    ///
    /// let text = "learning_rte = 2e-5\n";
    /// let error = toml::from_str::<Settings>(text).unwrap_err();
    /// let problem = camtl_data::suggest::TomlProblem::new(text, "run.toml", &error);
    /// assert_eq!(problem.line, Some(1));
    /// assert_eq!(problem.suggestion.as_deref(), Some("learning_rate"));
    /// ```
    #[must_use]
    pub fn new(text: &str, origin: &str, error: &toml::de::Error) -> Self {
        let message = error.message().trim().to_owned();
        // A missing key is reported over the whole table: its first line says nothing.
        let missing = message.starts_with("missing field");
        let position = error.span().filter(|_| !missing).map(|span| {
            let before = text.get(..span.start).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            (line, before[start..].chars().count() + 1)
        });
        Self {
            origin: origin.to_owned(),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            suggestion: suggestion_in(&message),
            message,
        }
    }
}

impl fmt::Display for TomlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, " (did you mean `{suggestion}`?)")?;
        }
        Ok(())
    }
}

/// Reads serde's own wording, "unknown field `x`, expected one of `a`, `b`": it holds the
/// known names, so no second list of keys has to be kept in step with the types.
fn suggestion_in(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_prose() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(
            one_of((0..20).map(|n| n.to_string())).matches('`').count(),
            24
        );
    }

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(excerpt("a\u{1b}[31m"), "a\u{fffd}[31m");
        assert_eq!(excerpt(&"é".repeat(100)).chars().count(), 61);
    }
}
