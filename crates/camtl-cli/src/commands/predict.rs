//! `camtl predict`: an answer for every line of the input, in its order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::path::Path;

use camtl_data::kinds::Parts;
use camtl_data::task::TaskSpec;
use camtl_files::OutputFile;
use serde_json::Value;

use crate::answer;
use crate::cli::{LineFormat, PredictArgs};
use crate::engine::Engine;
use crate::failure::{Failure, OrFail, Outcome, SUCCESS};
use crate::request_lines::RequestLines;
use crate::trained::TrainedRun;

/// Lines answered at a time. Fixed, so that the same input gives the same bytes however it arrives.
const CHUNK: usize = 256;

/// Runs the command.
pub(crate) fn run(args: &PredictArgs) -> Outcome {
    check_forms(args)?;
    // An output that cannot be written is refused before the work.
    let unwritable = || {
        let path = args.output.as_deref().unwrap_or(Path::new("-"));
        format!("cannot write {}", path.display())
    };
    let output = match &args.output {
        Some(path) => Some(OutputFile::create(path).or_usage(unwritable)?),
        None => None,
    };
    let engine = Engine::new(TrainedRun::open(&args.run, &args.weights)?);
    let run = engine.run();
    let task = match &args.task {
        Some(name) => Some(run.task_index(name)?),
        None => None,
    };
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
    let lines = match task {
        Some(task) => {
            RequestLines::of_task(reader, &origin, task, &run.specs[task], args.input_format)
        }
        None => RequestLines::mixed(reader, &origin, &run.specs),
    };
    match output {
        None => {
            let mut out = io::stdout().lock();
            answer(&engine, task, lines, chunk, args, &mut out)?;
        }
        Some(mut file) => {
            answer(&engine, task, lines, chunk, args, &mut file)?;
            file.commit().or_work(unwritable)?;
        }
    }
    Ok(SUCCESS)
}

/// Lines of several tasks are JSON objects, in and out.
fn check_forms(args: &PredictArgs) -> Result<(), Failure> {
    if args.task.is_some() {
        return Ok(());
    }
    for (option, format) in [
        ("--format", args.format),
        ("--input-format", args.input_format),
    ] {
        if format == Some(LineFormat::Tsv) {
            return Err(Failure::usage(anyhow::anyhow!(
                "{option} tsv needs --task: tables have the columns of one task"
            ))
            .hint(
                "name a task, or give lines such as \
                 {\"task\": \"mnli\", \"text_a\": \"...\", \"text_b\": \"...\"}",
            ));
        }
    }
    Ok(())
}

/// Answers every line. Lines before a bad one are answered before the error is returned.
fn answer<R: BufRead>(
    engine: &Engine,
    task: Option<usize>,
    mut lines: RequestLines<'_, R>,
    chunk: usize,
    args: &PredictArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let specs = &engine.run().specs;
    let only = task.map(|task| &specs[task]);
    let format = args.format.unwrap_or(match only {
        Some(_) => LineFormat::Tsv,
        None => LineFormat::Jsonl,
    });
    if let Some(spec) = only
        && format == LineFormat::Tsv
        && !args.no_header
    {
        out.write_all(answer::header(spec).as_bytes())?;
    }
    loop {
        let (requests, error) = lines.next_chunk(chunk);
        let done = requests.is_empty();
        if !done {
            let tasks: Vec<usize> = requests.iter().map(|request| request.task).collect();
            let answers = engine.answer(requests)?;
            let mut text = String::new();
            for (task, prediction) in tasks.into_iter().zip(&answers.predictions) {
                let spec = &specs[task];
                match format {
                    LineFormat::Tsv => answer::tsv_line(spec, prediction, &mut text),
                    LineFormat::Jsonl => {
                        let object = match only {
                            Some(_) => answer::json_object(spec, prediction),
                            None => answer::json_with_task(spec, prediction),
                        };
                        text.push_str(&Value::Object(object).to_string());
                        text.push('\n');
                    }
                }
            }
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        match error {
            Some(error) => return Err(Failure::work(error).hint(forms(only))),
            None if done => return Ok(()),
            None => {}
        }
    }
}

/// What input lines look like for a task, or for several.
fn forms(spec: Option<&TaskSpec>) -> &'static str {
    let Some(spec) = spec else {
        return "without --task, lines are JSON objects with task, text_a and, for pairs, text_b; \
                --task says that all lines are for one task";
    };
    match spec.kind.parts() {
        Parts::Options | Parts::Mentions => {
            "lines are the texts and then the options or the numbers of the mentions, with tabs between them, or JSON \
             objects with the task's field names; --input-format says which"
        }
        Parts::Question => {
            "lines are a question and its context with a tab between them, or JSON objects with the task's field \
             names; --input-format says which"
        }
        Parts::Words => {
            "lines are one text each, or JSON objects with text_a or words; --input-format says which"
        }
        Parts::Texts if spec.is_pair() => {
            "lines are two texts with a tab between them, or JSON objects with the task's field \
             names; --input-format says which"
        }
        Parts::Texts => {
            "lines are one text each, or JSON objects with the task's field name; --input-format \
             says which"
        }
    }
}
