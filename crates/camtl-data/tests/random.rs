//! Random streams against an independent implementation (`fixtures/make_random.py`), and their properties.

use std::collections::BTreeMap;

use camtl_data::random::{Stream, StreamState, derive_seed};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    seeds: Vec<[String; 4]>,
    words: Vec<String>,
    uniform: Vec<f64>,
    below: BTreeMap<String, Vec<String>>,
    shuffle: BTreeMap<String, Vec<usize>>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/random.json")).unwrap()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

#[test]
fn every_kind_of_draw_has_its_stored_values() {
    let fixture = fixture();
    for [seed, name, index, expected] in &fixture.seeds {
        assert_eq!(
            derive_seed(number(seed), name, number(index)),
            number(expected),
            "{seed} {name} {index}"
        );
    }
    let mut stream = Stream::new(12, "words");
    for (position, word) in fixture.words.iter().enumerate() {
        assert_eq!(stream.next_u64(), number(word), "word {position}");
    }
    let mut stream = Stream::new(12, "uniform");
    for value in &fixture.uniform {
        assert_eq!(stream.uniform(), *value);
    }
    for (n, values) in &fixture.below {
        let mut stream = Stream::new(7, "below");
        for value in values {
            assert_eq!(stream.below(number(n)), number(value), "below {n}");
        }
    }
    for (n, expected) in &fixture.shuffle {
        let mut items: Vec<usize> = (0..n.parse().unwrap()).collect();
        Stream::new(3, &format!("shuffle {n}")).shuffle(&mut items);
        assert_eq!(&items, expected);
    }
}

#[test]
fn below_is_uniform() {
    let mut stream = Stream::new(1, "chi-square");
    let mut counts = [0u32; 7];
    let draws = 70_000;
    for _ in 0..draws {
        counts[stream.below(7) as usize] += 1;
    }
    let expected = f64::from(draws) / 7.0;
    let chi_square: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    // 99.9 % quantile with 6 degrees of freedom.
    assert!(chi_square < 22.46, "{counts:?}");
    assert_eq!((stream.below(0), stream.below(1)), (0, 0));
}

#[test]
fn every_order_of_a_shuffle_is_equally_likely() {
    let mut stream = Stream::new(2, "orders");
    let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for _ in 0..24_000 {
        let mut items = vec![0, 1, 2, 3];
        stream.shuffle(&mut items);
        *counts.entry(items).or_default() += 1;
    }
    assert_eq!(counts.len(), 24);
    let chi_square: f64 = counts
        .values()
        .map(|count| (f64::from(*count) - 1000.0).powi(2) / 1000.0)
        .sum();
    // 99.9 % quantile with 23 degrees of freedom.
    assert!(chi_square < 49.73, "{counts:?}");
}

#[test]
fn a_damaged_state_is_refused() {
    for key in [
        "",
        "0",
        "zz",
        &"0".repeat(63),
        &"g".repeat(64),
        &"0".repeat(66),
        "ü",
    ] {
        let state = StreamState {
            key: key.to_owned(),
            draws: 0,
        };
        let error = Stream::from_state(&state).unwrap_err();
        assert!(
            error.to_string().contains("is not 64 hexadecimal digits"),
            "{error}"
        );
    }
    // Far beyond any run, but no reason to fail.
    let state = StreamState {
        draws: u64::MAX - 1,
        ..Stream::new(0, "").state()
    };
    Stream::from_state(&state).unwrap().next_u64();
}

proptest! {
    #[test]
    fn a_stream_continues_from_its_state(seed: u64, name in ".{0,12}", before in 0usize..300, after in 1usize..80) {
        let mut stream = Stream::new(seed, &name);
        for _ in 0..before {
            stream.next_u64();
        }
        let json = serde_json::to_string(&stream.state()).unwrap();
        let mut resumed = Stream::from_state(&serde_json::from_str(&json).unwrap()).unwrap();
        for _ in 0..after {
            prop_assert_eq!(resumed.next_u64(), stream.next_u64());
        }
        prop_assert_eq!(resumed.state(), stream.state());
    }

    #[test]
    fn draws_stay_in_range(seed: u64, n in 1u64..) {
        let mut stream = Stream::new(seed, "range");
        prop_assert!(stream.below(n) < n);
        prop_assert!((0.0..1.0).contains(&stream.uniform()));
    }

    #[test]
    fn names_and_seeds_give_different_streams(seed: u64, name in "[a-z]{0,8}") {
        let first = Stream::new(seed, &name).next_u64();
        prop_assert_ne!(first, Stream::new(seed ^ 1, &name).next_u64());
        prop_assert_ne!(first, Stream::new(seed, &format!("{name}/")).next_u64());
        prop_assert_ne!(derive_seed(seed, &name, 0), derive_seed(seed, &name, 1));
    }
}
