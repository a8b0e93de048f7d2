//! One tiny task of each of the other kinds: options, tags, answers, pairs of mentions. Each can be learnt from its words.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Dir;
use super::fixture::{BAD, Dice, GOOD, PLAIN};

/// Rows of `better`: which of two options is warm.
pub fn better(count: usize, seed: u64) -> Vec<Value> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|_| {
            let label = dice.below(2);
            let mut options = [dice.pick(&GOOD), dice.pick(&BAD)];
            if label == 1 {
                options.swap(0, 1);
            }
            json!({
                "idx": 7, "premise": dice.pick(&PLAIN), "question": "cause",
                "choice1": options[0], "choice2": options[1], "label": label,
            })
        })
        .collect()
}

/// Rows of `things`: words with their tags.
pub fn things(count: usize, seed: u64) -> Vec<Vec<(&'static str, &'static str)>> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|_| {
            let mut words = Vec::new();
            for _ in 0..1 + dice.below(3) {
                words.push((dice.pick(&GOOD), "O"));
                words.push((dice.pick(&PLAIN), "B-thing"));
                if dice.below(2) == 1 {
                    words.push((dice.pick(&PLAIN), "I-thing"));
                }
            }
            words
        })
        .collect()
}

/// A row of `which`: a question, its context, and the answer with its first character.
pub struct Asked {
    pub question: &'static str,
    pub context: String,
    pub answer: &'static str,
    pub start: usize,
}

/// Rows of `which`: the word behind `warm`. The contexts hold letters of several bytes and are longer than a window.
pub fn which(count: usize, seed: u64) -> Vec<Asked> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|_| {
            let mut words = vec!["é"; 1 + dice.below(8)];
            let before: usize = words.iter().map(|word| word.chars().count() + 1).sum();
            let answer = dice.pick(&PLAIN);
            words.extend(["warm", answer]);
            words.extend((0..1 + dice.below(8)).map(|_| dice.pick(&BAD)));
            Asked {
                question: "warm",
                context: words.join(" "),
                answer,
                start: before + 5,
            }
        })
        .collect()
}

/// Rows of `alike`: whether two marked words praise alike.
pub fn alike(count: usize, seed: u64) -> Vec<Value> {
    let mut dice = Dice::new(seed);
    (0..count)
        .map(|_| {
            let words = [0, 1].map(|_| match dice.below(2) {
                1 => (true, dice.pick(&GOOD)),
                _ => (false, dice.pick(&BAD)),
            });
            let texts = words.map(|(_, word)| format!("{} é {word}", dice.pick(&PLAIN)));
            let end = |at: usize| texts[at].chars().count();
            json!({
                "sentence1": texts[0], "start1": end(0) - words[0].1.len(), "end1": end(0),
                "sentence2": texts[1], "start2": end(1) - words[1].1.len(), "end2": end(1),
                "label": words[0].0 == words[1].0,
            })
        })
        .collect()
}

impl Dir {
    /// [`Dir::with_project`] with these four tasks beside `mood`.
    pub fn with_every_kind() -> Self {
        let dir = Self::with_project();
        for (split, count, seed) in [("train", 240, 20), ("dev", 60, 30)] {
            dir.write(
                &format!("data/better/{split}.jsonl"),
                lines(better(count, seed)),
            );
            dir.write(
                &format!("data/alike/{split}.jsonl"),
                lines(alike(count, seed + 1)),
            );
            let mut columns = String::new();
            for sentence in things(count, seed + 2) {
                for (word, tag) in sentence {
                    let _ = writeln!(columns, "{word}\t{tag}");
                }
                columns.push('\n');
            }
            dir.write(&format!("data/things/{split}.conll"), columns);
            let paragraphs = which(count, seed + 3)
                .into_iter()
                .enumerate()
                .map(|(id, row)| {
                    json!({"context": row.context, "qas": [{
                        "id": format!("q{id}"), "question": row.question,
                        "answers": [{"text": row.answer, "answer_start": row.start}],
                    }]})
                });
            let document = json!({"data": [{"paragraphs": paragraphs.collect::<Vec<_>>()}]});
            dir.write(&format!("data/which/{split}.json"), document.to_string());
        }
        for (name, text) in [
            ("better", BETTER),
            ("things", THINGS),
            ("which", WHICH),
            ("alike", ALIKE),
        ] {
            dir.write(&format!("tasks/{name}.toml"), text);
        }
        let tasks = "tasks = [\"mood\", \"better\", \"things\", \"which\", \"alike\"]";
        let config = dir
            .read("run.toml")
            .replace("tasks = [\"mood\", \"order\", \"overlap\"]", tasks);
        dir.write("run.toml", config);
        dir
    }
}

fn lines(rows: Vec<Value>) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

const BETTER: &str = r#"
name = "better"
kind = "multiple-choice"
labels = ["0", "1"]
metrics = ["accuracy"]
format = "jsonl"
replace_text_b = { cause = "kind", effect = "sweet" }

[fields]
key = "idx"
text_a = "premise"
text_b = "question"
choices = ["choice1", "choice2"]
label = "label"

[files]
train = "better/train.jsonl"
dev = "better/dev.jsonl"
"#;

const THINGS: &str = r#"
name = "things"
kind = "tagging"
labels = ["O", "B-thing", "I-thing"]
metrics = ["entity-f1", "accuracy"]
format = "conll"

[files]
train = "things/train.conll"
dev = "things/dev.conll"
"#;

const WHICH: &str = r#"
name = "which"
kind = "span"
metrics = ["em"]
format = "squad"
no_answer = true

[files]
train = "which/train.json"
dev = "which/dev.json"
"#;

const ALIKE: &str = r#"
name = "alike"
kind = "span-pair"
labels = ["false", "true"]
metrics = ["accuracy"]
format = "jsonl"

[fields]
text_a = "sentence1"
text_b = "sentence2"
label = "label"
mentions = [
    { text = "a", start = "start1", end = "end1" },
    { text = "b", start = "start2", end = "end2" },
]

[files]
train = "alike/train.jsonl"
dev = "alike/dev.jsonl"
"#;
