//! What was found out about a task, in tables.

use std::fmt::Write as _;
use std::path::Path;

use camtl_data::TaskSpec;
use camtl_data::check::{SplitCheck, TaskCheck};

use super::{examples, printable};
use crate::cli::TaskCheckArgs;
use crate::table::{PlainTable, percent, thousands};

/// Everything that was found, for people.
pub(super) fn report(
    args: &TaskCheckArgs,
    spec: &TaskSpec,
    encoder: Option<&Path>,
    found: &TaskCheck,
) -> String {
    let mut text = heading(spec);
    if !found.splits.is_empty() {
        let _ = write!(text, "\n{}", counts(found));
        let tables = [
            balance(spec, found),
            words(found),
            questions(found),
            windows(found),
            mentions(found),
        ];
        for table in tables.into_iter().flatten() {
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
        if let Some(examples) = examples::of(spec, found) {
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
    let kind = spec.kind.about();
    let texts = spec.kind.examples(spec.is_pair());
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
    let labelled: Vec<(&String, &SplitCheck)> = found
        .splits
        .iter()
        .filter(|(_, summary)| !summary.labels.is_empty())
        .collect();
    if !labelled.is_empty() {
        let (what, option) = spec.kind.label_words();
        let header = std::iter::once(what).chain(labelled.iter().map(|(split, _)| split.as_str()));
        let mut table = PlainTable::new(header);
        for (class, label) in spec.kind.labels().iter().enumerate() {
            let label = format!("{option}{}", printable(label));
            let cells = labelled.iter().map(|(_, summary)| {
                let all = summary.words.map_or(summary.examples, |words| words.count);
                share(summary.labels[class].count, all)
            });
            table.row(std::iter::once(label).chain(cells));
        }
        return Some(table.render());
    }
    by_split(["score", "smallest", "mean", "largest"], found, |summary| {
        let scores = summary.scores?;
        Some(vec![
            format!("{:.3}", scores.min),
            format!("{:.3}", scores.mean),
            format!("{:.3}", scores.max),
        ])
    })
}

/// A count with its share of a whole.
fn share(count: u64, of: u64) -> String {
    let part = percent(count as f64 / of.max(1) as f64);
    format!("{} ({part})", thousands(count))
}

/// A table with a row for each split of which `cells` has some; none if there is no row.
fn by_split<const N: usize>(
    header: [&str; N],
    found: &TaskCheck,
    cells: impl Fn(&SplitCheck) -> Option<Vec<String>>,
) -> Option<String> {
    let mut table = PlainTable::new(header);
    for (split, summary) in &found.splits {
        if let Some(cells) = cells(summary) {
            table.row(std::iter::once(split.clone()).chain(cells));
        }
    }
    (!table.is_empty()).then(|| table.render())
}

fn words(found: &TaskCheck) -> Option<String> {
    let header = [
        "words",
        "all",
        "of a sentence p50",
        "longest sentence",
        "cut off",
    ];
    by_split(header, found, |summary| {
        let words = summary.words?;
        Some(vec![
            thousands(words.count),
            thousands(words.sentence_p50),
            thousands(words.sentence_max),
            words
                .cut
                .map_or_else(|| "-".to_owned(), |cut| share(cut, words.count)),
        ])
    })
}

fn questions(found: &TaskCheck) -> Option<String> {
    let header = [
        "questions",
        "without answer",
        "words of an answer p50",
        "p99",
        "longest",
    ];
    by_split(header, found, |summary| {
        let questions = summary.questions?;
        Some(vec![
            share(questions.without_answer, summary.examples),
            thousands(questions.answer_words_p50),
            thousands(questions.answer_words_p99),
            thousands(questions.answer_words_max),
        ])
    })
}

fn windows(found: &TaskCheck) -> Option<String> {
    let header = [
        "windows",
        "all",
        "most of a question",
        "with an answer",
        "answers in none",
    ];
    by_split(header, found, |summary| {
        let windows = summary.questions?.windows?;
        Some(vec![
            thousands(windows.count),
            thousands(windows.max_per_question),
            share(windows.with_answer, windows.count),
            thousands(windows.answers_lost),
        ])
    })
}

fn mentions(found: &TaskCheck) -> Option<String> {
    let header = ["mentions", "words p50", "p99", "longest", "cut off"];
    by_split(header, found, |summary| {
        let mentions = summary.mentions?;
        Some(vec![
            thousands(mentions.words_p50),
            thousands(mentions.words_p99),
            thousands(mentions.words_max),
            mentions
                .cut
                .map_or_else(|| "-".to_owned(), |cut| share(cut, 2 * summary.examples)),
        ])
    })
}

fn lengths(args: &TaskCheckArgs, found: &TaskCheck) -> Option<String> {
    let over = format!("over {}", args.max_length);
    let header = ["length", "p50", "p90", "p99", "longest", over.as_str()];
    by_split(header, found, |summary| {
        let lengths = summary.lengths?;
        Some(vec![
            thousands(lengths.p50),
            thousands(lengths.p90),
            thousands(lengths.p99),
            thousands(lengths.max),
            percent(lengths.truncated as f64 / summary.examples.max(1) as f64),
        ])
    })
}
