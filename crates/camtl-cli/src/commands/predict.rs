//! `camtl predict`: labels and probabilities for lines of text, in the order of the input.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::path::Path;

use camtl_data::answers::Answer;
use camtl_data::task::{TaskKind, TaskSpec};
use camtl_trainer::predict;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::cli::{LineFormat, PredictArgs};
use crate::failure::{Failure, OrFail, Outcome, SUCCESS};
use crate::text_lines::TextLines;
use crate::trained::TrainedRun;

/// Lines answered at a time. Fixed, so that the same input gives the same bytes however it arrives.
const CHUNK: usize = 256;

/// Runs the command.
pub(crate) fn run(args: &PredictArgs) -> Outcome {
    let run = TrainedRun::open(&args.run, &args.weights)?;
    let task = run.task_index(&args.task)?;
    refuse_other_kinds(&run.specs[task])?;
    let (reader, origin, chunk): (Box<dyn BufRead>, String, usize) = match &args.input {
        Some(path) => {
            let file = File::open(path)
                .or_usage(|| format!("cannot open the input {}", path.display()))?;
            (
                Box::new(BufReader::new(file)),
                path.display().to_string(),
                CHUNK,
            )
        }
        // Someone typing wants each answer at once.
        None if io::stdin().is_terminal() => {
            (Box::new(io::stdin().lock()), "standard input".to_owned(), 1)
        }
        None => (
            Box::new(io::stdin().lock()),
            "standard input".to_owned(),
            CHUNK,
        ),
    };
    let lines = TextLines::new(reader, &origin, &run.specs[task], args.input_format);
    match &args.output {
        None => {
            let mut out = io::stdout().lock();
            answer(&run, task, lines, chunk, args, &mut out)?;
        }
        Some(path) => {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let context = || format!("cannot write {}", path.display());
            let mut file = NamedTempFile::new_in(folder).or_usage(context)?;
            answer(
                &run,
                task,
                lines,
                chunk,
                args,
                &mut io::BufWriter::new(file.as_file_mut()),
            )?;
            file.as_file().sync_all().or_work(context)?;
            crate::staged::readable_by_others(file.as_file()).or_work(context)?;
            file.persist(path).or_work(context)?;
        }
    }
    Ok(SUCCESS)
}

/// Answers every line. Lines before a bad one are answered before the error is returned.
fn answer<R: BufRead>(
    run: &TrainedRun,
    task: usize,
    mut lines: TextLines<R>,
    chunk: usize,
    args: &PredictArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let spec = &run.specs[task];
    if args.format == LineFormat::Tsv && !args.no_header {
        out.write_all(header(spec).as_bytes())?;
    }
    loop {
        let (examples, error) = lines.next_chunk(chunk);
        if !examples.is_empty() {
            let encoded = run
                .tokenizer
                .encode_all(&examples, run.config.data.max_length)?;
            let predictions = predict(&run.model, task, &encoded, run.config.eval.batch_tokens)?;
            let mut text = String::new();
            for prediction in &predictions {
                match args.format {
                    LineFormat::Tsv => tsv_line(spec, prediction, &mut text)?,
                    LineFormat::Jsonl => json_line(spec, prediction, &mut text)?,
                }
            }
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        match error {
            Some(error) => {
                return Err(Failure::work(error).hint(format!(
                    "lines are {}; --input-format says which",
                    forms(spec)
                )));
            }
            None if examples.is_empty() => return Ok(()),
            None => {}
        }
    }
}

/// What input lines look like for a task.
fn forms(spec: &TaskSpec) -> &'static str {
    if spec.is_pair() {
        "two texts with a tab between them, or JSON objects with the task's field names"
    } else {
        "one text each, or JSON objects with the task's field name"
    }
}

fn label_name(spec: &TaskSpec, label: u32) -> String {
    spec.label_name(label)
        .map_or_else(|| label.to_string(), str::to_owned)
}

fn header(spec: &TaskSpec) -> String {
    let mut text = String::new();
    if spec.kind.is_regression() {
        text.push_str("score");
    } else {
        text.push_str("label");
        for label in spec.kind.labels() {
            let _ = write!(text, "\tp({label})");
        }
    }
    text.push('\n');
    text
}

fn tsv_line(spec: &TaskSpec, answer: &Answer, text: &mut String) -> Result<(), Failure> {
    match answer {
        Answer::Class {
            label,
            probabilities,
        } => {
            text.push_str(&label_name(spec, *label));
            for probability in probabilities {
                let _ = write!(text, "\t{probability:.6}");
            }
        }
        Answer::Score(score) => {
            let _ = write!(text, "{score:.6}");
        }
        _ => return Err(other_kind(spec)),
    }
    text.push('\n');
    Ok(())
}

fn json_line(spec: &TaskSpec, answer: &Answer, text: &mut String) -> Result<(), Failure> {
    let value = match answer {
        Answer::Class {
            label,
            probabilities,
        } => {
            let probabilities: Map<String, Value> = (0u32..)
                .zip(probabilities)
                .map(|(class, probability)| (label_name(spec, class), json!(probability)))
                .collect();
            json!({"label": label_name(spec, *label), "probabilities": probabilities})
        }
        Answer::Score(score) => json!({"score": score}),
        _ => return Err(other_kind(spec)),
    };
    let _ = writeln!(text, "{value}");
    Ok(())
}

/// Lines of text do not hold options, words, contexts or mentions.
fn refuse_other_kinds(spec: &TaskSpec) -> Result<(), Failure> {
    match spec.kind {
        TaskKind::Classification { .. } | TaskKind::Regression { .. } => Ok(()),
        _ => Err(other_kind(spec)),
    }
}

fn other_kind(spec: &TaskSpec) -> Failure {
    Failure::usage(anyhow::anyhow!(
        "task `{}` is of kind {}; predict answers classifications and regressions",
        spec.name,
        spec.kind.name()
    ))
    .hint("eval tells the metrics of every kind")
}
