//! Positions counted in characters, as data files count them, and in bytes, as this program does.

/// A text whose characters can be found by number.
pub(crate) struct Characters<'a> {
    pub(crate) text: &'a str,
    /// First byte of each character; empty for ASCII, where numbers are bytes.
    starts: Vec<usize>,
}

impl<'a> Characters<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let starts = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(at, _)| at).collect()
        };
        Self { text, starts }
    }

    /// Number of characters.
    pub(crate) fn len(&self) -> usize {
        if self.starts.is_empty() {
            self.text.len()
        } else {
            self.starts.len()
        }
    }

    /// The first byte of character `number`; the end of the text for the number behind the last.
    pub(crate) fn byte(&self, number: usize) -> Option<usize> {
        if number == self.len() {
            return Some(self.text.len());
        }
        if self.starts.is_empty() {
            return (number < self.text.len()).then_some(number);
        }
        self.starts.get(number).copied()
    }

    /// The number of the character that byte `at` belongs to or, at the end of the text, the number of characters.
    pub(crate) fn number(&self, at: usize) -> usize {
        if self.starts.is_empty() {
            return at.min(self.text.len());
        }
        if at >= self.text.len() {
            return self.starts.len();
        }
        self.starts.partition_point(|start| *start <= at) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::Characters;

    #[test]
    fn characters_and_bytes_are_found_from_each_other() {
        for text in ["", "plain", "añb", "é", "日本語 text", "a\u{301}b𝄞c"] {
            let characters = Characters::new(text);
            assert_eq!(characters.len(), text.chars().count());
            for (number, (at, character)) in text.char_indices().enumerate() {
                assert_eq!(characters.byte(number), Some(at), "{text} {number}");
                for inside in at..at + character.len_utf8() {
                    assert_eq!(characters.number(inside), number, "{text} {inside}");
                }
            }
            assert_eq!(characters.byte(characters.len()), Some(text.len()));
            assert_eq!(characters.byte(characters.len() + 1), None);
            assert_eq!(characters.number(text.len()), characters.len());
        }
    }
}
