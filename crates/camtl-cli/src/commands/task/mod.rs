//! `camtl task check`: a task file tried on its data, before anything is trained.

mod examples;
mod tables;

use std::path::{Path, PathBuf};

use camtl_data::check::{CheckOptions, Problem, TaskCheck, check_task};
use camtl_data::tokenize::TextTokenizer;
use camtl_data::{TaskError, TaskSpec};
use serde_json::{Value, json};

use crate::cli::{TaskArgs, TaskCheckArgs, TaskCommand};
use crate::failure::{Failure, OrFail, Outcome, SUCCESS, WORK_FAILED};
use crate::output;

/// Where encoders are kept, below the current folder.
const MODELS: &str = "models";

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
        tables::report(args, &spec, encoder.as_deref(), &found)
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

/// Text from a file without control characters, so that it cannot steer a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
