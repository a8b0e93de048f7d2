//! `predict` for tasks of every kind: what it answers is what `eval` counts, whatever the form of the input.

mod support;

use serde_json::{Value, json};
use support::Dir;
use support::kinds::{alike, better, things, which};

const SPLIT: (usize, u64) = (60, 30);

fn parsed(text: &str) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(line).collect()
}

/// The answers to lines for one task, as JSON.
fn ask(dir: &Dir, task: &str, lines: &[String]) -> Vec<Value> {
    let arguments = ["predict", "runs/first", "--task", task, "--format", "jsonl"];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ran = dir.run_with_input(arguments, input.as_bytes()).success();
    assert_eq!(ran.stderr, "", "no stray output");
    let answers = parsed(&ran.stdout);
    assert_eq!(answers.len(), lines.len());
    answers
}

fn share(right: impl Iterator<Item = bool>) -> f64 {
    let all: Vec<bool> = right.collect();
    all.iter().filter(|right| **right).count() as f64 / all.len() as f64
}

/// The characters `start..end` of a text.
fn characters(text: &str, answer: &Value) -> String {
    let number = |key: &str| answer[key].as_u64().unwrap_or_else(|| panic!("{answer}")) as usize;
    let (start, end) = (number("start"), number("end"));
    text.chars().skip(start).take(end - start).collect()
}

#[test]
fn answers_are_those_that_eval_counts() {
    let dir = Dir::with_every_kind();
    let set = [
        "--set",
        "train.max_steps=60",
        "--set",
        "train.learning_rate=3e-3",
    ];
    dir.train(
        &[
            &set[..],
            &[
                "--set",
                "sampler.kind=uniform",
                "--set",
                "train.batch_size=16",
            ],
        ]
        .concat(),
    );
    let report = dir.run(["eval", "runs/first", "--json"]).success();
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    let figure = |task: &str, metric: &str| {
        let value = report["tasks"][task][metric].as_f64();
        value.unwrap_or_else(|| panic!("{task} {metric}: {report}"))
    };
    let (count, seed) = SPLIT;
    let mut mixed: Vec<(Value, Value)> = Vec::new();
    let mut mix = |task: &str, request: Value, answer: &Value| {
        let mut request = request;
        request["task"] = json!(task);
        let mut answer = answer.clone();
        answer["task"] = json!(task);
        mixed.push((request, answer));
    };

    // Options: as the task's own rows, as a table, as requests.
    let rows = better(count, seed);
    let answers = ask(
        &dir,
        "better",
        &rows.iter().map(Value::to_string).collect::<Vec<_>>(),
    );
    let right = answers
        .iter()
        .zip(&rows)
        .map(|(a, row)| a["label"].as_str() == Some(&row["label"].to_string()));
    assert_eq!(share(right), figure("better", "accuracy"));
    let cells = |row: &Value, keys: &[&str]| {
        let cell = |key: &&str| {
            row[key]
                .as_str()
                .map_or_else(|| row[key].to_string(), str::to_owned)
        };
        keys.iter().map(cell).collect::<Vec<_>>().join("\t")
    };
    let keys = ["premise", "question", "choice1", "choice2"];
    let table: Vec<String> = rows.iter().map(|row| cells(row, &keys)).collect();
    assert_eq!(ask(&dir, "better", &table), answers);
    for (row, answer) in rows.iter().zip(&answers) {
        let choices = json!([row["choice1"], row["choice2"]]);
        let request = json!({"text_a": row["premise"], "text_b": "cause", "choices": choices});
        mix("better", request, answer);
    }

    // Mentions.
    let rows = alike(count, seed + 1);
    let answers = ask(
        &dir,
        "alike",
        &rows.iter().map(Value::to_string).collect::<Vec<_>>(),
    );
    let right = answers
        .iter()
        .zip(&rows)
        .map(|(a, row)| a["label"].as_str() == Some(&row["label"].to_string()));
    assert_eq!(share(right), figure("alike", "accuracy"));
    let keys = ["sentence1", "sentence2", "start1", "end1", "start2", "end2"];
    let table: Vec<String> = rows.iter().map(|row| cells(row, &keys)).collect();
    assert_eq!(ask(&dir, "alike", &table), answers);
    for (row, answer) in rows.iter().zip(&answers) {
        let mentions = json!([[row["start1"], row["end1"]], [row["start2"], row["end2"]]]);
        let request =
            json!({"text_a": row["sentence1"], "text_b": row["sentence2"], "mentions": mentions});
        mix("alike", request, answer);
    }

    // Tags: as text with odd white space, and as words.
    let rows = things(count, seed + 2);
    let words =
        |row: &[(&'static str, &str)]| row.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    let texts: Vec<String> = rows
        .iter()
        .map(|row| format!("  {}", words(row).join("   ")))
        .collect();
    let answers = ask(&dir, "things", &texts);
    let right = answers.iter().zip(&rows).flat_map(|(answer, row)| {
        let tags = answer["tags"].as_array().expect("tags").clone();
        assert_eq!(tags.len(), row.len());
        tags.into_iter()
            .zip(row.clone())
            .map(|(tag, (_, truth))| tag == truth)
    });
    assert!((share(right) - figure("things", "accuracy")).abs() < 1e-12);
    let mut entities = 0;
    for (answer, text) in answers.iter().zip(&texts) {
        for entity in answer["entities"].as_array().expect("entities") {
            assert_eq!(entity["type"], "thing");
            assert_eq!(entity["text"], characters(text, entity));
            entities += 1;
        }
    }
    assert!(entities > 0, "nothing was found");
    for ((row, text), answer) in rows.iter().zip(&texts).zip(&answers) {
        mix("things", json!({"text_a": text}), answer);
        // The same words, other places.
        let object = json!({"words": words(row)}).to_string();
        let again = ask_tags(&dir, &object, row.len() == 2);
        if let Some(again) = again {
            assert_eq!(again["tags"], answer["tags"]);
        }
    }

    // Answers: the contexts have several windows.
    let rows = which(count, seed + 3);
    let lines: Vec<String> = (rows.iter())
        .map(|row| json!({"question": row.question, "context": row.context}).to_string())
        .collect();
    let answers = ask(&dir, "which", &lines);
    let right = answers
        .iter()
        .zip(&rows)
        .map(|(a, row)| a["answer"] == row.answer);
    assert_eq!(share(right), figure("which", "em"));
    let table: Vec<String> = rows
        .iter()
        .map(|row| format!("{}\t{}", row.question, row.context))
        .collect();
    assert_eq!(ask(&dir, "which", &table), answers);
    for (row, answer) in rows.iter().zip(&answers) {
        assert_eq!(answer["answer"], characters(&row.context, answer));
        let none = answer["no_answer_probability"]
            .as_f64()
            .expect("a probability");
        assert_eq!(answer["answer"] == "", none > 0.5, "{answer}");
        mix(
            "which",
            json!({"text_a": row.question, "text_b": row.context}),
            answer,
        );
    }

    // All of them in one input, in turns.
    let (requests, expected): (Vec<Value>, Vec<Value>) = (0..count)
        .flat_map(|at| mixed.iter().skip(at).step_by(count).cloned())
        .unzip();
    let input: String = requests
        .iter()
        .map(|request| format!("{request}\n"))
        .collect();
    let ran = dir
        .run_with_input(["predict", "runs/first"], input.as_bytes())
        .success();
    assert_eq!(parsed(&ran.stdout), expected);

    // Tables.
    let table = |task: &str, input: &str| {
        let arguments = ["predict", "runs/first", "--task", task];
        dir.run_with_input(arguments, input.as_bytes())
            .success()
            .stdout
    };
    let tags = table("things", "warm river\n");
    assert_eq!(tags.lines().next(), Some("tags"));
    assert_eq!(
        tags.lines().nth(1).map(|line| line.split(' ').count()),
        Some(2)
    );
    let spans = table(
        "which",
        "{\"question\": \"warm\", \"context\": \"warm\\triver\\nroad\"}\n",
    );
    assert_eq!(
        spans.lines().next(),
        Some("answer\tstart\tend\tscore\tp(no answer)")
    );
    assert_eq!(
        spans.lines().nth(1).map(|line| line.split('\t').count()),
        Some(5)
    );
    assert_eq!(
        table("better", "").lines().next(),
        Some("label\tp(0)\tp(1)")
    );
}

/// The answer to an object of `things`; not asked every time, as each is a run of the program.
fn ask_tags(dir: &Dir, object: &str, wanted: bool) -> Option<Value> {
    wanted.then(|| ask(dir, "things", &[object.to_owned()]).remove(0))
}

#[test]
fn what_cannot_be_asked_is_named() {
    let dir = Dir::with_every_kind();
    dir.train(&["--set", "train.max_steps=2"]);
    let mixed = |request: Value, message: &str| {
        let ran = dir.run_with_input(["predict", "runs/first"], format!("{request}\n").as_bytes());
        ran.fails_with(1, &["standard input:1: ", message, "hint:"]);
    };
    mixed(
        json!({"task": "mood", "text_a": "x", "choices": ["a", "b"]}),
        "the request for `mood`, a task of kind classification, has `choices`",
    );
    mixed(
        json!({"task": "better", "text_a": "x", "text_b": "cause", "choices": ["a"]}),
        "has 1 `choices`, expected 2",
    );
    mixed(
        json!({"task": "better", "text_a": "x", "text_b": "cause", "choices": ["a", 3]}),
        "`choices` holds a number, expected texts",
    );
    mixed(
        json!({"task": "better", "text_a": "x", "text_b": "caus", "choices": ["a", "b"]}),
        "`cause`",
    );
    mixed(
        json!({"task": "things", "text_a": "x", "words": ["x"]}),
        "both `words` and `text_a`",
    );
    mixed(json!({"task": "which", "text_a": "x"}), "no `text_b`");
    mixed(
        json!({"task": "alike", "text_a": "abc", "text_b": "é", "mentions": [[0, 3], [0, 2]]}),
        "`mentions`, number 1: ",
    );
    mixed(
        json!({"task": "alike", "text_a": "abc", "text_b": "é", "mentions": [[0, 3]]}),
        "no `mentions` of the form [[start, end], [start, end]]",
    );
    let table = |task: &str, line: &str, message: &str| {
        let arguments = ["predict", "runs/first", "--task", task, "--no-header"];
        let ran = dir.run_with_input(arguments, format!("{line}\n").as_bytes());
        ran.fails_with(1, &["standard input:1: ", message, "hint:"]);
    };
    table("alike", "abc\tdef\t0\t9\t0\t1", "`start1`");
    table("alike", "abc\tdef\tzero\t3\t0\t1", "`start1`");
    table(
        "better",
        "x\tcause\ta",
        "3 tab-separated fields, expected 4",
    );

    // Nothing to read is no crash: an empty context has an empty answer, an empty text no entity.
    let empty = json!({"task": "which", "text_a": "warm", "text_b": ""});
    let blank = json!({"task": "things", "text_a": " "});
    let input = format!("{empty}\n{blank}\n");
    let ran = dir
        .run_with_input(["predict", "runs/first"], input.as_bytes())
        .success();
    let answers = parsed(&ran.stdout);
    assert_eq!(answers[0]["answer"], "", "{ran}");
    assert_eq!(
        (&answers[1]["tags"], &answers[1]["entities"]),
        (&json!([]), &json!([])),
        "{ran}"
    );
}
