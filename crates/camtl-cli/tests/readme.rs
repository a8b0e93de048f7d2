//! The README's section on a task of one's own: its files and its commands, as they stand there, on a
//! tiny encoder in the place of the one it names.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Dir, Ran};

const README: &str = include_str!("../../../README.md");

/// The text of the section with this heading.
fn section(heading: &str) -> &'static str {
    let (_, after) = README
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("README.md has no section {heading}"));
    after.split("\n## ").next().unwrap_or(after)
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    text.split(&format!("```{language}\n"))
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block)
        .collect()
}

/// Runs a line of a shell with `camtl` in the place of `cargo xtask`.
fn shell(dir: &Dir, line: &str) -> Ran {
    let camtl = env!("CARGO_BIN_EXE_camtl");
    let output = Command::new("sh")
        .arg("-c")
        .arg(line.replace("cargo xtask", &format!("'{camtl}'")))
        .current_dir(dir.path(""))
        .env_remove("CAMTL_LOG")
        .env("OMP_NUM_THREADS", "2")
        .stdin(Stdio::null())
        .output()
        .expect("run sh");
    Ran::of(output, line.to_owned())
}

#[test]
fn a_task_of_ones_own_works_as_the_readme_says() {
    let text = section("A task of your own");
    let dir = Dir::new();
    // Four layers, because three are frozen; wide enough for the default length.
    dir.write_encoder_as("models/sentence-transformers/all-MiniLM-L6-v2", 128, 4, 128);
    let mut files = Vec::new();
    for block in blocks(text, "toml") {
        let name = block
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "));
        let name = name.expect("the block's first line names its file");
        dir.write(name, block);
        files.push(name);
    }
    assert_eq!(files, ["tickets.toml", "mine.toml"]);
    let mnli = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tasks/mnli.toml");
    let mnli = std::fs::read_to_string(mnli).expect("the shipped task file");
    dir.write("configs/tasks/mnli.toml", mnli);

    for (split, count) in [("train", 24), ("dev", 8)] {
        let mut tickets = String::from("subject,body,urgency\n");
        for row in 0..count {
            let (word, label) = [("warm", "later"), ("harsh", "today")][row % 2];
            let _ = writeln!(tickets, "{word} river,\"a {word}, dull night\",{label}");
        }
        dir.write(&format!("data/tickets/{split}.csv"), tickets);
    }
    let files = [
        "MNLI/train.tsv",
        "MNLI/dev_matched.tsv",
        "MNLI/dev_mismatched.tsv",
    ];
    for (file, count) in files.into_iter().zip([24, 6, 6]) {
        let mut rows = String::from("index\tsentence1\tsentence2\tgold_label\n");
        for row in 0..count {
            let label = ["contradiction", "entailment", "neutral"][row % 3];
            let _ = writeln!(rows, "{row}\tcold river\tstone {label}\t{label}");
        }
        dir.write(&format!("data/glue/{file}"), rows);
    }
    // What the section takes for granted: a model trained on other tasks.
    let other = dir.read("mine.toml").replace("\"tickets.toml\", ", "");
    dir.write("glue.toml", other);
    shell(
        &dir,
        "cargo xtask train glue.toml --run runs/glue --set train.max_steps=2",
    )
    .success();

    let commands: Vec<&str> = blocks(text, "console")
        .into_iter()
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("$ "))
        .collect();
    let [check, train, predict, adapt] = commands.as_slice() else {
        panic!("the section has other commands: {commands:?}");
    };
    let checked = shell(&dir, check).success();
    assert!(checked.stdout.contains("No problems."), "{checked}");
    let trained = shell(&dir, train).success();
    for row in ["urgency  f1", "urgency  accuracy", "mnli     accuracy"] {
        assert!(trained.stdout.contains(row), "{row} is missing\n{trained}");
    }
    let predicted = shell(&dir, predict).success();
    let mut lines = predicted.stdout.lines();
    assert_eq!(lines.next(), Some("label\tp(later)\tp(today)"));
    let label = lines.next().and_then(|line| line.split('\t').next());
    assert!(matches!(label, Some("later" | "today")), "{predicted}");
    assert_eq!(lines.next(), None);
    let adapted = shell(&dir, &format!("{adapt} --set train.max_steps=2")).success();
    assert!(
        adapted.stdout.contains("the outputs of mnli are unchanged"),
        "{adapted}"
    );
    assert!(dir.path("runs/glue-urgency/model.safetensors").is_file());
}
