//! `camtl task check`: a task file tried on its data, before anything is trained.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use camtl_data::check::{CheckOptions, Problem, SplitCheck, TaskCheck, check_task};
use camtl_data::tokenize::TextTokenizer;
use camtl_data::{TaskError, TaskKind, TaskSpec};
use serde_json::{Value, json};

use crate::cli::{TaskArgs, TaskCheckArgs, TaskCommand};
use crate::failure::{Failure, OrFail, Outcome, SUCCESS, WORK_FAILED};
use crate::output;
use crate::table::{PlainTable, percent, thousands};

/// Where encoders are kept, below the current folder.
const MODELS: &str = "models";
/// Columns that the tokens of an example fill.
const WIDTH: usize = 100;

/// Runs the command.
pub(crate) fn run(args: &TaskArgs) -> Outcome {
    match &args.command {
        TaskCommand::Check(args) => check(args),
    }
}

fn check(args: &TaskCheckArgs) -> Outcome {
    let spec = match TaskSpec::from_file(&args.file) {
        Ok(spec) => spec,
        Err(error @ TaskError::Io { .. }) => return Err(Failure::usage(error)),
        Err(error) if args.json => {
            output::result(&serde_json::to_string_pretty(&unusable(args, &error))?)?;
            return Ok(WORK_FAILED);
        }
        Err(error) => {
            return Err(Failure::work(error).hint("docs/tasks.md has every key of a task file"));
        }
    };
    let encoder = match &args.encoder {
        Some(name) => Some(named_encoder(name)?),
        None => first_encoder(Path::new(MODELS)),
    };
    let tokenizer = encoder
        .as_ref()
        .map(|dir| {
            TextTokenizer::from_dir(dir)
                .or_work(|| format!("cannot read the tokenizer in {}", dir.display()))
        })
        .transpose()?;
    let options = CheckOptions {
        max_length: args.max_length,
        max_problems: args.max_problems,
        examples: args.examples,
        ..CheckOptions::new(&args.data_dir)
    };
    let found = check_task(&spec, tokenizer.as_ref(), &options)?;
    let text = if args.json {
        serde_json::to_string_pretty(&as_json(args, encoder.as_deref(), &found)?)?
    } else {
        as_text(args, &spec, encoder.as_deref(), &found)
    };
    output::result(&text)?;
    Ok(if found.is_sound() {
        SUCCESS
    } else {
        WORK_FAILED
    })
}

/// The folder of an encoder given by path, or by its name below `models`.
fn named_encoder(name: &Path) -> Result<PathBuf, Failure> {
    let below = Path::new(MODELS).join(name);
    [name.to_owned(), below.clone()]
        .into_iter()
        .find(|dir| dir.is_dir())
        .ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "no encoder {}: neither it nor {} is a folder",
                name.display(),
                below.display()
            ))
            .hint("give a folder with a tokenizer.json or vocab.txt, or download the model")
        })
}

/// The first folder with a tokenizer in `models/NAME` or `models/OWNER/NAME`, in the order of names.
fn first_encoder(models: &Path) -> Option<PathBuf> {
    let has_tokenizer = |dir: &PathBuf| {
        ["tokenizer.json", "vocab.txt"]
            .iter()
            .any(|file| dir.join(file).is_file())
    };
    folders(models)
        .into_iter()
        .flat_map(|dir| std::iter::once(dir.clone()).chain(folders(&dir)))
        .find(has_tokenizer)
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// A task file that cannot be used, in the form of [`as_json`].
fn unusable(args: &TaskCheckArgs, error: &TaskError) -> Value {
    let line = match error {
        TaskError::Toml(problem) => problem.line.map(|line| line as u64),
        _ => None,
    };
    let problem = Problem {
        split: None,
        file: Some(args.file.display().to_string()),
        line,
        message: error.to_string(),
    };
    json!({"file": args.file, "sound": false, "problems": [problem], "more_problems": 0})
}

fn as_json(
    args: &TaskCheckArgs,
    encoder: Option<&Path>,
    found: &TaskCheck,
) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(found)?;
    if let Value::Object(object) = &mut value {
        object.insert("file".into(), json!(args.file));
        object.insert("data_dir".into(), json!(args.data_dir));
        object.insert("encoder".into(), json!(encoder));
        object.insert("max_length".into(), json!(args.max_length));
        object.insert("sound".into(), json!(found.is_sound()));
    }
    Ok(value)
}

fn as_text(
    args: &TaskCheckArgs,
    spec: &TaskSpec,
    encoder: Option<&Path>,
    found: &TaskCheck,
) -> String {
    let mut text = heading(spec);
    if !found.splits.is_empty() {
        let _ = write!(text, "\n{}", counts(found));
        if let Some(table) = balance(spec, found) {
            let _ = write!(text, "\n{table}");
        }
        match (encoder, lengths(args, found)) {
            (Some(dir), Some(table)) => {
                let _ = write!(text, "\nTokens of {}:\n\n{table}", dir.display());
            }
            (None, _) => {
                text.push_str("\nNo lengths: no encoder is in models; name one with --encoder.\n")
            }
            _ => {}
        }
        if let Some(examples) = examples(found) {
            let _ = write!(text, "\n{examples}");
        }
    }
    if !found.notes.is_empty() {
        text.push('\n');
        for note in &found.notes {
            let _ = writeln!(text, "note: {}", printable(note));
        }
    }
    text.push('\n');
    for problem in &found.problems {
        let _ = writeln!(text, "problem: {}", printable(&problem.message));
    }
    if found.more_problems > 0 {
        let _ = writeln!(
            text,
            "and {} more; --max-problems shows them",
            thousands(found.more_problems)
        );
    }
    let count = found.problems.len() as u64 + found.more_problems;
    let _ = match count {
        0 => writeln!(text, "No problems."),
        1 => writeln!(text, "1 problem."),
        n => writeln!(text, "{} problems.", thousands(n)),
    };
    text
}

fn heading(spec: &TaskSpec) -> String {
    let title = spec
        .title
        .as_deref()
        .map_or_else(String::new, |title| format!(" ({title})"));
    let kind = match &spec.kind {
        TaskKind::Classification { labels } => format!("classification, {} labels", labels.len()),
        TaskKind::Regression { min, max } => format!("regression from {min} to {max}"),
        other => format!("{other:?}"),
    };
    let texts = if spec.is_pair() {
        "pairs of texts"
    } else {
        "single texts"
    };
    let metrics: Vec<&str> = spec.metrics.iter().map(|metric| metric.name()).collect();
    format!(
        "{}{title}: {kind}, {texts}; metrics {}\n",
        spec.name,
        metrics.join(", ")
    )
}

fn counts(found: &TaskCheck) -> String {
    let mut table = PlainTable::new([
        "split",
        "rows",
        "examples",
        "left out",
        "unlabelled",
        "file",
    ]);
    for (split, summary) in &found.splits {
        table.row([
            split.clone(),
            thousands(summary.rows),
            thousands(summary.examples),
            thousands(summary.skipped_rows + summary.skipped_labels),
            thousands(summary.unlabelled),
            summary.path.display().to_string(),
        ]);
    }
    table.render()
}

/// Labels down, splits across; for scores, splits down.
fn balance(spec: &TaskSpec, found: &TaskCheck) -> Option<String> {
    let share = |count: u64, of: u64| {
        format!(
            "{} ({})",
            thousands(count),
            percent(count as f64 / of.max(1) as f64)
        )
    };
    let labelled: Vec<(&String, &SplitCheck)> = found
        .splits
        .iter()
        .filter(|(_, summary)| !summary.labels.is_empty())
        .collect();
    if !labelled.is_empty() {
        let header =
            std::iter::once("label").chain(labelled.iter().map(|(split, _)| split.as_str()));
        let mut table = PlainTable::new(header);
        for (class, label) in spec.kind.labels().iter().enumerate() {
            let cells = labelled
                .iter()
                .map(|(_, summary)| share(summary.labels[class].count, summary.examples));
            table.row(std::iter::once(printable(label)).chain(cells));
        }
        return Some(table.render());
    }
    let mut table = PlainTable::new(["score", "smallest", "mean", "largest"]);
    for (split, summary) in &found.splits {
        if let Some(scores) = summary.scores {
            table.row([
                split.clone(),
                format!("{:.3}", scores.min),
                format!("{:.3}", scores.mean),
                format!("{:.3}", scores.max),
            ]);
        }
    }
    (!table.is_empty()).then(|| table.render())
}

fn lengths(args: &TaskCheckArgs, found: &TaskCheck) -> Option<String> {
    let over = format!("over {}", args.max_length);
    let mut table = PlainTable::new(["length", "p50", "p90", "p99", "longest", over.as_str()]);
    for (split, summary) in &found.splits {
        if let Some(lengths) = summary.lengths {
            table.row([
                split.clone(),
                thousands(lengths.p50),
                thousands(lengths.p90),
                thousands(lengths.p99),
                thousands(lengths.max),
                percent(lengths.truncated as f64 / summary.examples.max(1) as f64),
            ]);
        }
    }
    (!table.is_empty()).then(|| table.render())
}

/// The first examples of `train`, or else of the first split that has some.
fn examples(found: &TaskCheck) -> Option<String> {
    let train = found
        .splits
        .get_key_value("train")
        .filter(|(_, summary)| !summary.first.is_empty());
    let (split, summary) = train.or_else(|| {
        found
            .splits
            .iter()
            .find(|(_, summary)| !summary.first.is_empty())
    })?;
    let mut text = format!("First examples of {split}:\n");
    for example in &summary.first {
        let key = example
            .key
            .as_deref()
            .map_or_else(String::new, |key| format!(", key {}", printable(key)));
        let label = example.label.as_deref().unwrap_or("no label");
        let _ = writeln!(text, "\n  row {}{key}: {}", example.id, printable(label));
        if example.tokens.is_empty() {
            for part in &example.texts {
                text.push_str(&wrapped(part.split_whitespace()));
            }
        } else {
            text.push_str(&wrapped(example.tokens.iter().map(String::as_str)));
        }
    }
    Some(text)
}

/// Words in indented lines of at most [`WIDTH`] characters; a longer word has a line of its own.
fn wrapped<'a>(words: impl Iterator<Item = &'a str>) -> String {
    const INDENT: &str = "    ";
    let mut text = String::new();
    let mut width = 0;
    for word in words {
        let word = printable(word);
        let chars = word.chars().count();
        if width > 0 && width + 1 + chars <= WIDTH {
            text.push(' ');
            width += 1 + chars;
        } else {
            if width > 0 {
                text.push('\n');
            }
            text.push_str(INDENT);
            width = INDENT.len() + chars;
        }
        text.push_str(&word);
    }
    text.push('\n');
    text
}

/// Text from a file without control characters, so that it cannot steer a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_cannot_steer_a_terminal() {
        let words = vec!["abcdefghi"; 21];
        let text = wrapped(words.into_iter());
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [93, 93, 33]);
        assert_eq!(wrapped(["a\u{1b}[2J"].into_iter()), "    a\u{fffd}[2J\n");
    }
}
