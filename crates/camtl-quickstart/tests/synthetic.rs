//! The synthetic suite: reproducible, well-formed, and not to be solved from the words alone.

use std::collections::{BTreeMap, BTreeSet};

use camtl_data::{Example, Label, Stream, TextTokenizer};
use camtl_quickstart::synthetic::{
    MAX_LENGTH, SyntheticTask, sentences, suite, suite_scaled, vocab,
};
use sha2::{Digest, Sha256};

fn class(example: &Example) -> usize {
    match example.label {
        Some(Label::Class(class)) => class as usize,
        other => panic!("no class: {other:?}"),
    }
}

fn score(example: &Example) -> f32 {
    match example.label {
        Some(Label::Score(score)) => score,
        other => panic!("no score: {other:?}"),
    }
}

fn text(example: &Example) -> (String, Option<String>) {
    (example.text_a.clone(), example.text_b.clone())
}

#[test]
fn tasks_have_different_kinds_and_very_different_sizes() {
    let tasks = suite(12);
    let sizes: Vec<(&str, usize, usize)> = tasks
        .iter()
        .map(|task| {
            (
                task.spec.name.as_str(),
                task.splits["train"].len(),
                task.spec.kind.num_outputs(),
            )
        })
        .collect();
    assert_eq!(
        sizes,
        [
            ("acceptability", 800, 2),
            ("inference", 6000, 3),
            ("paraphrase", 1500, 2),
            ("sentiment", 3000, 2),
            ("similarity", 600, 1)
        ]
    );
    for task in &tasks {
        for split in ["dev", "test"] {
            assert!(
                (400..=500).contains(&task.splits[split].len()),
                "{} {split}",
                task.spec.name
            );
        }
        assert!(task.spec.title.is_some());
        for (split, examples) in &task.splits {
            for (position, example) in examples.iter().enumerate() {
                let what = format!("{} {split} {position}", task.spec.name);
                assert_eq!(example.id, position as u64, "{what}");
                assert_eq!(example.text_b.is_some(), task.spec.is_pair(), "{what}");
                if task.spec.kind.is_regression() {
                    let fifths = score(example) * 5.0;
                    assert!((0.0..=25.0).contains(&fifths), "{what}: {}", score(example));
                    assert!(
                        (fifths - fifths.round()).abs() < 1e-4,
                        "{what}: {}",
                        score(example)
                    );
                } else {
                    assert!(class(example) < task.spec.kind.num_outputs(), "{what}");
                }
                for sentence in [Some(&example.text_a), example.text_b.as_ref()]
                    .into_iter()
                    .flatten()
                {
                    assert!(
                        sentence.ends_with('.')
                            && sentence.starts_with(|c: char| c.is_ascii_uppercase()),
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn classes_are_balanced_and_scores_spread() {
    for task in suite(12) {
        for (split, examples) in &task.splits {
            if task.spec.kind.is_regression() {
                let low = examples
                    .iter()
                    .filter(|example| score(example) < 2.0)
                    .count();
                let high = examples
                    .iter()
                    .filter(|example| score(example) > 4.0)
                    .count();
                for share in [low, high] {
                    assert!(
                        share * 6 > examples.len(),
                        "{split}: {low} low, {high} high of {}",
                        examples.len()
                    );
                }
                continue;
            }
            let classes = task.spec.kind.num_outputs();
            let mut counts = vec![0usize; classes];
            for example in examples {
                counts[class(example)] += 1;
            }
            for count in &counts {
                let even = examples.len() / classes;
                assert!(
                    count * 10 > even * 7 && count * 10 < even * 13,
                    "{} {split}: {counts:?}",
                    task.spec.name
                );
            }
        }
    }
}

#[test]
fn no_example_is_in_two_splits_or_twice() {
    for task in suite(12) {
        let all: Vec<_> = task.splits.values().flatten().map(text).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{}", task.spec.name);
    }
}

#[test]
fn a_seed_always_gives_the_same_suite() {
    let digest = |tasks: &[SyntheticTask]| {
        let mut hasher = Sha256::new();
        for task in tasks {
            for (split, examples) in &task.splits {
                hasher.update(format!("{} {split}\n", task.spec.name));
                for example in examples {
                    let second = example.text_b.as_deref().unwrap_or("");
                    let label = match example.label {
                        Some(Label::Class(class)) => class.to_string(),
                        _ => format!("{:.1}", score(example)),
                    };
                    hasher.update(format!("{}\t{second}\t{label}\n", example.text_a));
                }
            }
        }
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    // On every platform and in every version: results of the quickstart are compared with it.
    assert_eq!(
        digest(&suite(12)),
        "592250be130812d8b264887cf12ab3a2a60e682817de41daffae262d93c23238"
    );
    assert_ne!(
        digest(&suite_scaled(12, 0.1)),
        digest(&suite_scaled(13, 0.1))
    );
}

#[test]
fn held_out_data_do_not_depend_on_the_size_of_the_training_data() {
    let (half, tenth) = (suite_scaled(3, 0.5), suite_scaled(3, 0.1));
    for (larger, smaller) in half.iter().zip(&tenth) {
        let test = &smaller.splits["test"];
        assert_eq!(&larger.splits["test"][..test.len()], test.as_slice());
    }
    assert!(
        suite_scaled(3, 0.0)
            .iter()
            .all(|task| task.splits.values().all(|split| split.len() == 8))
    );
}

#[test]
fn every_text_is_covered_by_the_vocabulary_and_short() {
    let tokenizer = TextTokenizer::from_vocab(vocab(), true).unwrap();
    let unknown = vocab().lines().position(|piece| piece == "[UNK]").unwrap() as u32;
    let letters: BTreeSet<u32> = vocab()
        .lines()
        .enumerate()
        .filter(|(_, piece)| {
            piece.trim_start_matches('#').chars().count() == 1
                && piece.ends_with(char::is_alphanumeric)
        })
        .map(|(id, _)| id as u32)
        .collect();
    let spelled = |ids: &[u32]| ids.iter().any(|id| letters.contains(id));
    let article = vocab().lines().position(|piece| piece == "a").unwrap() as u32;
    let suffixes: BTreeSet<u32> = ["##s", "##d"]
        .iter()
        .map(|suffix| vocab().lines().position(|piece| piece == *suffix).unwrap() as u32)
        .collect();
    let mut longest = 0;
    for task in suite(12) {
        for example in task.splits.values().flatten() {
            let encoded = tokenizer
                .encode(&example.text_a, example.text_b.as_deref(), 64)
                .unwrap();
            let ids: Vec<u32> = encoded.input_ids.to_vec();
            assert!(!ids.contains(&unknown), "{example:?}");
            let others: Vec<u32> = ids
                .iter()
                .copied()
                .filter(|id| *id != article && !suffixes.contains(id))
                .collect();
            assert!(!spelled(&others), "{example:?} is spelled out: {ids:?}");
            longest = longest.max(ids.len());
        }
    }
    assert!(
        longest <= MAX_LENGTH && longest > MAX_LENGTH - 4,
        "{longest}"
    );
    for sentence in sentences(12, 500) {
        let encoded = tokenizer.encode(&sentence, None, 64).unwrap();
        assert!(!encoded.input_ids.contains(&unknown), "{sentence}");
        assert!(encoded.input_ids.len() <= MAX_LENGTH, "{sentence}");
    }
    // Any English text has a spelling.
    let encoded = tokenizer
        .encode("Quite unheard-of words, e.g. zymurgy!", None, 64)
        .unwrap();
    assert!(!encoded.input_ids.contains(&unknown));
}

#[test]
fn unlabelled_sentences_are_reproducible_and_varied() {
    let many = sentences(12, 2000);
    assert_eq!(many[..100], sentences(12, 100)[..]);
    assert_ne!(many[..100], sentences(13, 100)[..]);
    assert!(many.iter().collect::<BTreeSet<_>>().len() > 1700);
}

/// Word counts of both texts, and how many words they share: what a model without any notion of order can see.
fn bag_of_words(example: &Example) -> Vec<String> {
    let words = |text: &str| -> Vec<String> {
        text.trim_end_matches('.')
            .to_lowercase()
            .replace(',', " ,")
            .split(' ')
            .map(str::to_owned)
            .collect()
    };
    let first = words(&example.text_a);
    let mut features: Vec<String> = first.iter().map(|word| format!("a:{word}")).collect();
    if let Some(second) = &example.text_b {
        let second = words(second);
        features.extend(second.iter().map(|word| format!("b:{word}")));
        let shared = second.iter().filter(|word| first.contains(word)).count();
        features.push(format!("shared:{shared}"));
        features.push(format!("unshared:{}", second.len() - shared));
        for word in &second {
            features.push(format!(
                "{}:{word}",
                if first.contains(word) {
                    "both"
                } else {
                    "only b"
                }
            ));
        }
        features.extend(
            first
                .iter()
                .filter(|word| !second.contains(word))
                .map(|word| format!("only a:{word}")),
        );
        features.push(format!(
            "longer:{}",
            first.len() as i64 - second.len() as i64
        ));
    }
    features.push("bias".to_owned());
    features
}

/// Test accuracy of multinomial logistic regression on [`bag_of_words`], trained by AdaGrad.
fn bag_of_words_accuracy(task: &SyntheticTask) -> f64 {
    let classes = task.spec.kind.num_outputs();
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    let train: Vec<(Vec<usize>, usize)> = task.splits["train"]
        .iter()
        .map(|example| {
            let features = bag_of_words(example)
                .into_iter()
                .map(|feature| {
                    let next = ids.len();
                    *ids.entry(feature).or_insert(next)
                })
                .collect();
            (features, class(example))
        })
        .collect();
    let mut weights = vec![0.0f64; ids.len() * classes];
    let mut squares = vec![1e-8f64; weights.len()];
    let probabilities = |weights: &[f64], features: &[usize]| -> Vec<f64> {
        let scores: Vec<f64> = (0..classes)
            .map(|c| {
                features
                    .iter()
                    .map(|feature| weights[feature * classes + c])
                    .sum()
            })
            .collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponentials: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        exponentials.iter().map(|value| value / sum).collect()
    };
    let mut order: Vec<usize> = (0..train.len()).collect();
    let mut stream = Stream::new(1, "bag of words");
    for _ in 0..15 {
        stream.shuffle(&mut order);
        for position in &order {
            let (features, label) = &train[*position];
            let p = probabilities(&weights, features);
            for feature in features {
                for (c, probability) in p.iter().enumerate() {
                    let at = feature * classes + c;
                    let gradient =
                        probability - f64::from(u8::from(c == *label)) + 1e-4 * weights[at];
                    squares[at] += gradient * gradient;
                    weights[at] -= 0.1 * gradient / squares[at].sqrt();
                }
            }
        }
    }
    let test = &task.splits["test"];
    let correct = test
        .iter()
        .filter(|example| {
            let features: Vec<usize> = bag_of_words(example)
                .iter()
                .filter_map(|feature| ids.get(feature).copied())
                .collect();
            let p = probabilities(&weights, &features);
            (0..classes).all(|c| p[c] <= p[class(example)])
        })
        .count();
    correct as f64 / test.len() as f64
}

#[test]
fn words_without_their_order_are_not_enough() {
    for (task, limit) in suite(12).iter().zip([0.72, 0.75, 0.75, 0.80]) {
        let accuracy = bag_of_words_accuracy(task);
        eprintln!("{}: bag of words {accuracy:.3}", task.spec.name);
        assert!(accuracy < limit, "{}: {accuracy}", task.spec.name);
    }
}
