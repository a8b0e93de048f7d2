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
fn a_held_out_part_shares_nothing_with_the_rest() {
    let whole = split(1000);
    let (rest, held_out) = whole.hold_out(0.1, 12, "weather").unwrap();
    assert_eq!((rest.len(), held_out.len()), (900, 100));
    let mut all = [ids(&rest), ids(&held_out)].concat();
    all.sort_unstable();
    assert_eq!(all, ids(&whole));
    for part in [&rest, &held_out] {
        assert!(ids(part).is_sorted_by(|a, b| a < b));
        for example in part.iter() {
            assert_eq!(example, whole.get(example.id as usize));
        }
    }
    // Seed and name decide; smaller parts lie within larger ones.
    let out = |fraction, seed, name| ids(&whole.hold_out(fraction, seed, name).unwrap().1);
    assert_eq!(out(0.1, 12, "weather"), ids(&held_out));
    assert_ne!(out(0.1, 13, "weather"), ids(&held_out));
    assert_ne!(out(0.1, 12, "climate"), ids(&held_out));
    let larger: BTreeSet<u64> = out(0.5, 12, "weather").into_iter().collect();
    assert!(ids(&held_out).iter().all(|id| larger.contains(id)));
    // Something is left on either side, or there is nothing to share out.
    let sizes = |rows, fraction| {
        let (rest, out) = split(rows).hold_out(fraction, 1, "few").unwrap();
        (rest.len(), out.len())
    };
    assert_eq!(sizes(3, 0.001), (2, 1));
    assert_eq!(sizes(3, 0.999), (1, 2));
    assert!(split(1).hold_out(0.5, 1, "one").is_none());
    assert!(split(0).hold_out(0.5, 1, "none").is_none());
}

#[test]
fn what_is_scored_together_is_held_out_together() {
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nrain\n";
    let tokenizer = TextTokenizer::from_vocab(vocabulary, true).unwrap();
    // Answers to forty questions, two to four each.
    let groups: Vec<u64> = (0..40).flat_map(|g| vec![g; 2 + g as usize % 3]).collect();
    let rows: Vec<Example> = (0..)
        .zip(&groups)
        .map(|(id, group)| Example {
            id,
            text_a: "rain".to_owned(),
            group: Some(*group),
            ..Example::default()
        })
        .collect();
    let whole = tokenizer.encode_all(&rows, 8).unwrap();
    assert_eq!(whole.groups(), Some(groups.as_slice()));
    let (rest, held_out) = whole.hold_out(0.25, 12, "questions").unwrap();
    let sides = [&rest, &held_out].map(|part| BTreeSet::from_iter(part.groups().unwrap()));
    assert_eq!((sides[0].len(), sides[1].len()), (30, 10));
    assert!(sides[0].is_disjoint(&sides[1]));
    assert_eq!(rest.len() + held_out.len(), whole.len());
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
