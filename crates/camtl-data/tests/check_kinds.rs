//! Task files of kinds beyond one label for a text, tried on their data.

use camtl_data::check::{CheckOptions, LabelCount, Mark, SplitCheck, TaskCheck, check_task};
use camtl_data::{TaskSpec, TextTokenizer};

/// Letters are words of their own; `##x` continues one.
fn tokenizer() -> TextTokenizer {
    let mut vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n?\nwho\nso\n".to_owned();
    for letter in 'a'..='z' {
        vocab += &format!("{letter}\n##{letter}\n");
    }
    TextTokenizer::from_vocab(&vocab, false).unwrap()
}

/// What is found of a task whose split `train` is this text, with and without a tokenizer.
fn checked(spec: &str, text: &str, max_length: usize) -> [TaskCheck; 2] {
    let spec = TaskSpec::from_toml(spec, "task.toml").unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(&spec.files["train"].path), text).unwrap();
    let options = CheckOptions {
        max_length,
        ..CheckOptions::new(dir.path())
    };
    [
        check_task(&spec, Some(&tokenizer()), &options).unwrap(),
        check_task(&spec, None, &options).unwrap(),
    ]
}

fn sound(found: &TaskCheck) -> &SplitCheck {
    assert!(found.is_sound(), "{:?}", found.problems);
    &found.splits["train"]
}

fn counts(of: &[(&str, u64)]) -> Vec<LabelCount> {
    of.iter()
        .map(|(label, count)| LabelCount {
            label: (*label).to_owned(),
            count: *count,
        })
        .collect()
}

fn mark(start: usize, end: usize, name: &str) -> Mark {
    Mark {
        start,
        end,
        name: name.to_owned(),
    }
}

const CHOICES: &str = r#"
name = "plausible"
kind = "multiple-choice"
labels = ["0", "1"]
metrics = ["accuracy"]
format = "jsonl"
fields = { text_a = "premise", choices = ["one", "two"], label = "label" }
files = { train = "train.jsonl" }
"#;

#[test]
fn options_are_counted_and_shown_one_by_one() {
    let text = "{\"premise\": \"a b\", \"one\": \"c\", \"two\": \"d e f\", \"label\": 1}\n\
                {\"premise\": \"a\", \"one\": \"c\", \"two\": \"d\", \"label\": 1}\n";
    let [found, bare] = checked(CHOICES, text, 7);
    let train = sound(&found);
    assert_eq!(train.labels, counts(&[("0", 0), ("1", 2)]));
    // Options of 6 and 8 tokens, and two of 5.
    let lengths = train.lengths.unwrap();
    assert_eq!((lengths.p50, lengths.max, lengths.truncated), (5, 8, 1));
    let first = &train.first[0];
    assert_eq!(first.label.as_deref(), Some("1"));
    assert_eq!(first.texts, ["a b", "c", "d e f"]);
    assert_eq!(first.sequence_lengths, [6, 7]);
    assert_eq!(
        first.tokens.join(" "),
        "[CLS] a b [SEP] c [SEP] [CLS] a b [SEP] d e [SEP]"
    );
    assert!(first.marks.is_empty());
    assert_eq!(
        (first.window, train.words, train.questions),
        (None, None, None)
    );
    assert!(
        found
            .notes
            .contains(&"train: label `0` does not occur".to_owned())
    );
    assert_eq!(sound(&bare).labels, train.labels);
    assert!(sound(&bare).first[0].tokens.is_empty());
}

const TAGS: &str = r#"
name = "places"
kind = "tagging"
labels = ["O", "B-city", "I-city"]
metrics = ["entity-f1", "accuracy"]
format = "conll"
files = { train = "train.conll" }
"#;

#[test]
fn tags_are_counted_by_word() {
    let text = "in O\nnew B-city\nyork I-city\n\na O\nb O\nc O\nd O\n\ne B-city\n";
    // Room for six tokens of text: `in new york` has nine, and the first of `york` is kept.
    let [found, bare] = checked(TAGS, text, 8);
    let train = sound(&found);
    assert_eq!(
        train.labels,
        counts(&[("O", 5), ("B-city", 2), ("I-city", 1)])
    );
    let words = train.words.unwrap();
    assert_eq!(
        (
            words.count,
            words.sentence_p50,
            words.sentence_max,
            words.cut
        ),
        (8, 3, 4, Some(0))
    );
    let first = &train.first[0];
    assert_eq!(first.label.as_deref(), Some("O B-city I-city"));
    assert_eq!(
        first.tokens,
        ["[CLS]", "i", "##n", "n", "##e", "##w", "y", "[SEP]"]
    );
    assert_eq!(
        first.marks,
        [mark(1, 2, "O"), mark(3, 4, "B-city"), mark(6, 7, "I-city")]
    );
    assert_eq!(train.unlabelled, 0);
    let bare = sound(&bare);
    assert_eq!(
        (bare.words.unwrap().cut, &bare.labels),
        (None, &train.labels)
    );
}

#[test]
fn words_beyond_the_maximum_length_are_told() {
    let text = "a O\nb O\nc O\nd B-city\n";
    let [found, _] = checked(TAGS, text, 4);
    assert_eq!(sound(&found).words.unwrap().cut, Some(2));
    let told = "train: 2 word(s) beyond --max-length, which count as tagged with the first label";
    assert!(found.notes.contains(&told.to_owned()), "{:?}", found.notes);
    let [found, _] = checked(TAGS, "a O\nb B-cty\n\nc O\nd\n", 16);
    let lines: Vec<_> = found.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(2), Some(5)], "{:?}", found.problems);
    assert!(
        found.problems[0]
            .file
            .as_deref()
            .unwrap()
            .ends_with("train.conll")
    );
}

const QUESTIONS: &str = r#"
name = "questions"
kind = "span"
no_answer = true
metrics = ["qa-f1", "em"]
format = "squad"
files = { train = "train.json" }
"#;

const CONTEXT: &str = r#"{"data": [{"paragraphs": [{"context": "x a b c d e f g", "qas": [
  {"id": "q1", "question": "who ?", "answers": [{"text": "c d", "answer_start": 6}, {"text": "d", "answer_start": 8}]},
  {"id": "q2", "question": "so ?", "answers": [], "is_impossible": true},
  {"id": "q3", "question": "who ?", "answers": [{"text": "a b c d e f", "answer_start": 2}]}
]}]}]}"#;

#[test]
fn windows_and_missing_answers_are_counted() {
    // Room for four tokens of context beside `[CLS] who ? [SEP] ... [SEP]`; windows begin two apart, so three each.
    let [found, bare] = checked(QUESTIONS, CONTEXT, 9);
    let train = sound(&found);
    let questions = train.questions.unwrap();
    assert_eq!(questions.without_answer, 1);
    assert_eq!(
        (
            questions.answer_words_p50,
            questions.answer_words_p99,
            questions.answer_words_max
        ),
        (2, 6, 6)
    );
    let windows = questions.windows.unwrap();
    assert_eq!((windows.count, windows.max_per_question), (9, 3));
    // x a b c | b c d e | d e f g: the first question has an answer in the last two, the third in none.
    assert_eq!((windows.with_answer, windows.answers_lost), (2, 1));
    assert!(
        found.notes.iter().any(|note| note.starts_with("train: 1 question(s) whose answer is whole in no window")),
        "{:?}",
        found.notes
    );
    let lengths = train.lengths.unwrap();
    assert_eq!((lengths.p50, lengths.max, lengths.truncated), (13, 13, 3));
    let [first, second] = train.first.as_slice() else {
        panic!("{:?}", train.first)
    };
    assert_eq!(first.label.as_deref(), Some("c d | d"));
    assert_eq!((first.window, first.windows), (Some(1), Some(3)));
    assert_eq!(first.tokens.join(" "), "[CLS] who ? [SEP] b c d e [SEP]");
    assert_eq!(first.marks, [mark(5, 7, "answer")]);
    assert_eq!(second.label.as_deref(), Some("no answer"));
    assert_eq!((second.window, second.marks.len()), (Some(0), 0));
    let bare = sound(&bare).questions.unwrap();
    assert_eq!((bare.without_answer, bare.windows), (1, None));
}

#[test]
fn problems_of_questions_have_their_line() {
    let text = CONTEXT.replace("\"answer_start\": 6", "\"answer_start\": 5");
    let text = text.replace("\"answer_start\": 2", "\"answer_start\": 99");
    let [found, _] = checked(QUESTIONS, &text, 32);
    let lines: Vec<_> = found.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(2), Some(4)], "{:?}", found.problems);
    assert_eq!(found.splits["train"].examples, 1);
}

const MENTIONS: &str = r#"
name = "senses"
kind = "span-pair"
labels = ["false", "true"]
metrics = ["accuracy"]
format = "jsonl"
files = { train = "train.jsonl" }

[fields]
text_a = "one"
text_b = "two"
label = "label"
mentions = [{ text = "a", start = "s1", end = "e1" }, { text = "b", start = "s2", end = "e2" }]
"#;

#[test]
fn mentions_are_measured_and_marked() {
    let text = "{\"one\": \"a bc d\", \"two\": \"e f g\", \"s1\": 2, \"e1\": 4, \"s2\": 0, \"e2\": 3, \"label\": true}\n\
                {\"one\": \"a b c d\", \"two\": \"e f g h\", \"s1\": 6, \"e1\": 7, \"s2\": 2, \"e2\": 7, \"label\": false}\n";
    // Room for six tokens of text, three of each here.
    let [found, bare] = checked(MENTIONS, text, 9);
    let train = sound(&found);
    assert_eq!(train.labels, counts(&[("false", 1), ("true", 1)]));
    let mentions = train.mentions.unwrap();
    assert_eq!(
        (mentions.words_p50, mentions.words_p99, mentions.words_max),
        (1, 3, 3)
    );
    // `d` is cut off, and of `f g h` the last.
    assert_eq!(mentions.cut, Some(2));
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.starts_with("train: 2 mention(s) beyond --max-length")),
        "{:?}",
        found.notes
    );
    let first = &train.first[0];
    assert_eq!(first.tokens.join(" "), "[CLS] a b ##c [SEP] e f g [SEP]");
    assert_eq!(
        first.marks,
        [mark(2, 4, "mention 1"), mark(5, 7, "mention 2")]
    );
    assert_eq!(sound(&bare).mentions.unwrap().cut, None);
    let [found, _] = checked(MENTIONS, &text.replace("\"e1\": 4", "\"e1\": 40"), 9);
    assert_eq!(found.problems[0].line, Some(1), "{:?}", found.problems);
}
