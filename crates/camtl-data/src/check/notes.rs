//! What is allowed but worth knowing.

use super::{LabelCount, SplitCheck, TaskCheck};
use crate::task::TaskSpec;

pub(super) fn of(spec: &TaskSpec, found: &TaskCheck) -> Vec<String> {
    let mut notes = Vec::new();
    for (split, path) in &found.absent {
        notes.push(format!("{split}: {} is not there", path.display()));
    }
    if !spec.files.contains_key("train") {
        notes.push("no split `train`: the task can be evaluated, not trained".to_owned());
    }
    if spec.files.contains_key(crate::HOLDOUT) {
        notes.push(format!(
            "a split `{0}`: runs with data.holdout_fraction make one of that name and refuse this file",
            crate::HOLDOUT
        ));
    }
    for (split, summary) in &found.splits {
        let told = of_split(summary);
        notes.extend(told.into_iter().map(|note| format!("{split}: {note}")));
    }
    notes
}

fn of_split(summary: &SplitCheck) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |count: u64, rest: &str| {
        if count > 0 {
            notes.push(format!("{count} {rest}"));
        }
    };
    note(
        summary.skipped_rows,
        "malformed row(s) left out, as the task file says",
    );
    note(
        summary.skipped_labels,
        "row(s) left out for their label, as the task file says",
    );
    note(summary.empty_texts, "text(s) without a single character");
    note(
        summary.words.and_then(|words| words.cut).unwrap_or(0),
        "word(s) beyond --max-length, which count as tagged with the first label",
    );
    note(
        summary.mentions.and_then(|found| found.cut).unwrap_or(0),
        "mention(s) beyond --max-length, wholly or in part; the last token left stands for those that are lost",
    );
    let windows = summary.questions.and_then(|found| found.windows);
    note(
        windows.map_or(0, |windows| windows.answers_lost),
        "question(s) whose answer is whole in no window; a longer --max-length or a smaller `doc_stride` may keep it",
    );
    for LabelCount { label, count } in &summary.labels {
        if *count == 0 && summary.examples > 0 {
            notes.push(format!("label `{label}` does not occur"));
        }
    }
    notes
}
