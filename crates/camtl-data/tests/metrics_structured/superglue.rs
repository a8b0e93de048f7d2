use camtl_data::metrics::MetricError;
use camtl_data::metrics::multirc::multirc_scores;
use camtl_data::metrics::winogender::{gender_parity, winogender_scores};
use proptest::prelude::*;
use serde::Deserialize;

use super::close;

#[derive(Deserialize)]
struct MultiRc {
    name: String,
    questions: Vec<String>,
    predictions: Vec<bool>,
    references: Vec<bool>,
    f1a: f64,
    exact_match: f64,
}

#[derive(Deserialize)]
struct Winogender {
    name: String,
    predictions: Vec<u32>,
    references: Vec<u32>,
    accuracy: f64,
    gender_parity: f64,
}

#[derive(Deserialize)]
struct Fixture {
    multirc: Vec<MultiRc>,
    winogender: Vec<Winogender>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/superglue_metrics.json")).unwrap()
}

/// What the rows of AX-g share: 0, 0, 1, 1, 2, 2, ...
fn shared(rows: usize) -> Vec<usize> {
    (0..rows).map(|row| row / 2).collect()
}

#[test]
fn multirc_equals_the_reference() {
    for case in fixture().multirc {
        let ours = multirc_scores(&case.questions, &case.predictions, &case.references).unwrap();
        assert!(close(ours.f1a, case.f1a), "{}: {ours:?}", case.name);
        assert!(
            close(ours.exact_match, case.exact_match),
            "{}: {ours:?}",
            case.name
        );
        assert_eq!(ours.answers, case.references.len());
    }
}

#[test]
fn winogender_equals_the_reference() {
    for case in fixture().winogender {
        let hypotheses = shared(case.predictions.len());
        let ours = winogender_scores(&hypotheses, &case.predictions, &case.references).unwrap();
        assert!(
            close(ours.accuracy, case.accuracy),
            "{}: {ours:?}",
            case.name
        );
        assert!(
            close(ours.gender_parity, case.gender_parity),
            "{}: {ours:?}",
            case.name
        );
        assert_eq!(2 * ours.pairs, case.references.len());
    }
}

#[test]
fn bad_input_is_named() {
    let error = multirc_scores::<u32>(&[], &[], &[]).unwrap_err();
    assert_eq!(error, MetricError::NothingToScore { metric: "multirc" });
    let error = multirc_scores(&[1], &[true], &[true, false]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "multirc: 1 predictions for 2 references; there must be one for each"
    );
    let error = multirc_scores(&[1, 1, 2], &[true, true], &[true, false]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "multirc: 2 predictions for 3 question keys; there must be one for each"
    );

    let error = gender_parity::<&str>(&[], &[]).unwrap_err();
    assert_eq!(
        error,
        MetricError::NothingToScore {
            metric: "gender parity"
        }
    );
    let error = winogender_scores(&["a", "a"], &[0, 0], &[0]).unwrap_err();
    assert!(
        matches!(
            error,
            MetricError::CountMismatch {
                what: "references",
                ..
            }
        ),
        "{error}"
    );
    let error = gender_parity(&["a"], &[0, 0]).unwrap_err();
    assert!(
        matches!(
            error,
            MetricError::CountMismatch {
                what: "hypotheses",
                ..
            }
        ),
        "{error}"
    );
    // Rows out of order, and an odd number of them.
    let error = gender_parity(&["a", "a", "b", "c"], &[0; 4]).unwrap_err();
    assert_eq!(error, MetricError::NotAPair { row: 2 });
    assert_eq!(
        gender_parity(&["a", "a", "b"], &[0; 3]).unwrap_err(),
        MetricError::NotAPair { row: 2 }
    );
}

proptest! {
    #[test]
    fn multirc_is_bounded_and_blind_to_order(rows in prop::collection::vec((0u8..6, any::<bool>(), any::<bool>()), 1..60)) {
        let columns = |rows: &[(u8, bool, bool)]| {
            let questions: Vec<u8> = rows.iter().map(|row| row.0).collect();
            let predictions: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let references: Vec<bool> = rows.iter().map(|row| row.2).collect();
            multirc_scores(&questions, &predictions, &references).unwrap()
        };
        let scores = columns(&rows);
        prop_assert!((0.0..=1.0).contains(&scores.f1a) && (0.0..=1.0).contains(&scores.exact_match));
        let mut turned = rows.clone();
        turned.reverse();
        turned.sort_by_key(|row| row.1);
        prop_assert_eq!(columns(&turned), scores);
        let right: Vec<_> = rows.iter().map(|row| (row.0, row.2, row.2)).collect();
        prop_assert_eq!(columns(&right).exact_match, 1.0);
    }

    #[test]
    fn gender_parity_is_blind_to_the_order_of_pairs_and_to_swapped_halves(pairs in prop::collection::vec((0u32..3, 0u32..3), 1..40)) {
        let rows = |pairs: &[(u32, u32)]| pairs.iter().flat_map(|pair| [pair.0, pair.1]).collect::<Vec<_>>();
        let hypotheses = shared(2 * pairs.len());
        let parity = gender_parity(&hypotheses, &rows(&pairs)).unwrap();
        prop_assert!((0.0..=1.0).contains(&parity));
        let turned: Vec<_> = pairs.iter().rev().map(|pair| (pair.1, pair.0)).collect();
        prop_assert_eq!(gender_parity(&hypotheses, &rows(&turned)).unwrap(), parity);
    }
}
