//! The embedded word-piece vocabulary and how many pieces a sentence has.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// One piece per line; the position is its id. Written by the test below from the words of the grammar.
pub(super) const VOCAB: &str = include_str!("vocab.txt");

static PIECES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| VOCAB.lines().collect());

/// How many word pieces `text` has, by greedy longest match as a lower-casing BERT tokenizer does it.
pub(super) fn count_pieces(text: &str) -> usize {
    let lower = text.to_lowercase();
    lower
        .split_whitespace()
        .map(|word| {
            let letters = word.trim_end_matches(['.', ',']);
            count_in_word(letters) + (word.len() - letters.len())
        })
        .sum()
}

fn count_in_word(word: &str) -> usize {
    let mut rest = word;
    let mut count = 0;
    while !rest.is_empty() {
        let longest = (1..=rest.len()).rev().find(|end| {
            rest.get(..*end).is_some_and(|start| {
                if count == 0 {
                    PIECES.contains(start)
                } else {
                    PIECES.contains(format!("##{start}").as_str())
                }
            })
        });
        let Some(end) = longest else {
            // One [UNK] stands for the whole word.
            return 1;
        };
        count += 1;
        rest = &rest[end..];
    }
    count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::lexicon::all_words;
    use super::*;

    const SUFFIXES: &[&str] = &["s", "es", "ed", "d", "ly", "ful"];

    /// Words that are cut elsewhere than before a suffix.
    const CUT: &[(&str, &str)] = &[
        ("physi", "cian"),
        ("attor", "ney"),
        ("neigh", "bor"),
        ("obs", "truct"),
        ("ins", "truct"),
        ("pur", "chase"),
        ("pur", "sue"),
        ("con", "ceal"),
        ("dis", "cover"),
        ("dis", "miss"),
        ("dis", "like"),
        ("them", "selves"),
        ("him", "self"),
        ("her", "self"),
        ("al", "though"),
        ("excel", "lent"),
        ("brilli", "ant"),
        ("terri", "ble"),
        ("horri", "ble"),
        ("bor", "ing"),
        ("end", "ing"),
        ("charm", "ing"),
        ("dia", "logue"),
        ("scen", "ery"),
    ];

    fn vocabulary() -> String {
        let words = all_words();
        let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            .map(str::to_owned)
            .to_vec();
        pieces.extend([".", ",", "'", "?", "!", "-"].map(str::to_owned));
        // Letters and digits, so that any English text has a spelling.
        let characters: Vec<char> = ('0'..='9').chain('a'..='z').collect();
        pieces.extend(characters.iter().map(char::to_string));
        pieces.extend(characters.iter().map(|character| format!("##{character}")));
        let mut starts = BTreeSet::new();
        let mut continuations: BTreeSet<String> = SUFFIXES
            .iter()
            .map(|suffix| format!("##{suffix}"))
            .collect();
        for word in words {
            let stem = SUFFIXES
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix).filter(|stem| is_stem(stem, word)));
            let stem = stem.unwrap_or(word);
            match CUT
                .iter()
                .find(|(start, end)| *stem == format!("{start}{end}"))
            {
                Some((start, end)) => {
                    starts.insert((*start).to_owned());
                    continuations.insert(format!("##{end}"));
                }
                None => {
                    starts.insert(stem.to_owned());
                }
            }
        }
        let known: BTreeSet<String> = pieces.iter().cloned().collect();
        pieces.extend(
            starts
                .into_iter()
                .chain(continuations)
                .filter(|piece| !known.contains(piece)),
        );
        pieces.join("\n") + "\n"
    }

    /// Whether cutting a suffix off `word` leaves a word of the grammar, or a stem of an adverb or adjective.
    fn is_stem(stem: &str, word: &str) -> bool {
        all_words().contains(stem)
            || (stem.len() > 3 && (word.ends_with("ly") || word.ends_with("ful")))
    }

    /// With `CAMTL_WRITE_VOCAB=1` this writes the file instead.
    #[test]
    fn the_file_is_what_the_grammar_gives() {
        if std::env::var_os("CAMTL_WRITE_VOCAB").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/synthetic/vocab.txt");
            std::fs::write(path, vocabulary()).unwrap();
            return;
        }
        assert_eq!(
            VOCAB,
            vocabulary(),
            "run this test with CAMTL_WRITE_VOCAB=1 to write the file anew"
        );
    }

    #[test]
    fn every_word_has_few_pieces_and_some_have_several() {
        let counts: Vec<(usize, &str)> = all_words()
            .into_iter()
            .map(|word| (count_in_word(word), word))
            .collect();
        let longest = counts.iter().max().unwrap();
        assert!(longest.0 <= 3, "{longest:?} is spelled out");
        let split = counts.iter().filter(|(count, _)| *count > 1).count();
        assert!(
            split > counts.len() / 4 && split < counts.len() / 4 * 3,
            "{split} of {}",
            counts.len()
        );
        assert!(
            (200..500).contains(&VOCAB.lines().count()),
            "{}",
            VOCAB.lines().count()
        );
        assert_eq!(
            VOCAB.lines().collect::<BTreeSet<_>>().len(),
            VOCAB.lines().count(),
            "no piece twice"
        );
    }
}
