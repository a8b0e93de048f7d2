//! Hints for misspelt words: the nearest known key, label, column, command or file.

/// The candidate that `word` was probably meant to be, or `None` when nothing is close.
///
/// Distance is Damerau-Levenshtein without regard to case; at most a third of the longer word's
/// characters (and at least one) may differ. The first of equally near candidates wins, so the
/// answer depends only on the order given.
///
/// ```
/// use camtl_files::nearest;
///
/// let labels = ["entailment", "not_entailment"];
/// assert_eq!(nearest("entailmnt", labels), Some("entailment"));
/// assert_eq!(nearest("banana", labels), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A hostile "word" may be a whole book; the distance is quadratic in its length.
    const LONGEST: usize = 200;
    let folded = word.to_lowercase();
    if folded.chars().count() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let other = candidate.to_lowercase();
        let longer = folded.chars().count().max(other.chars().count());
        if longer > LONGEST {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&folded, &other);
        if distance <= (longer / 3).max(1) && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    // With words of one letter, "one letter differs" is no likeness at all.
    best.filter(|(distance, candidate)| *distance < candidate.chars().count().max(1))
        .map(|(_, candidate)| candidate)
}

/// The [`nearest`] candidate as the end of a sentence, `` ; did you mean `x`? ``; empty if none is near.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates)
        .map(|candidate| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_needs_likeness() {
        assert_eq!(nearest("text_A", ["text_a", "text_b"]), Some("text_a"));
        assert_eq!(nearest("Label", ["label", "text_a"]), Some("label"));
        assert_eq!(nearest("lable", ["label", "text_a"]), Some("label"));
        assert_eq!(nearest("2", ["0", "1"]), None);
        assert_eq!(nearest("", ["0", "1"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), ["xx"]), None);
        assert_eq!(
            did_you_mean("tain", ["eval", "train"]),
            "; did you mean `train`?"
        );
        assert_eq!(did_you_mean("banana", ["eval"]), "");
    }
}
