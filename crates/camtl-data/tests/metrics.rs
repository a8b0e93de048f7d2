//! Metrics against stored scikit-learn and SciPy values (`fixtures/make_metrics.py`), properties and bad input.

use std::collections::BTreeMap;

use camtl_data::metrics::{MetricError, MetricKind, Predictions, References, compute};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Cases<T> {
    name: String,
    predictions: Vec<T>,
    references: Vec<T>,
    values: BTreeMap<String, Option<f64>>,
}

#[derive(Deserialize)]
struct Fixture {
    classes: Vec<Cases<u32>>,
    scores: Vec<Cases<f32>>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap()
}

fn of_classes(kind: MetricKind, predictions: &[u32], references: &[u32]) -> f64 {
    compute(
        kind,
        Predictions::Classes(predictions),
        References::Classes(references),
    )
    .unwrap()
}

fn of_scores(kind: MetricKind, predictions: &[f32], references: &[f32]) -> f64 {
    compute(
        kind,
        Predictions::Scores(predictions),
        References::Scores(references),
    )
    .unwrap()
}

#[test]
fn class_metrics_equal_scikit_learn() {
    for case in fixture().classes {
        for (metric, value) in &case.values {
            let kind: MetricKind = metric.parse().unwrap();
            let ours = of_classes(kind, &case.predictions, &case.references);
            let expected = value.unwrap();
            assert!(
                (ours - expected).abs() < 1e-12,
                "{}: {metric} {ours}, scikit-learn {expected}",
                case.name
            );
        }
        if !case.values.contains_key("f1") {
            let error = compute(
                MetricKind::F1,
                Predictions::Classes(&case.predictions),
                References::Classes(&case.references),
            );
            assert!(
                matches!(error, Err(MetricError::NotBinary { .. })),
                "{}: {error:?}",
                case.name
            );
        }
    }
}

#[test]
fn correlations_equal_scipy_and_are_zero_where_it_has_none() {
    for case in fixture().scores {
        for (metric, value) in &case.values {
            let kind: MetricKind = metric.parse().unwrap();
            let ours = of_scores(kind, &case.predictions, &case.references);
            match value {
                Some(expected) => assert!(
                    (ours - expected).abs() < 1e-9,
                    "{}: {metric} {ours}, SciPy {expected}",
                    case.name
                ),
                None => assert_eq!(ours, 0.0, "{}: {metric}", case.name),
            }
        }
    }
}

#[test]
fn exact_values_are_exact() {
    assert_eq!(
        of_classes(MetricKind::Matthews, &[0, 1, 1, 0, 1], &[0, 1, 1, 0, 1]),
        1.0
    );
    assert_eq!(of_classes(MetricKind::Matthews, &[1, 0], &[0, 1]), -1.0);
    assert_eq!(of_classes(MetricKind::F1, &[1, 1, 0], &[1, 1, 0]), 1.0);
    assert_eq!(
        of_scores(MetricKind::Spearman, &[1.0, 5.0, 2.0], &[10.0, 500.0, 11.0]),
        1.0
    );
}

#[test]
fn bad_input_is_named() {
    let both = compute(
        MetricKind::Accuracy,
        Predictions::Classes(&[]),
        References::Classes(&[]),
    )
    .unwrap_err();
    assert_eq!(
        both,
        MetricError::Empty {
            metric: MetricKind::Accuracy.name()
        }
    );

    let lengths = compute(
        MetricKind::Pearson,
        Predictions::Scores(&[1.0]),
        References::Scores(&[]),
    )
    .unwrap_err();
    assert_eq!(
        lengths.to_string(),
        "pearson: 1 predictions for 0 references; there must be one per example"
    );

    let kind = compute(
        MetricKind::Matthews,
        Predictions::Scores(&[1.0]),
        References::Classes(&[1]),
    )
    .unwrap_err();
    assert_eq!(
        kind.to_string(),
        "mcc compares classes, but the predictions are scores; choose metrics that fit the task's kind"
    );
    let kind = compute(
        MetricKind::Spearman,
        Predictions::Scores(&[1.0]),
        References::Classes(&[1]),
    )
    .unwrap_err();
    assert!(
        matches!(
            kind,
            MetricError::WrongKind {
                side: "references",
                ..
            }
        ),
        "{kind}"
    );

    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = compute(
            MetricKind::Spearman,
            Predictions::Scores(&[0.0, value]),
            References::Scores(&[0.0, 1.0]),
        )
        .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("spearman: predictions[1] is "),
            "{error}"
        );
    }

    let error = "rouge".parse::<MetricKind>().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unknown metric `rouge`; known are accuracy"),
        "{error}"
    );
}

#[test]
fn names_round_trip_in_every_spelling() {
    for &kind in MetricKind::ALL {
        assert_eq!(kind.name().parse::<MetricKind>().unwrap(), kind);
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(serde_json::from_str::<MetricKind>(&json).unwrap(), kind);
        let reported = format!("\"{}\"", kind.name());
        assert_eq!(serde_json::from_str::<MetricKind>(&reported).unwrap(), kind);
        assert_eq!(json.trim_matches('"').parse::<MetricKind>().unwrap(), kind);
    }
    assert_eq!(
        serde_json::to_string(&MetricKind::MacroF1).unwrap(),
        "\"macro-f1\""
    );
}

/// The textbook definition, counting pairs of cells.
fn binary_matthews(predictions: &[u32], references: &[u32]) -> f64 {
    let count = |p, r| {
        predictions
            .iter()
            .zip(references)
            .filter(|pair| *pair == (&p, &r))
            .count() as f64
    };
    let (tp, tn, fp, fn_) = (count(1, 1), count(0, 0), count(1, 0), count(0, 1));
    let denominator = ((tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_)).sqrt();
    if denominator == 0.0 {
        0.0
    } else {
        (tp * tn - fp * fn_) / denominator
    }
}

fn pairs(classes: u32) -> impl Strategy<Value = (Vec<u32>, Vec<u32>)> {
    prop::collection::vec((0..classes, 0..classes), 1..80)
        .prop_map(|pairs| pairs.into_iter().unzip())
}

/// Values on a coarse grid, so that ties are frequent.
fn score_pairs() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    prop::collection::vec((-20i32..20, -20i32..20), 1..60).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(a, b)| (a as f32 / 4.0, b as f32 / 4.0))
            .unzip()
    })
}

proptest! {
    #[test]
    fn class_metrics_stay_in_range_and_do_not_depend_on_order((predictions, references) in pairs(4)) {
        let reversed = |values: &[u32]| values.iter().rev().copied().collect::<Vec<_>>();
        for kind in [MetricKind::Accuracy, MetricKind::MacroF1, MetricKind::Matthews] {
            let value = of_classes(kind, &predictions, &references);
            let lowest = if kind == MetricKind::Matthews { -1.0 } else { 0.0 };
            prop_assert!((lowest..=1.0).contains(&value), "{kind} {value}");
            prop_assert_eq!(value, of_classes(kind, &reversed(&predictions), &reversed(&references)));
        }
        prop_assert_eq!(of_classes(MetricKind::Accuracy, &references, &references), 1.0);
        prop_assert_eq!(of_classes(MetricKind::MacroF1, &references, &references), 1.0);
    }

    #[test]
    fn matthews_of_two_classes_is_the_textbook_formula((predictions, references) in pairs(2)) {
        let value = of_classes(MetricKind::Matthews, &predictions, &references);
        prop_assert!((value - binary_matthews(&predictions, &references)).abs() < 1e-12);
        let inverted: Vec<u32> = predictions.iter().map(|class| 1 - class).collect();
        prop_assert!((value + of_classes(MetricKind::Matthews, &inverted, &references)).abs() < 1e-12);
    }

    #[test]
    fn correlations_are_finite_symmetric_and_blind_to_scale((x, y) in score_pairs()) {
        for kind in [MetricKind::Pearson, MetricKind::Spearman] {
            let value = of_scores(kind, &x, &y);
            prop_assert!((-1.0..=1.0).contains(&value), "{kind} {value}");
            prop_assert!((value - of_scores(kind, &y, &x)).abs() < 1e-12);
            let moved: Vec<f32> = x.iter().map(|v| 3.0 * v + 7.0).collect();
            prop_assert!((value - of_scores(kind, &moved, &y)).abs() < 1e-6);
            let mirrored: Vec<f32> = x.iter().map(|v| -v).collect();
            prop_assert!((value + of_scores(kind, &mirrored, &y)).abs() < 1e-12);
        }
        // Ranks see only the order.
        let cubed: Vec<f32> = x.iter().map(|v| v * v * v).collect();
        let (rho, rho_cubed) = (of_scores(MetricKind::Spearman, &x, &y), of_scores(MetricKind::Spearman, &cubed, &y));
        prop_assert!((rho - rho_cubed).abs() < 1e-12);
    }
}
