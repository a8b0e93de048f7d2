use camtl_data::metrics::MetricError;
use camtl_data::metrics::question_answering::{
    AnswerScores, best_thresholds, exact_match, normalize_answer, squad_v1_scores, squad_v2_scores,
    squad_v2_scores_at, token_f1,
};
use camtl_data::metrics::record::record_scores;
use proptest::prelude::*;
use serde::Deserialize;

use super::close;

#[derive(Deserialize)]
struct Mean {
    exact_match: f64,
    f1: f64,
    questions: Option<usize>,
}

#[derive(Deserialize)]
struct Parts {
    all: Option<Mean>,
    has_answer: Option<Mean>,
    no_answer: Option<Mean>,
}

#[derive(Deserialize)]
struct Best {
    exact_match: f64,
    exact_match_threshold: f64,
    f1: f64,
    f1_threshold: f64,
}

#[derive(Deserialize)]
struct V2 {
    scores: Parts,
    at_threshold: Parts,
    best: Best,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    predictions: Vec<String>,
    gold: Vec<Vec<String>>,
    no_answer_probabilities: Vec<f64>,
    threshold: f64,
    v1: Option<Mean>,
    v2: V2,
}

#[derive(Deserialize)]
struct Fixture {
    normalized: Vec<(String, String)>,
    cases: Vec<Case>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/qa_metrics.json")).unwrap()
}

fn assert_mean(name: &str, ours: Option<AnswerScores>, expected: Option<&Mean>) {
    let (Some(ours), Some(expected)) = (ours, expected) else {
        assert!(ours.is_none() && expected.is_none(), "{name}: {ours:?}");
        return;
    };
    assert!(
        close(ours.exact_match, expected.exact_match),
        "{name}: {ours:?}"
    );
    assert!(
        close(ours.f1, expected.f1),
        "{name}: {ours:?}, F1 {}",
        expected.f1
    );
    if let Some(questions) = expected.questions {
        assert_eq!(ours.questions, questions, "{name}");
    }
}

#[test]
fn normalisation_is_python_s() {
    for (text, expected) in fixture().normalized {
        assert_eq!(normalize_answer(&text), expected, "{text:?}");
    }
}

#[test]
fn squad_v1_mrqa_and_record_equal_the_reference() {
    let (mut scored, mut refused) = (0, 0);
    for case in fixture().cases {
        let ours = squad_v1_scores(&case.predictions, &case.gold);
        match &case.v1 {
            Some(expected) => {
                assert_mean(&case.name, Some(ours.clone().unwrap()), Some(expected));
                assert_eq!(record_scores(&case.predictions, &case.gold), ours);
                scored += 1;
            }
            None => {
                let first = case.gold.iter().position(Vec::is_empty).unwrap();
                let error = ours.unwrap_err();
                assert_eq!(
                    error,
                    MetricError::NoGoldAnswer {
                        metric: "squad",
                        question: first
                    }
                );
                refused += 1;
            }
        }
    }
    assert!(scored >= 8 && refused >= 4, "{scored} {refused}");
}

#[test]
fn squad_v2_equals_the_reference() {
    for case in fixture().cases {
        let (name, probabilities) = (&case.name, &case.no_answer_probabilities);
        let plain = squad_v2_scores(&case.predictions, &case.gold).unwrap();
        let at = squad_v2_scores_at(&case.predictions, &case.gold, probabilities, case.threshold)
            .unwrap();
        for (ours, expected) in [(plain, &case.v2.scores), (at, &case.v2.at_threshold)] {
            assert_mean(name, Some(ours.all), expected.all.as_ref());
            assert_mean(name, ours.has_answer, expected.has_answer.as_ref());
            assert_mean(name, ours.no_answer, expected.no_answer.as_ref());
        }
        let ours = best_thresholds(&case.predictions, &case.gold, probabilities).unwrap();
        let best = &case.v2.best;
        for (ours, expected) in [
            (ours.exact_match, best.exact_match),
            (ours.exact_match_threshold, best.exact_match_threshold),
            (ours.f1, best.f1),
            (ours.f1_threshold, best.f1_threshold),
        ] {
            assert!(
                close(ours, expected),
                "{name}: {ours}, reference {expected}"
            );
        }
    }
}

#[test]
fn bad_input_is_named() {
    let none: [Vec<&str>; 0] = [];
    let error = squad_v1_scores::<&str, &str>(&[], &none).unwrap_err();
    assert_eq!(error, MetricError::NothingToScore { metric: "squad" });
    assert!(squad_v2_scores::<&str, &str>(&[], &none).is_err());
    let error = record_scores(&["a", "b"], &[vec!["a"]]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "record: 2 predictions for 1 sets of gold answers; there must be one for each"
    );
    let gold = [vec!["a"], vec![]];
    let error = squad_v1_scores(&["a", ""], &gold).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("question 1 (counted from 0) has no gold answer"),
        "{error}"
    );
    let error = squad_v2_scores_at(&["a", ""], &gold, &[0.5], 0.5).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("2 predictions for 1 no-answer probabilities"),
        "{error}"
    );
    let error = best_thresholds(&["a", ""], &gold, &[0.5, f64::NAN]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("question 1 (counted from 0) is NaN"),
        "{error}"
    );
}

fn answers() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "the", "A", "cat", "dog", "Élan", "中国", "...", "it's", "\u{a0}",
        ]),
        0..6,
    )
    .prop_map(|words| words.join(" "))
}

fn questions() -> impl Strategy<Value = Vec<(String, Vec<String>)>> {
    prop::collection::vec((answers(), prop::collection::vec(answers(), 1..4)), 1..12)
}

proptest! {
    #[test]
    fn any_text_equals_itself_and_is_normalised_without_stray_spaces(text in ".*") {
        let once = normalize_answer(&text);
        prop_assert!(!once.starts_with(' ') && !once.ends_with(' ') && !once.contains("  "));
        prop_assert!(exact_match(&text, &text));
        prop_assert!([0.0, 1.0].contains(&token_f1(&text, &text)));
    }

    #[test]
    fn f1_is_symmetric_and_bounded_and_at_least_em(a in answers(), b in answers()) {
        let f1 = token_f1(&a, &b);
        prop_assert!((0.0..=1.0).contains(&f1));
        prop_assert_eq!(f1, token_f1(&b, &a));
        if exact_match(&a, &b) && !normalize_answer(&a).is_empty() {
            prop_assert_eq!(f1, 1.0);
        }
    }

    #[test]
    fn scores_do_not_depend_on_order_and_grow_with_gold_answers(rows in questions()) {
        let (predictions, gold): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
        let scores = squad_v1_scores(&predictions, &gold).unwrap();
        prop_assert!((0.0..=1.0).contains(&scores.f1) && (0.0..=1.0).contains(&scores.exact_match));
        let (turned, turned_gold): (Vec<_>, Vec<_>) = rows
            .iter()
            .rev()
            .map(|(prediction, gold)| (prediction.clone(), gold.iter().rev().cloned().collect::<Vec<_>>()))
            .unzip();
        let turned = squad_v1_scores(&turned, &turned_gold).unwrap();
        prop_assert_eq!(turned.exact_match, scores.exact_match);
        prop_assert!((turned.f1 - scores.f1).abs() < 1e-12);

        let v2 = squad_v2_scores(&predictions, &gold).unwrap();
        prop_assert!(v2.all.f1 >= v2.all.exact_match - 1e-12);
        prop_assert!(v2.no_answer.is_none());
        let more: Vec<Vec<String>> = gold
            .iter()
            .zip(&predictions)
            .map(|(gold, prediction)| gold.iter().chain([prediction]).cloned().collect())
            .collect();
        prop_assert_eq!(squad_v1_scores(&predictions, &more).unwrap().exact_match, 1.0);
    }
}
