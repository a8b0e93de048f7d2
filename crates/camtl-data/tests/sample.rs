//! Random parts of a split.

use std::collections::BTreeSet;

use camtl_data::{EncodedSplit, Example, Label, TextTokenizer};

fn split(rows: u64) -> EncodedSplit {
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nrain\nsun\n";
    let tokenizer = TextTokenizer::from_vocab(vocabulary, true).unwrap();
    let examples: Vec<Example> = (0..rows)
        .map(|id| Example {
            id,
            text_a: "rain ".repeat(1 + (id % 5) as usize),
            text_b: (id % 2 == 0).then(|| "sun".to_owned()),
            label: Some(Label::Class((id % 3) as u32)),
            ..Example::default()
        })
        .collect();
    tokenizer.encode_all(&examples, 16).unwrap()
}

fn ids(split: &EncodedSplit) -> Vec<u64> {
    split.iter().map(|example| example.id).collect()
}

#[test]
fn examples_are_kept_whole_and_in_order() {
    let whole = split(1000);
    let part = whole.sample(0.1, 12);
    assert_eq!(part.len(), 100);
    assert!(ids(&part).is_sorted_by(|a, b| a < b));
    for example in part.iter() {
        assert_eq!(example, whole.get(example.id as usize));
    }
    // Not the first hundred: all over the file.
    assert!(ids(&part).iter().filter(|&&id| id < 100).count() < 30);
    assert!(ids(&part).iter().any(|&id| id >= 900));
}

#[test]
fn counts_are_rounded_down_as_in_the_papers_tables() {
    // SciTail's and SNLI's training sets.
    for (rows, fraction, count) in [
        (23_596, 0.001, 23),
        (23_596, 0.01, 235),
        (23_596, 0.1, 2_359),
        (100, 0.29, 29),
    ] {
        assert_eq!(split(rows).sample(fraction, 1).len(), count);
    }
    let few = split(3);
    for fraction in [0.001, 0.0, -1.0, f64::NAN] {
        assert_eq!(few.sample(fraction, 1).len(), 1, "{fraction}");
    }
    assert_eq!(few.sample(7.0, 1), few);
    assert!(split(0).sample(0.5, 1).is_empty());
}

#[test]
fn the_seed_decides_and_fractions_are_nested() {
    let whole = split(500);
    assert_eq!(whole.sample(0.1, 1), whole.sample(0.1, 1));
    assert_ne!(ids(&whole.sample(0.1, 1)), ids(&whole.sample(0.1, 2)));
    let large: BTreeSet<u64> = ids(&whole.sample(0.5, 1)).into_iter().collect();
    let small = whole.sample(0.05, 1);
    assert!(ids(&small).iter().all(|id| large.contains(id)));
}
