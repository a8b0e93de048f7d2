use std::collections::BTreeMap;

use camtl_data::metrics::MetricError;
use camtl_data::metrics::entities::{entities, entity_scores};
use proptest::prelude::*;
use serde::Deserialize;

use super::close;

#[derive(Deserialize)]
struct Rates {
    precision: f64,
    recall: f64,
    f1: f64,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    predictions: Vec<Vec<String>>,
    references: Vec<Vec<String>>,
    accuracy: f64,
    /// Correct, predicted, actual.
    counts: BTreeMap<String, (u64, u64, u64)>,
    types: BTreeMap<String, Rates>,
    micro: Rates,
    macro_f1: f64,
}

#[test]
fn scores_equal_seqeval_and_conlleval() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../fixtures/entity_metrics.json")).unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let name = &case.name;
        let ours = entity_scores(&case.predictions, &case.references).unwrap();
        assert!(
            close(ours.token_accuracy, case.accuracy),
            "{name}: {ours:?}"
        );
        assert!(close(ours.macro_f1(), case.macro_f1), "{name}: {ours:?}");
        let counts: BTreeMap<_, _> = ours
            .per_type
            .iter()
            .map(|(kind, counts)| {
                (
                    kind.clone(),
                    (counts.correct, counts.predicted, counts.actual),
                )
            })
            .collect();
        assert_eq!(counts, case.counts, "{name}");
        let expected = case
            .types
            .iter()
            .map(|(kind, rates)| (ours.per_type[kind], rates));
        for (counts, rates) in expected.chain([(ours.micro, &case.micro)]) {
            assert!(
                close(counts.precision(), rates.precision),
                "{name}: {counts:?}"
            );
            assert!(close(counts.recall(), rates.recall), "{name}: {counts:?}");
            assert!(close(counts.f1(), rates.f1), "{name}: {counts:?}");
        }
    }
}

#[test]
fn bad_input_is_named() {
    let error = entity_scores(&[vec!["O"]], &[vec!["O"], vec!["O"]]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "entity f1: 1 predictions for 2 tagged reference sentences; there must be one for each"
    );
    let nothing = MetricError::NothingToScore {
        metric: "entity f1",
    };
    let empty: [Vec<&str>; 0] = [];
    assert_eq!(entity_scores(&empty, &empty).unwrap_err(), nothing);
    assert_eq!(
        entity_scores::<&str, &str>(&[vec![]], &[vec![]]).unwrap_err(),
        nothing
    );
    let error = entity_scores(&[vec!["O"], vec!["O", "O"]], &[vec!["O"], vec!["O"]]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("sentence 1 (counted from 0) has 2 predicted tags for 1 tokens"),
        "{error}"
    );
    for tag in [
        "S-PER", "E-PER", "PER", "", "o", "BPER", "B_PER", "O-PER", "é", "I人",
    ] {
        let error = entity_scores(&[vec!["O", "O"]], &[vec!["O", tag]]).unwrap_err();
        assert_eq!(
            error,
            MetricError::UnknownTag {
                side: "references",
                sentence: 0,
                token: 1,
                tag: tag.to_owned()
            }
        );
        assert!(matches!(
            entities(&[tag]),
            Err(MetricError::UnknownTag {
                side: "tags",
                token: 0,
                ..
            })
        ));
    }
}

fn tag() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["O", "B-X", "I-X", "B-Y", "I-Y", "B", "I"])
}

fn sentences() -> impl Strategy<Value = Vec<Vec<(&'static str, &'static str)>>> {
    prop::collection::vec(prop::collection::vec((tag(), tag()), 1..10), 1..8)
}

type Tags = Vec<Vec<&'static str>>;

fn split<'a>(
    sentences: impl Iterator<Item = &'a Vec<(&'static str, &'static str)>>,
) -> (Tags, Tags) {
    sentences
        .map(|sentence| sentence.iter().copied().unzip())
        .unzip()
}

proptest! {
    #[test]
    fn scores_are_bounded_symmetric_and_blind_to_the_order_of_sentences(sentences in sentences()) {
        let (predictions, references) = split(sentences.iter());
        let scores = entity_scores(&predictions, &references).unwrap();
        for counts in scores.per_type.values().chain([&scores.micro]) {
            prop_assert!(counts.correct <= counts.predicted.min(counts.actual));
            for rate in [counts.precision(), counts.recall(), counts.f1()] {
                prop_assert!((0.0..=1.0).contains(&rate));
            }
        }
        let summed = scores.per_type.values().fold((0, 0, 0), |sum, counts| {
            (sum.0 + counts.correct, sum.1 + counts.predicted, sum.2 + counts.actual)
        });
        prop_assert_eq!(summed, (scores.micro.correct, scores.micro.predicted, scores.micro.actual));

        let (turned, turned_references) = split(sentences.iter().rev());
        prop_assert_eq!(&entity_scores(&turned, &turned_references).unwrap(), &scores);
        let swapped = entity_scores(&references, &predictions).unwrap();
        prop_assert_eq!(swapped.micro.precision(), scores.micro.recall());
        prop_assert_eq!(swapped.micro.f1(), scores.micro.f1());
        let own = entity_scores(&references, &references).unwrap();
        prop_assert_eq!(own.micro.correct, own.micro.actual);
        prop_assert_eq!(own.token_accuracy, 1.0);
    }

    #[test]
    fn entities_cover_exactly_the_tagged_tokens_and_survive_rewriting_as_iob2(tags in prop::collection::vec(tag(), 0..20)) {
        let found = entities(&tags).unwrap();
        let mut rewritten = vec!["O".to_owned(); tags.len()];
        for entity in &found {
            prop_assert!(entity.start < entity.end);
            for (token, rewritten) in rewritten.iter_mut().enumerate().take(entity.end).skip(entity.start) {
                prop_assert_eq!(rewritten.as_str(), "O");
                *rewritten = format!("{}-{}", if token == entity.start { "B" } else { "I" }, entity.entity_type);
            }
        }
        for (tag, rewritten) in tags.iter().zip(&rewritten) {
            prop_assert_eq!(*tag == "O", rewritten == "O");
        }
        prop_assert_eq!(entities(&rewritten).unwrap(), found);
    }
}
