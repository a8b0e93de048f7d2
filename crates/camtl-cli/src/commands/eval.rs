//! `camtl eval`: every metric of every task of a run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use camtl_data::metrics::{ScoreTable, task_sigma};
use camtl_data::task::TaskSpec;
use camtl_trainer::evaluate::add_scores;
use camtl_trainer::setup::has_split;
use camtl_trainer::{RunConfig, evaluate, summary};
use serde_json::json;

use crate::cli::EvalArgs;
use crate::failure::{Failure, Outcome, SUCCESS};
use crate::trained::TrainedRun;
use crate::{output, scores};

/// Runs the command.
pub(crate) fn run(args: &EvalArgs) -> Outcome {
    let run = TrainedRun::open(&args.run, &args.weights)?;
    let tasks = run.task_indices(&args.tasks)?;
    let mut table = ScoreTable::new();
    let mut examples = BTreeMap::new();
    let mut evaluated: Vec<Cow<'_, TaskSpec>> = Vec::new();
    for task in tasks {
        let spec = &run.specs[task];
        let splits = splits(&run.config, spec, &args.split);
        if splits.is_empty() {
            // Asked for by name, a task without the split is a mistake; among all tasks it is not.
            let problem = format!(
                "task `{}` has no split `{}`; its task file names {}",
                spec.name,
                args.split,
                spec.files.keys().cloned().collect::<Vec<_>>().join(", ")
            );
            if args.tasks.contains(&spec.name) {
                return Err(Failure::usage(anyhow::anyhow!(problem)));
            }
            tracing::warn!("{problem}");
            continue;
        }
        let dataset = run.load(task, &splits, args.data_dir.as_deref())?;
        for split in &splits {
            let result = evaluate(
                &run.model,
                &dataset,
                task,
                split,
                run.config.eval.batch_tokens,
            )?;
            *examples.entry(spec.name.clone()).or_insert(0) += result.examples;
            add_scores(&mut table, &result, &args.split);
        }
        // Its first metric is the one that counts in the average.
        evaluated.push(spec.of_split(&args.split));
    }
    if evaluated.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "no task of {} has a split `{}`",
            args.run.display(),
            args.split
        ))
        .hint("--split names one, e.g. --split dev"));
    }
    let specs: Vec<&TaskSpec> = evaluated.iter().map(AsRef::as_ref).collect();
    let average = summary::average(&table, &specs, run.config.eval.glue_average);
    let sigma = task_sigma(&table)?;
    if args.json {
        let report = json!({
            "run": args.run,
            "split": args.split,
            "tasks": table,
            "examples": examples,
            "average": average,
            "task_sigma": sigma,
        });
        output::result(&serde_json::to_string_pretty(&report)?)?;
    } else {
        let order: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        output::result(&scores::table(&table, &order, average, Some(sigma)))?;
    }
    Ok(SUCCESS)
}

/// The split and its variants: `dev` means `dev` and `dev_mismatched`; `holdout` is what the run held out.
fn splits(config: &RunConfig, spec: &TaskSpec, wanted: &str) -> Vec<String> {
    let variant = format!("{wanted}_");
    if !spec.files.contains_key(wanted) && has_split(config, spec, wanted) {
        return vec![wanted.to_owned()];
    }
    spec.files
        .keys()
        .filter(|name| *name == wanted || name.starts_with(&variant))
        .cloned()
        .collect()
}
