//! `camtl submit`: the files that the GLUE server takes.
//!
//! Per test split a file named by the task file's `[submission]`, with the header
//! `index<TAB>prediction` and one line per row of the test file, numbered from 0. Labels are spelled
//! as `[submission]` says; scores are cut to the task's range and have three decimals.

use std::fmt::Write as _;

use camtl_data::answers::Answer;
use camtl_data::task::{Submission, TaskKind, TaskSpec};
use camtl_trainer::predict;

use crate::cli::SubmitArgs;
use crate::failure::{Failure, OrFail, Outcome, SUCCESS};
use crate::output;
use crate::staged::StagedFolder;
use crate::table::{PlainTable, thousands};
use crate::trained::TrainedRun;

/// Splits that a submission cannot do without; others (GLUE's diagnostics) are added if they are there.
const NEEDED: [&str; 2] = ["test", "test_mismatched"];

/// Runs the command.
pub(crate) fn run(args: &SubmitArgs) -> Outcome {
    let run = TrainedRun::open(&args.run, &args.weights)?;
    check_destination(args, &run)?;
    let mut files: Vec<(String, String, usize)> = Vec::new();
    for task in run.task_indices(&args.tasks)? {
        let spec = &run.specs[task];
        let Some(submission) = &spec.submission else {
            if args.tasks.contains(&spec.name) {
                return Err(Failure::usage(anyhow::anyhow!(
                    "task `{}` has no [submission] in its task file",
                    spec.name
                )));
            }
            tracing::warn!(
                "task `{}` has no [submission] in its task file and is left out",
                spec.name
            );
            continue;
        };
        for (split, name) in &submission.files {
            if let Some(text) = answers(args, &run, task, split, submission)? {
                if files.iter().any(|(other, _, _)| other == name) {
                    return Err(Failure::usage(anyhow::anyhow!(
                        "two tasks write the file {name}"
                    )));
                }
                let lines = text.lines().count() - 1;
                files.push((name.clone(), text, lines));
            }
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!("no task of {} has a [submission]", args.run.display()))
            .hint("task files name the server's files under [submission]; configs/tasks/cola.toml is an example"));
    }
    let context = || format!("cannot write the submission {}", args.out.display());
    let staged = StagedFolder::new(&args.out).or_work(context)?;
    for (name, text, _) in &files {
        std::fs::write(staged.path().join(name), text).or_work(context)?;
    }
    staged.commit().or_work(context)?;

    let mut table = PlainTable::new(["file", "predictions"]);
    for (name, _, lines) in &files {
        table.row([
            args.out.join(name).display().to_string(),
            thousands(*lines as u64),
        ]);
    }
    output::result(&table.render())?;
    Ok(SUCCESS)
}

/// An earlier submission is replaced; anything else in the folder is somebody's.
fn check_destination(args: &SubmitArgs, run: &TrainedRun) -> Result<(), Failure> {
    let entries = match std::fs::read_dir(&args.out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).or_usage(|| format!("cannot use the folder {}", args.out.display()));
        }
    };
    let ours: Vec<&String> = run
        .specs
        .iter()
        .filter_map(|spec| spec.submission.as_ref())
        .flat_map(|s| s.files.values())
        .collect();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !ours.iter().any(|file| **file == name) {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} holds {name}, which is no file of a submission",
                args.out.display()
            ))
            .hint("choose an empty or new folder with --out"));
        }
    }
    Ok(())
}

/// The text of one file; none for an extra split whose data is not there.
fn answers(
    args: &SubmitArgs,
    run: &TrainedRun,
    task: usize,
    split: &str,
    submission: &Submission,
) -> Result<Option<String>, Failure> {
    let spec = &run.specs[task];
    let data_dir = args.data_dir.as_deref().unwrap_or(&run.config.data.dir);
    let path = spec.split_path(data_dir, split).ok_or_else(|| {
        Failure::work(anyhow::anyhow!(
            "[submission] of task `{}` names a split `{split}` that it does not have",
            spec.name
        ))
    })?;
    if !NEEDED.contains(&split) && !path.is_file() {
        tracing::warn!("{} is not there; its file is left out", path.display());
        return Ok(None);
    }
    let dataset = run.load(task, vec![split.to_owned()], args.data_dir.as_deref())?;
    let examples = dataset.splits.get(split).ok_or_else(|| {
        Failure::work(anyhow::anyhow!(
            "task `{}`: split `{split}` was not read",
            spec.name
        ))
    })?;
    if examples.num_skipped_rows() > 0 {
        return Err(Failure::work(anyhow::anyhow!(
            "{}: {} malformed rows; the server wants an answer for every row",
            path.display(),
            examples.num_skipped_rows()
        ))
        .hint("mend the rows, or download the file again"));
    }
    let predictions = predict(&run.model, task, examples, run.config.eval.batch_tokens)?;
    let mut text = String::from("index\tprediction\n");
    for (index, prediction) in predictions.iter().enumerate() {
        let _ = writeln!(text, "{index}\t{}", spelled(spec, submission, prediction)?);
    }
    Ok(Some(text))
}

fn spelled(spec: &TaskSpec, submission: &Submission, answer: &Answer) -> Result<String, Failure> {
    match (answer, &spec.kind) {
        (Answer::Class { label, .. }, _) => {
            let name = spec.label_name(*label).ok_or_else(|| {
                Failure::work(anyhow::anyhow!("task `{}` has no class {label}", spec.name))
            })?;
            Ok(submission.spelling(name).to_owned())
        }
        (Answer::Score(score), TaskKind::Regression { min, max }) => {
            Ok(format!("{:.3}", score.clamp(*min, *max)))
        }
        (Answer::Choice { option, .. }, _) => {
            let name = spec.label_name(*option).ok_or_else(|| {
                Failure::work(anyhow::anyhow!(
                    "task `{}` has no option {option}",
                    spec.name
                ))
            })?;
            Ok(submission.spelling(name).to_owned())
        }
        (_, TaskKind::Tagging { .. } | TaskKind::Span { .. }) => {
            Err(Failure::usage(anyhow::anyhow!(
                "task `{}` is of kind {}, which the server's table has no place for",
                spec.name,
                spec.kind.name()
            )))
        }
        _ => Err(Failure::work(anyhow::anyhow!(
            "task `{}` is of kind {}, but its head answers as another",
            spec.name,
            spec.kind.name()
        ))),
    }
}
