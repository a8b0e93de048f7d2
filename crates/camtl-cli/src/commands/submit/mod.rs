//! `camtl submit`: the files that the GLUE and SuperGLUE servers take.
//!
//! Per split that the task file's `[submission]` names a file, in the form that its extension says: [`tsv`] or
//! [`jsonl`]. Labels are spelled as `[submission]` says; scores are cut to the task's range and have three decimals.

mod jsonl;
mod tsv;

use std::path::PathBuf;

use camtl_data::EncodedSplit;
use camtl_data::answers::Answer;
use camtl_data::task::{Submission, SubmissionFormat, TaskSpec};
use camtl_trainer::predict;

use crate::cli::SubmitArgs;
use crate::failure::{Failure, OrFail, Outcome, SUCCESS};
use crate::output;
use crate::table::{PlainTable, thousands};
use crate::trained::TrainedRun;

/// Splits that a submission cannot do without; others (the diagnostics) are added if they are there.
const NEEDED: [&str; 2] = ["test", "test_mismatched"];

/// A file of the submission.
struct ServerFile {
    name: String,
    text: String,
    predictions: usize,
}

/// Runs the command.
pub(crate) fn run(args: &SubmitArgs) -> Outcome {
    let run = TrainedRun::open(&args.run, &args.weights)?;
    check_destination(args, &run)?;
    let mut files: Vec<ServerFile> = Vec::new();
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
            if let Some(file) = answered(args, &run, task, split, name)? {
                if files.iter().any(|other| other.name == *name) {
                    return Err(Failure::usage(anyhow::anyhow!(
                        "two tasks write the file {name}"
                    )));
                }
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!("no task of {} has a [submission]", args.run.display()))
            .hint("task files name the server's files under [submission]; configs/tasks/cola.toml is an example"));
    }
    let context = || format!("cannot write the submission {}", args.out.display());
    let staged = camtl_files::StagedFolder::create(&args.out).or_work(context)?;
    for file in &files {
        std::fs::write(staged.path().join(&file.name), &file.text).or_work(context)?;
    }
    staged.commit().or_work(context)?;

    let mut table = PlainTable::new(["file", "predictions"]);
    for file in &files {
        table.row([
            args.out.join(&file.name).display().to_string(),
            thousands(file.predictions as u64),
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

/// A split with the model's answers.
struct Answered<'a> {
    spec: &'a TaskSpec,
    submission: &'a Submission,
    split: &'a str,
    /// The split's file.
    path: PathBuf,
    examples: &'a EncodedSplit,
    answers: Vec<Answer>,
}

/// One file; none for an extra split whose data is not there.
fn answered(
    args: &SubmitArgs,
    run: &TrainedRun,
    task: usize,
    split: &str,
    name: &str,
) -> Result<Option<ServerFile>, Failure> {
    let spec = &run.specs[task];
    let data_dir = args.data_dir.as_deref().unwrap_or(&run.config.data.dir);
    let (Some(submission), Some(format), Some(path)) = (
        &spec.submission,
        SubmissionFormat::of(name),
        spec.split_path(data_dir, split),
    ) else {
        // A task file that was read has been checked for these.
        return Err(Failure::work(anyhow::anyhow!(
            "[submission] of task `{}` names `{name}` for a split `{split}`, which cannot be written",
            spec.name
        )));
    };
    if !NEEDED.contains(&split) && !path.is_file() {
        tracing::warn!("{} is not there; its file is left out", path.display());
        return Ok(None);
    }
    let dataset = run.load(task, &[split.to_owned()], args.data_dir.as_deref())?;
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
    let answers = predict(&run.model, task, examples, run.config.eval.batch_tokens)?;
    let answered = Answered {
        spec,
        submission,
        split,
        path,
        examples,
        answers,
    };
    let lines = match format {
        SubmissionFormat::Tsv => tsv::lines(&answered)?,
        SubmissionFormat::Jsonl => jsonl::lines(&answered)?,
        other => {
            return Err(Failure::work(anyhow::anyhow!(
                "{name}: the form {other:?} cannot be written"
            )));
        }
    };
    let header = match format {
        SubmissionFormat::Tsv => tsv::HEADER,
        _ => "",
    };
    Ok(Some(ServerFile {
        name: name.to_owned(),
        predictions: lines.len(),
        text: header.to_owned() + &lines.concat(),
    }))
}

/// What the server is told of a row.
enum Said<'a> {
    /// A label in the server's spelling.
    Label(&'a str),
    /// A score with three decimals.
    Score(String),
}

impl<'a> Answered<'a> {
    /// What is said of an answer to one example.
    fn said(&self, answer: &Answer) -> Result<Said<'a>, Failure> {
        let spec = self.spec;
        match (answer, spec.kind.range()) {
            (Answer::Class { label: class, .. } | Answer::Choice { option: class, .. }, _) => {
                let name = spec.label_name(*class).ok_or_else(|| {
                    Failure::work(anyhow::anyhow!("task `{}` has no class {class}", spec.name))
                })?;
                Ok(Said::Label(self.submission.spelling(name)))
            }
            (Answer::Score(score), Some([min, max])) => {
                Ok(Said::Score(format!("{:.3}", score.clamp(min, max))))
            }
            (Answer::Tags(_) | Answer::Span { .. }, _) => Err(Failure::usage(anyhow::anyhow!(
                "task `{}` is of kind {}, for which the servers' files have no place",
                spec.name,
                spec.kind.name()
            ))),
            (Answer::Score(_), None) => Err(Failure::work(anyhow::anyhow!(
                "task `{}` is of kind {}, but its head answers as another",
                spec.name,
                spec.kind.name()
            ))),
        }
    }
}
