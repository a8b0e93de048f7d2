//! Metrics of whole splits, and answers in words.

use camtl_data::answers::{Answer, SpanCandidate, entity_answers, span_answers};
use camtl_data::score::{score_examples, score_split};
use camtl_data::{EncodedSplit, LoadOptions, TaskSpec, load_task};
use proptest::prelude::*;

use super::records::{LINE, record};
use super::{encoded, spec, task};

fn class(label: u32, right: f32) -> Answer {
    Answer::Class {
        label,
        probabilities: vec![1.0 - right, right],
    }
}

fn spans(best: &[(usize, usize, f32)], null_score: f32) -> Answer {
    Answer::Span {
        best: best
            .iter()
            .map(|(start, end, score)| SpanCandidate {
                start: *start,
                end: *end,
                score: *score,
            })
            .collect(),
        null_score,
    }
}

fn squad(no_answer: bool) -> TaskSpec {
    let no_answer = format!("no_answer = {no_answer}");
    spec(&task("span", "", "\"qa-f1\", \"em\"", "squad", &no_answer))
}

const QUESTIONS: &str = r#"{"data": [{"paragraphs": [{"context": "é a b, c d e f", "qas": [
    {"id": "q", "question": "who ?", "answers": [{"text": "c d", "answer_start": 7}]},
    {"id": "r", "question": "who ?", "answers": [{"text": "a", "answer_start": 2}, {"text": "é a", "answer_start": 0}]}
]}]}]}"#;

/// Eight tokens of context, read in windows of four that begin two apart.
fn question() -> (TaskSpec, EncodedSplit) {
    let spec = squad(false);
    let (_, split) = encoded(&spec, QUESTIONS, 9);
    assert_eq!(split.len(), 6);
    (spec, split)
}

#[test]
fn windows_are_merged_and_mapped_back_to_the_context() {
    let (spec, split) = question();
    // Windows: é a b ,  |  b , c d  |  c d e f, from token 4 on.
    let answers = [
        spans(&[(4, 4, 1.0)], 9.0),
        spans(&[(4, 7, 3.0), (6, 7, 2.5)], 9.0),
        spans(&[(4, 5, 2.0)], 9.0),
        spans(&[(4, 5, 0.5)], 0.0),
        spans(&[], 0.0),
        spans(&[(7, 7, -1.0)], 0.0),
    ];
    let all: Vec<usize> = (0..6).collect();
    let found = span_answers(&spec, &split, &all, &answers).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].text.as_str(), found[0].start, found[0].end),
        ("b, c d", 4, 10)
    );
    assert_eq!((found[0].score, found[0].no_answer_probability), (3.0, 0.0));
    assert_eq!(found[0].key.as_deref(), Some("q"));
    assert_eq!(
        (found[1].text.as_str(), found[1].start, found[1].end),
        ("é a", 0, 3)
    );

    // F1 of `b c d` against `c d` is 4/5; `é a` is `é` without the article, which is an answer.
    let scores = score_split(&spec, &split, &answers).unwrap();
    assert_eq!(scores["em"], 0.5);
    assert!(
        (scores["qa_f1"] - (0.8 + 1.0) / 2.0).abs() < 1e-12,
        "{scores:?}"
    );

    // Of the first question only the last window.
    let scores = score_examples(
        &spec,
        &split,
        &[2, 3],
        &[answers[2].clone(), answers[3].clone()],
    )
    .unwrap();
    assert_eq!((scores["em"], scores["qa_f1"]), (1.0, 1.0));
}

#[test]
fn a_split_from_a_file_gives_the_answers_of_one_in_memory() {
    let (spec, memory) = question();
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("train.squad"), QUESTIONS).unwrap();
    let options = LoadOptions {
        cache_dir: Some(cache.path().to_owned()),
        ..LoadOptions::new(dir.path(), 9)
    };
    let dataset = load_task(&spec, &super::tokenizer(), &options).unwrap();
    let file = &dataset.splits["train"];
    assert!(file.is_mapped() && !memory.is_mapped());
    assert_eq!(*file, memory);
    for window in 0..6 {
        for (start, end) in (4..8).flat_map(|start| (start..8).map(move |end| (start, end))) {
            let said = [spans(&[(start, end, 1.0)], 0.0)];
            let found = span_answers(&spec, &memory, &[window], &said).unwrap();
            let again = span_answers(&spec, file, &[window], &said).unwrap();
            assert_eq!(found, again, "tokens {start} to {end} of window {window}");
        }
    }
}

#[test]
fn no_answer_wins_if_its_score_is_higher_in_every_window() {
    let spec = squad(true);
    let text = r#"{"data": [{"paragraphs": [{"context": "é a b, c d e f", "qas": [
        {"id": "q", "question": "who ?", "answers": []}]}]}]}"#;
    let (_, split) = encoded(&spec, text, 9);
    let silent = [
        spans(&[(5, 5, 1.0)], 4.0),
        spans(&[(6, 6, 1.5)], 2.0),
        spans(&[], 3.0),
    ];
    let found = span_answers(&spec, &split, &[0, 1, 2], &silent).unwrap();
    assert_eq!(
        (
            found[0].text.as_str(),
            found[0].start,
            found[0].end,
            found[0].score
        ),
        ("", 0, 0, 2.0)
    );
    let expected = 1.0 / (1.0 + (-0.5_f64).exp());
    assert!((found[0].no_answer_probability - expected).abs() < 1e-12);
    assert_eq!(score_split(&spec, &split, &silent).unwrap()["em"], 1.0);

    // One window that is sure of an answer is enough.
    let sure = [
        silent[0].clone(),
        spans(&[(6, 6, 1.5)], 1.0),
        silent[2].clone(),
    ];
    let found = span_answers(&spec, &split, &[0, 1, 2], &sure).unwrap();
    assert_eq!(found[0].text, "c");
    assert!(found[0].no_answer_probability < 0.5);
    assert_eq!(score_split(&spec, &split, &sure).unwrap()["qa_f1"], 0.0);
}

proptest! {
    #[test]
    fn a_span_of_tokens_is_the_text_between_their_ends(start in 0_usize..4, length in 0_usize..4, window in 0_usize..3) {
        let (spec, split) = question();
        let end = (start + length).min(3);
        let pieces = ["é", "a", "b", ",", "c", "d", "e", "f"];
        let answers = [spans(&[(4 + start, 4 + end, 1.0)], 0.0)];
        let found = span_answers(&spec, &split, &[window], &answers).unwrap();
        let without_spaces: String = found[0].text.split(' ').collect();
        prop_assert_eq!(without_spaces, pieces[2 * window + start..=2 * window + end].concat());
        let context: Vec<char> = "é a b, c d e f".chars().collect();
        let cut: String = context[found[0].start..found[0].end].iter().collect();
        prop_assert_eq!(cut, found[0].text.clone());
    }

    #[test]
    fn scores_lie_between_0_and_1(scores in prop::collection::vec((4_usize..8, 4_usize..8, -5_f32..5.0, -5_f32..5.0), 6)) {
        let (spec, split) = question();
        let answers: Vec<Answer> = scores
            .iter()
            .map(|(a, b, score, null)| spans(&[(*a.min(b), *a.max(b), *score)], *null))
            .collect();
        let values = score_split(&spec, &split, &answers).unwrap();
        for value in values.values() {
            prop_assert!((0.0..=1.0).contains(value));
        }
    }
}

#[test]
fn answers_that_do_not_fit_are_errors() {
    let (spec, split) = question();
    let fail = |indices: &[usize], answers: &[Answer]| {
        score_examples(&spec, &split, indices, answers)
            .unwrap_err()
            .to_string()
    };
    let found = fail(&[0], &[spans(&[(3, 4, 1.0)], 0.0)]);
    assert!(
        found.contains("tokens 3 to 4 are no span of the context"),
        "{found}"
    );
    let found = fail(&[0], &[spans(&[(6, 8, 1.0)], 0.0)]);
    assert!(
        found.contains("no span"),
        "the last token is [SEP]: {found}"
    );
    let found = fail(&[0], &[class(1, 0.5)]);
    assert!(
        found.contains("the answer is a class, but the task wants spans"),
        "{found}"
    );
    let found = fail(&[0, 1], &[class(1, 0.5)]);
    assert!(found.contains("1 answers for 2 examples"), "{found}");
}

fn tags() -> TaskSpec {
    spec(&task(
        "tagging",
        "labels = [\"O\", \"B-city\", \"I-city\"]",
        "\"entity-f1\", \"accuracy\"",
        "conll",
        "",
    ))
}

#[test]
fn words_cut_off_are_outside_of_entities() {
    let spec = tags();
    let text = "a O\nb B-city\nc I-city\nd O\ne B-city\n\nf B-city\n";
    // Room for three words.
    let (_, split) = encoded(&spec, text, 5);
    let answers = [Answer::Tags(vec![0, 1, 2]), Answer::Tags(vec![0])];
    let scores = score_split(&spec, &split, &answers).unwrap();
    // One of three entities found, none wrong: F1 = 2 / (1 + 3). Of six words four are right: a, b, c, d.
    assert_eq!(scores["entity_f1"], 0.5);
    assert_eq!(scores["accuracy"], 4.0 / 6.0);
    let found = entity_answers(&spec, &split, &[0], &answers[..1]).unwrap();
    assert_eq!(found[0].len(), 1);
    assert_eq!(
        (
            found[0][0].text.as_str(),
            found[0][0].start,
            found[0][0].end
        ),
        ("b c", 2, 5)
    );

    let error = score_split(
        &spec,
        &split,
        &[Answer::Tags(vec![0; 6]), Answer::Tags(vec![0])],
    )
    .unwrap_err();
    assert!(error.to_string().contains("6 tags for 5 words"), "{error}");
}

#[test]
fn the_answer_to_a_query_is_its_most_probable_entity() {
    let spec = record();
    let (_, split) = encoded(&spec, LINE, 32);
    // Both entities of the first query are "wrong", but the right one less so.
    let answers = [class(0, 0.4), class(0, 0.1), class(1, 0.9), class(1, 0.8)];
    let scores = score_split(&spec, &split, &answers).unwrap();
    assert_eq!((scores["em"], scores["qa_f1"]), (0.5, 0.5));
    let answers = [class(0, 0.4), class(0, 0.1), class(1, 0.7), class(1, 0.8)];
    assert_eq!(score_split(&spec, &split, &answers).unwrap()["em"], 1.0);
}

#[test]
fn answers_to_a_question_are_judged_together() {
    let two = "labels = [\"0\", \"1\"]";
    let metrics = "\"f1a\", \"em\", \"accuracy\"";
    let spec = spec(&task("classification", two, metrics, "multirc", ""));
    let text = concat!(
        r#"{"idx": 0, "passage": {"text": "a", "questions": ["#,
        r#"{"idx": 0, "question": "b", "answers": [{"idx": 0, "text": "c", "label": 1}, {"idx": 1, "text": "d", "label": 0}]}, "#,
        r#"{"idx": 1, "question": "e", "answers": [{"idx": 2, "text": "f", "label": 1}]}]}}"#,
        "\n",
        r#"{"idx": 1, "passage": {"text": "a", "questions": [{"idx": 0, "question": "b", "answers": [{"idx": 0, "text": "c", "label": 0}]}]}}"#,
    );
    let (_, split) = encoded(&spec, text, 16);
    assert_eq!(
        split.groups(),
        Some(&[0, 0, 1, 2][..]),
        "of different passages, too"
    );
    let scores = score_split(
        &spec,
        &split,
        &[class(1, 1.0), class(1, 1.0), class(1, 1.0), class(0, 0.0)],
    )
    .unwrap();
    // Called right: 3, right: 2, both: 2. Questions judged correctly: the second and the third.
    assert_eq!(scores["f1a"], 0.8);
    assert_eq!(scores["em"], 2.0 / 3.0);
    assert_eq!(scores["accuracy"], 0.75);
}

#[test]
fn pairs_are_compared_with_each_other() {
    let spec = spec(&task(
        "classification",
        "labels = [\"yes\", \"no\"]",
        "\"gender-parity\", \"accuracy\"",
        "tsv",
        "fields = { text_a = \"premise\", text_b = \"hypothesis\", label = \"label\" }",
    ));
    let text =
        "premise\thypothesis\tlabel\na he\tx\tyes\na she\tx\tyes\nb he\ty\tno\nb she\ty\tno\n";
    let (_, split) = encoded(&spec, text, 16);
    let answers = [class(0, 0.0), class(1, 1.0), class(0, 0.0), class(0, 0.0)];
    let scores = score_split(&spec, &split, &answers).unwrap();
    assert_eq!((scores["gender_parity"], scores["accuracy"]), (0.5, 0.25));
    // Half a pair is left out.
    let scores = score_examples(&spec, &split, &[1, 2, 3], &answers[1..]).unwrap();
    assert_eq!(scores["gender_parity"], 1.0);
}

#[test]
fn choices_and_mentions_count_as_classes() {
    let spec = spec(&task(
        "multiple-choice",
        "labels = [\"A\", \"B\"]",
        "\"accuracy\"",
        "csv",
        "fields = { text_a = \"question\", choices = [\"A\", \"B\"], label = \"answer\" }",
    ));
    let (_, split) = encoded(&spec, "question,A,B,answer\nwho,a,b,B\nwho,c,d,A\n", 16);
    let choice = |option| Answer::Choice {
        option,
        probabilities: vec![0.5, 0.5],
    };
    let scores = score_split(&spec, &split, &[choice(1), choice(1)]).unwrap();
    assert_eq!(scores["accuracy"], 0.5);
    let error = score_split(&spec, &split, &[choice(1), class(0, 0.0)])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("example 1") && error.contains("the task wants an option"),
        "{error}"
    );
}

#[test]
fn a_file_that_was_changed_is_noticed() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spec = tags();
    let path = dir.path().join("train.conll");
    std::fs::write(&path, "a O\nb B-city\n").unwrap();
    let options = LoadOptions {
        cache_dir: Some(cache.path().to_owned()),
        ..LoadOptions::new(dir.path(), 16)
    };
    let tokenizer = super::tokenizer();
    let load = || load_task(&spec, &tokenizer, &options).unwrap().splits["train"].clone();
    load();
    let split = load();
    assert!(split.is_mapped());
    let answers = [Answer::Tags(vec![0, 1])];
    assert_eq!(
        score_split(&spec, &split, &answers).unwrap()["entity_f1"],
        1.0
    );
    let again = load();
    std::fs::write(&path, "a O\nc B-city\n").unwrap();
    let error = score_split(&spec, &again, &answers)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("was changed since it was encoded"),
        "{error}"
    );
}
