//! Questions on a context.

use camtl_data::answers::span_answers;
use camtl_data::{Answer, Details, Label, SpanCandidate, TaskSpec};

use super::{encoded, encoded_like, problem, spec, tokens};

fn squad(more: &str) -> TaskSpec {
    spec(&format!(
        r#"
        name = "questions"
        kind = "span"
        metrics = ["qa-f1", "em"]
        format = "squad"
        {more}
        [files]
        train = "train.json"
        test = {{ path = "test.json", labelled = false }}
        "#
    ))
}

fn mrqa() -> TaskSpec {
    spec(
        r#"
        name = "questions"
        kind = "span"
        metrics = ["qa-f1", "em"]
        format = "mrqa"
        files = { train = "train.jsonl" }
        "#,
    )
}

/// Characters are not bytes here.
const FILE: &str = r#"{"version": "1.1", "data": [{"title": "t", "paragraphs": [
{"context": "é a b c d e f g h", "qas": [
  {"id": "q1", "question": "who ?", "answers": [{"text": "c d", "answer_start": 6}, {"text": "d", "answer_start": 8}]},
  {"id": "q2", "question": "a ?", "answers": [{"text": "h", "answer_start": 16}]}
]}]}]}"#;

#[test]
fn answers_become_tokens_of_the_window() {
    let (rows, split) = encoded(&squad(""), FILE, 32);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].text_b.as_deref(), Some("é a b c d e f g h"));
    let Details::Question(question) = &rows[0].details else {
        panic!("{:?}", rows[0].details)
    };
    assert_eq!(question.answers, ["c d", "d"]);
    assert_eq!(question.spans, [7..10, 9..10]);
    assert_eq!(
        tokens(&split, 0),
        "[CLS] who ? [SEP] é a b c d e f g h [SEP]"
    );
    assert_eq!(split.get(0).extra, [7, 8, 4, 12]);
    assert_eq!(split.get(0).label, Some(Label::Structured));
    assert_eq!(split.get(1).extra, [12, 12, 4, 12]);
    assert_eq!(split.get(0).token_type_ids[..5], [0, 0, 0, 0, 1]);
    assert_eq!(split.groups(), Some(&[0, 1][..]));
}

#[test]
fn a_long_context_is_read_in_windows() {
    // Room for 4 tokens of context beside [CLS] who ? [SEP] ... [SEP]; windows begin 2 apart.
    let (_, split) = encoded(&squad(""), FILE, 9);
    let windows: Vec<(String, Vec<i32>)> = (0..split.len())
        .filter(|index| split.get(*index).id == 0)
        .map(|index| (tokens(&split, index), split.get(index).extra.to_vec()))
        .collect();
    let window =
        |text: &str, extra: [i32; 4]| (format!("[CLS] who ? [SEP] {text} [SEP]"), extra.to_vec());
    assert_eq!(
        windows,
        [
            // Neither answer is whole in the first window.
            window("é a b c", [0, 0, 4, 7]),
            window("b c d e", [5, 6, 4, 7]),
            // `c d` is not whole here, but `d` is.
            window("d e f g", [4, 4, 4, 7]),
            window("f g h", [0, 0, 4, 6]),
        ]
    );
    assert_eq!(split.num_truncated(), 0);
    assert_eq!(split.groups().unwrap()[..4], [0; 4]);

    let (_, apart) = encoded(&squad("doc_stride = 100"), FILE, 9);
    let texts: Vec<String> = (0..3).map(|index| tokens(&apart, index)).collect();
    assert_eq!(
        texts,
        [
            "[CLS] who ? [SEP] é a b c [SEP]",
            "[CLS] who ? [SEP] d e f g [SEP]",
            "[CLS] who ? [SEP] h [SEP]",
        ],
        "windows never leave a gap"
    );
}

#[test]
fn every_token_of_the_context_is_in_a_window() {
    for length in 1..40 {
        let context: Vec<&str> =
            "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m"
                .split(' ')
                .take(length)
                .collect();
        let text = format!(
            r#"{{"data": [{{"paragraphs": [{{"context": "{}", "qas": [{{"id": "x", "question": "who", "answers": []}}]}}]}}]}}"#,
            context.join(" ")
        );
        for (stride, max_length) in [
            ("", 6),
            ("", 12),
            ("doc_stride = 1", 7),
            ("doc_stride = 5", 14),
        ] {
            let (_, split) = encoded_like(&squad(stride), "test", &text, max_length);
            let mut seen = 0;
            let mut last = Vec::new();
            for example in split.iter() {
                assert!(example.len() <= max_length);
                let [_, _, first, end] = example.extra else {
                    panic!()
                };
                last = example.input_ids[*first as usize..=*end as usize].to_vec();
                seen += last.len();
            }
            assert!(seen >= length, "{length} {stride} {max_length}");
            let all = super::tokenizer()
                .encode(&context.join(" "), None, 100)
                .unwrap();
            assert!(all.input_ids[..all.input_ids.len() - 1].ends_with(&last));
        }
    }
}

#[test]
fn questions_without_answer_are_allowed_where_the_task_says_so() {
    let text = r#"{"data": [{"paragraphs": [{"context": "a b", "qas": [
        {"id": "none", "question": "who ?", "answers": [], "is_impossible": true}]}]}]}"#;
    let (rows, split) = encoded(&squad("no_answer = true"), text, 16);
    assert_eq!(rows[0].label, Some(Label::Structured));
    assert_eq!(split.get(0).extra, [0, 0, 4, 5]);
    let found = problem(&squad(""), text);
    assert!(
        found.starts_with("train.json:2: column answers of question `none`: no accepted answer")
            && found.contains("no_answer = true"),
        "{found}"
    );
}

#[test]
fn problems_are_told_with_the_question_and_its_line() {
    let found = problem(
        &squad(""),
        &FILE.replace("\"answer_start\": 16", "\"answer_start\": 15"),
    );
    assert_eq!(
        found,
        "train.json:4: column answers of question `q2`: the answer `h` does not stand at character 15 of the context \
         (from 0), where ` h` stands; mend `answer_start`"
    );
    let found = problem(
        &squad(""),
        &FILE.replace("\"answer_start\": 16", "\"answer_start\": 18"),
    );
    assert!(found.contains("beyond the end of the context"), "{found}");
    let found = problem(
        &squad(""),
        "{\"data\": [{\"paragraphs\":\n[{\"qas\": []}]}]}",
    );
    assert!(
        found.starts_with("train.json:2: not SQuAD's JSON: missing field `context`"),
        "{found}"
    );
    let found = problem(&squad(""), &FILE[..100]);
    assert!(found.contains("not SQuAD's JSON: EOF"), "{found}");
}

#[test]
fn the_form_of_the_shared_task_is_read_as_well() {
    let text = concat!(
        r#"{"header": {"dataset": "own", "split": "train"}}"#,
        "\n",
        r#"{"id": "", "context": "é a b", "qas": [{"qid": "x", "question": "who", "answers": ["A", "b"],"#,
        r#" "detected_answers": [{"text": "a", "char_spans": [[2, 2]], "token_spans": [[1, 1]]}, {"text": "b", "char_spans": [[4, 4]]}]}]}"#,
        "\n",
    );
    let (rows, split) = encoded(&mrqa(), text, 16);
    assert_eq!(rows[0].key.as_deref(), Some("x"));
    let Details::Question(question) = &rows[0].details else {
        panic!()
    };
    assert_eq!(
        (&question.answers[..], &question.spans[..]),
        (&["A".to_owned(), "b".into()][..], &[3..4, 5..6][..])
    );
    assert_eq!(split.get(0).extra, [4, 4, 3, 5]);

    let found = problem(&mrqa(), &text.replace("[[4, 4]]", "[[4, 9]]"));
    assert!(
        found.starts_with(
            "train.jsonl:2: column answers of question `x`: the answer's characters are 4 to 9"
        ),
        "{found}"
    );
    let found = problem(&mrqa(), "{\"header\": {}}\n{\"qas\": []}\n");
    assert!(
        found.starts_with("train.jsonl:2: not a JSON object: missing field `context`"),
        "{found}"
    );
}

#[test]
fn files_packed_with_gzip_are_read() {
    let dir = tempfile::tempdir().unwrap();
    // `printf '{"header": {}}\n{"context": "a", "qas": []}\n' | gzip -n9`, with a question in place of none.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let text = r#"{"context": "a b", "qas": [{"qid": "1", "question": "who", "answers": ["b"], "detected_answers": [{"char_spans": [[2, 2]]}]}]}"#;
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    std::fs::write(dir.path().join("train.jsonl"), encoder.finish().unwrap()).unwrap();
    let rows = camtl_data::read_split(&mrqa(), dir.path(), "train").unwrap();
    assert_eq!(rows[0].text_b.as_deref(), Some("a b"));
}

#[test]
fn an_empty_context_has_an_empty_answer() {
    let file = r#"{"data": [{"paragraphs": [{"context": "", "qas": [{"id": "q", "question": "who ?", "answers": []}]}]}]}"#;
    let spec = squad("no_answer = true");
    let (_, split) = encoded(&spec, file, 32);
    assert_eq!(tokens(&split, 0), "[CLS] who ? [SEP] [UNK] [SEP]");
    assert_eq!(split.get(0).extra, [0, 0, 4, 4]);
    let best = vec![SpanCandidate {
        start: 4,
        end: 4,
        score: 3.0,
    }];
    let said = Answer::Span {
        best,
        null_score: -1.0,
    };
    let found = span_answers(&spec, &split, &[0], &[said]).unwrap();
    assert_eq!((found[0].text.as_str(), found[0].end), ("", 0));
}
