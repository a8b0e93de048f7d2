//! From words to text.

use camtl_data::random::Stream;

/// One of `items`, which are not empty.
pub(super) fn pick<T: Copy>(stream: &mut Stream, items: &[T]) -> T {
    items[position(stream, items)]
}

/// A word of any of the concepts.
pub(super) fn pick_word<T: Copy>(stream: &mut Stream, concepts: &[&[T]]) -> T {
    let concept = pick(stream, concepts);
    pick(stream, concept)
}

/// A position in `items`, which are not empty.
pub(super) fn position<T>(stream: &mut Stream, items: &[T]) -> usize {
    stream.below(items.len() as u64) as usize
}

/// The indefinite article before `word`.
pub(super) fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

/// Words and commas as a sentence: first letter capital, full stop at the end.
pub(super) fn sentence(words: &[&str]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && *word != "," {
            text.push(' ');
        }
        if text.is_empty() {
            let mut letters = word.chars();
            text.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            text.push_str(letters.as_str());
        } else {
            text.push_str(word);
        }
    }
    text.push('.');
    text
}
