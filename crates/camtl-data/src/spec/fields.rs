//! Where a row holds what.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// In CoNLL files, the name of a line's last column.
pub const LAST_COLUMN: &str = "last";

/// A column of a row: by name (the header's, or a JSON key) or by position from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Column {
    /// Name in the header, key of a JSON object, or, beginning with `/`, a JSON pointer to a nested value.
    Name(String),
    /// Position, counted from 0.
    Index(usize),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// Where a row holds what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// The first (or only) text.
    pub text_a: Column,
    /// The second text of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_b: Option<Column>,
    /// Label name or score. Needed unless no split has labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// The file's own identifier of the row, kept as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Column>,
    /// The options of a multiple choice, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Column>,
    /// The two mentions of a span pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<MentionColumns>,
}

/// Where a row says which part of a text is meant: by characters, `{ text = "a", start = "start1", end = "end1" }` (from 0,
/// the end exclusive), or by words, `{ text = "a", word = "index", span = "words" }` (the number of the first word from 0,
/// and the words as such, which say how many they are).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MentionColumns {
    /// The text that it is a part of.
    #[serde(default)]
    pub text: TextSide,
    /// Its first character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Column>,
    /// The character behind its last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Column>,
    /// Its first word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<Column>,
    /// The words themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Column>,
}

impl MentionColumns {
    /// Whether words are counted rather than characters.
    #[must_use]
    pub fn by_words(&self) -> bool {
        self.word.is_some()
    }

    /// The columns that are named: two in a sound task file.
    #[must_use]
    pub fn named(&self) -> Vec<&Column> {
        [&self.start, &self.end, &self.word, &self.span]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl Fields {
    /// A text alone.
    #[must_use]
    pub fn new(text_a: Column) -> Self {
        Self {
            text_a,
            text_b: None,
            label: None,
            key: None,
            choices: Vec::new(),
            mentions: Vec::new(),
        }
    }

    pub(crate) fn named(text_a: &str, text_b: &str, label: &str, key: &str) -> Self {
        let name = |name: &str| Column::Name(name.to_owned());
        Self {
            text_b: Some(name(text_b)),
            label: Some(name(label)),
            key: Some(name(key)),
            ..Self::new(name(text_a))
        }
    }

    /// The columns of options and mentions, in order.
    #[must_use]
    pub fn further(&self) -> Vec<&Column> {
        let mentions = self.mentions.iter().flat_map(MentionColumns::named);
        self.choices.iter().chain(mentions).collect()
    }
}

/// The first or the second text: `"a"` or `"b"` in task files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextSide {
    /// `text_a`.
    #[default]
    A,
    /// `text_b`.
    B,
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrPosition;

        impl Visitor<'_> for NameOrPosition {
            type Value = Column;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name, or its position counted from 0")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Column, E> {
                if name.is_empty() {
                    return Err(E::invalid_value(de::Unexpected::Str(name), &self));
                }
                Ok(Column::Name(name.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, index: u64) -> Result<Column, E> {
                usize::try_from(index)
                    .map(Column::Index)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(index), &self))
            }

            fn visit_i64<E: de::Error>(self, index: i64) -> Result<Column, E> {
                usize::try_from(index)
                    .map(Column::Index)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(index), &self))
            }
        }

        deserializer.deserialize_any(NameOrPosition)
    }
}
