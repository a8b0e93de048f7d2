//! `camtl task check` from outside.

mod support;

use serde_json::Value;
use support::Dir;

const TICKETS: &str = r#"
name = "tickets"
title = "How urgent is a ticket?"
kind = "classification"
labels = ["later", "today"]
metrics = ["f1", "accuracy"]
format = "csv"
skip_labels = ["?"]
fields = { text_a = "subject", text_b = "body", label = "urgency", key = "id" }

[files]
train = "tickets/train.csv"
dev = "tickets/dev.csv"
test = { path = "tickets/test.csv", labelled = false }
"#;
const VOCAB: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfire\nin\nthe\nkitchen\nplease\nrepaint\n.\n";

fn tickets() -> Dir {
    let dir = Dir::new();
    dir.write("tickets.toml", TICKETS);
    dir.write(
        "data/tickets/train.csv",
        "id,subject,body,urgency\nt1,Fire,in the kitchen.,today\nt2,repaint,the kitchen please,later\n\
         t3,please,repaint,later\nt4,the,kitchen,?\n",
    );
    dir.write(
        "data/tickets/dev.csv",
        "id,subject,body,urgency\nd1,fire,fire,today\n",
    );
    dir.write("models/someone/tiny/vocab.txt", VOCAB);
    dir.write(
        "models/someone/tiny/tokenizer_config.json",
        "{\"do_lower_case\": true}",
    );
    dir
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_sound_task_is_summed_up() {
    let dir = tickets();
    let ran = dir
        .run(["task", "check", "tickets.toml", "--max-length", "7"])
        .success();
    let words = [
        "tickets (How urgent is a ticket?): classification, 2 labels, pairs of texts; metrics f1, accuracy",
        "1 (33.3 %)",
        "2 (66.7 %)",
        "Tokens of models/someone/tiny:",
        "over 7",
        "row 0, key t1: today",
        // [CLS] fire [SEP] in the kitchen . [SEP] has one token too many.
        "    [CLS] fire [SEP] in the kitchen [SEP]\n",
        "note: train: 1 row(s) left out for their label",
        "note: dev: label `later` does not occur",
        "test.csv is not there",
        "No problems.",
    ];
    for text in words {
        assert!(ran.stdout.contains(text), "lacks {text:?}\n{ran}");
    }

    let ran = dir
        .run([
            "task",
            "check",
            "tickets.toml",
            "--max-length",
            "7",
            "--json",
        ])
        .success();
    let found = json(&ran.stdout);
    assert_eq!(found["sound"], true);
    let train = &found["splits"]["train"];
    assert_eq!(
        (&train["rows"], &train["examples"], &train["skipped_labels"]),
        (&4.into(), &3.into(), &1.into())
    );
    assert_eq!(
        train["labels"],
        serde_json::json!([{"label": "later", "count": 2}, {"label": "today", "count": 1}])
    );
    assert_eq!(
        train["lengths"],
        serde_json::json!({"p50": 7, "p90": 8, "p99": 8, "max": 8, "truncated": 1})
    );
    assert_eq!(
        train["first"][1]["token_type_ids"],
        serde_json::json!([0, 0, 0, 1, 1, 1, 1])
    );
    assert_eq!(found["encoder"], "models/someone/tiny");
}

#[test]
fn every_problem_is_told_with_file_and_line() {
    let dir = tickets();
    dir.write(
        "data/tickets/train.csv",
        "id,subject,body,urgency\nt1,a,b,tody\nt2,a\nt3,a,b,today\nt4,a,b,never\n",
    );
    dir.write(
        "data/tickets/dev.csv",
        "id,subject,text,urgency\nd1,a,b,today\n",
    );
    let ran = dir.run(["task", "check", "tickets.toml"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let words = [
        "data/tickets/dev.csv:1: the header has no column `body`",
        "data/tickets/train.csv:2: column `urgency` (position 3): unknown label `tody`; expected `later` or `today` (did you mean `today`?)",
        "data/tickets/train.csv:3: 2 comma-separated column(s), expected 4",
        "data/tickets/train.csv:5: column `urgency` (position 3): unknown label `never`",
        "4 problems.",
    ];
    for text in words {
        assert!(ran.stdout.contains(text), "lacks {text:?}\n{ran}");
    }
    let ran = dir.run([
        "task",
        "check",
        "tickets.toml",
        "--max-problems",
        "2",
        "--json",
    ]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let found = json(&ran.stdout);
    assert_eq!(
        (
            found["problems"].as_array().map(Vec::len),
            &found["more_problems"]
        ),
        (Some(2), &2.into())
    );
    assert_eq!(
        (&found["problems"][1]["line"], &found["sound"]),
        (&2.into(), &false.into())
    );
}

#[test]
fn a_task_file_with_mistakes_fails_with_their_place() {
    let dir = tickets();
    dir.write("bad.toml", TICKETS.replace("labels =", "lables ="));
    dir.run(["task", "check", "bad.toml"])
        .fails_with(1, &["bad.toml:5:1", "did you mean `labels`"]);
    let ran = dir.run(["task", "check", "bad.toml", "--json"]);
    assert_eq!(
        (ran.code, &json(&ran.stdout)["problems"][0]["line"]),
        (Some(1), &5.into()),
        "{ran}"
    );
    dir.run(["task", "check", "none.toml"])
        .fails_with(2, &["cannot read the task file none.toml"]);
}

#[test]
fn data_and_encoder_are_found_or_missed_with_a_remedy() {
    let dir = tickets();
    let ran = dir.run(["task", "check", "tickets.toml", "--data-dir", "elsewhere"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stdout.contains("none of its files is below elsewhere"),
        "{ran}"
    );
    dir.run(["task", "check", "tickets.toml", "--encoder", "someone/big"])
        .fails_with(
            2,
            &[
                "no encoder someone/big",
                "hint: give a folder with a tokenizer.json",
            ],
        );
    let named = dir
        .run(["task", "check", "tickets.toml", "--encoder", "someone/tiny"])
        .success();
    assert!(
        named.stdout.contains("Tokens of models/someone/tiny:"),
        "{named}"
    );
    std::fs::remove_dir_all(dir.path("models")).expect("remove the models");
    let ran = dir.run(["task", "check", "tickets.toml"]).success();
    assert!(
        ran.stdout.contains("No lengths: no encoder is in models"),
        "{ran}"
    );
    assert!(ran.stdout.contains("    in the kitchen.\n"), "{ran}");
}

#[test]
fn multirc_and_scores_are_shown_too() {
    let dir = tickets();
    dir.write(
        "reading.toml",
        "name = \"reading\"\nkind = \"classification\"\nlabels = [\"0\", \"1\"]\nmetrics = [\"f1\"]\nformat = \"multirc\"\n\
         [files]\ntrain = \"reading.jsonl\"\n",
    );
    dir.write(
        "data/reading.jsonl",
        "{\"idx\": 3, \"passage\": {\"text\": \"fire\", \"questions\": [{\"question\": \"the kitchen\", \"idx\": 5, \
         \"answers\": [{\"text\": \"please\", \"idx\": 8, \"label\": 1}]}]}}\n",
    );
    let ran = dir.run(["task", "check", "reading.toml"]).success();
    assert!(
        ran.stdout
            .contains("key 3-5-8: 1\n    [CLS] fire [SEP] the kitchen please [SEP]\n"),
        "{ran}"
    );
    dir.write(
        "scores.toml",
        "name = \"scores\"\nkind = \"regression\"\nrange = [0.0, 5.0]\nmetrics = [\"pearson\"]\nformat = \"tsv\"\nheader = false\n\
         columns = 2\nfields = { text_a = 0, label = 1 }\n[files]\ntrain = \"scores.tsv\"\n",
    );
    dir.write("data/scores.tsv", "fire\t1\nkitchen\t4\n");
    let ran = dir.run(["task", "check", "scores.toml"]).success();
    for text in [
        "regression from 0 to 5, single texts",
        "1.000",
        "2.500",
        "4.000",
    ] {
        assert!(ran.stdout.contains(text), "lacks {text:?}\n{ran}");
    }
}

/// The whole answer of `task check` on a task file and the text of its split `train`.
fn shown(task: &str, text: &str, more: &[&str]) -> String {
    let dir = tickets();
    dir.write("task.toml", task);
    dir.write("data/rows", text);
    let arguments = ["task", "check", "task.toml"];
    dir.run(arguments.iter().chain(more)).success().stdout
}

#[test]
fn every_kind_is_shown_in_a_form_that_can_be_read() {
    let head = |kind: &str, labels: &str, metric: &str, format: &str| {
        format!(
            "name = \"t\"\nkind = \"{kind}\"\n{labels}\nmetrics = [\"{metric}\"]\nformat = \"{format}\"\nfiles = {{ train = \"rows\" }}\n"
        )
    };
    let holds = |text: &str, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "lacks {part:?}\n{text}");
        }
    };
    let two = "labels = [\"0\", \"1\"]";
    let choices = shown(
        &format!(
            "{}fields = {{ text_a = \"p\", choices = [\"a\", \"b\"], label = \"l\" }}\n",
            head("multiple-choice", two, "accuracy", "jsonl")
        ),
        "{\"p\": \"fire\", \"a\": \"in the kitchen\", \"b\": \"please repaint\", \"l\": 1}\n",
        &[],
    );
    holds(
        &choices,
        &[
            "t: multiple choice of 2, texts with options; metrics accuracy\n",
            "option 0",
            "1 (100.0 %)",
            "  row 0: 1\n    [CLS] fire [SEP] in the kitchen [SEP]\n    [CLS] fire [SEP] please repaint [SEP]\n",
        ],
    );
    let tags = shown(
        &head(
            "tagging",
            "labels = [\"O\", \"B-room\"]",
            "entity-f1",
            "conll",
        ),
        "fire O\nin O\nthe O\nkitchen B-room\n",
        &["--max-length", "5"],
    );
    holds(
        &tags,
        &[
            "t: tagging, 2 tags, sentences; metrics entity_f1\n",
            "B-room  1 (25.0 %)",
            "1 (25.0 %)\n\nTokens of",
            "  row 0\n    [CLS] fire in the [SEP]\n",
            "note: train: 1 word(s) beyond --max-length",
        ],
    );
    holds(
        &shown(
            &head(
                "tagging",
                "labels = [\"O\", \"B-room\"]",
                "entity-f1",
                "conll",
            ),
            "the O\nkitchen B-room\n",
            &[],
        ),
        &["    [CLS] the kitchen/B-room [SEP]\n"],
    );
    let context = "{\"data\": [{\"paragraphs\": [{\"context\": \"please repaint the kitchen\", \"qas\": [\
        {\"id\": \"q\", \"question\": \"repaint\", \"answers\": [{\"text\": \"the kitchen\", \"answer_start\": 15}]},\
        {\"id\": \"r\", \"question\": \"fire\", \"answers\": []}]}]}]}";
    let spans = shown(
        &head("span", "no_answer = true", "qa-f1", "squad"),
        context,
        &["--max-length", "7"],
    );
    holds(
        &spans,
        &[
            "t: span or no answer, questions on a context; metrics qa_f1\n",
            "1 (50.0 %)",
            "  row 0, key q, window 2 of 2: the kitchen\n    [CLS] repaint [SEP] «the kitchen» [SEP]\n",
            "  row 1, key r, window 1 of 2: no answer\n",
        ],
    );
    let mentions = shown(
        &format!(
            "{}[fields]\ntext_a = \"x\"\nlabel = \"l\"\nmentions = [{{ word = \"i\", span = \"s\" }}, {{ word = \"j\", span = \"u\" }}]\n",
            head("span-pair", two, "accuracy", "jsonl")
        ),
        "{\"x\": \"please repaint the kitchen\", \"i\": 1, \"s\": \"repaint\", \"j\": 2, \"u\": \"the kitchen\", \"l\": 0}\n",
        &[],
    );
    holds(
        &mentions,
        &[
            "t: pair of mentions, 2 labels, single texts; metrics accuracy\n",
            "0 (0.0 %)",
            "    [CLS] please «repaint» «the kitchen» [SEP]\n",
        ],
    );
}
