//! The result of the quickstart: a table for people, `summary.json` for programs.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::methods::MethodResult;
use super::plan::{BATCH, Method, Plan};
use super::suite::{Suite, WarmStart};
use crate::failure::{Failure, OrFail};
use crate::output;
use crate::table::{PlainTable, percent, score, thousands};

/// The methods side by side.
pub(super) struct Comparison {
    seed: u64,
    threads: usize,
    warm_start: WarmStart,
    /// Task, its metrics in its own order, and its sizes (train, test).
    rows: Vec<(String, Vec<&'static str>, usize, usize)>,
    methods: Vec<MethodResult>,
    sample: String,
}

impl Comparison {
    /// Puts the results together.
    pub(super) fn new(
        plan: &Plan,
        suite: &Suite,
        warm_start: WarmStart,
        methods: Vec<MethodResult>,
    ) -> Result<Self, Failure> {
        let rows = suite
            .datasets
            .iter()
            .map(|dataset| {
                let size = |split: &str| dataset.splits.get(split).map_or(0, |split| split.len());
                let metrics = dataset
                    .spec
                    .metrics
                    .iter()
                    .map(|metric| metric.name())
                    .collect();
                (
                    dataset.spec.name.clone(),
                    metrics,
                    size("train"),
                    size("test"),
                )
            })
            .collect();
        Ok(Self {
            seed: plan.seed,
            threads: plan.threads,
            warm_start,
            rows,
            methods,
            sample: suite.sample.clone(),
        })
    }

    /// `summary.json`: that of the CA-MTL run, with a `comparison` object.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let summary = self
            .methods
            .iter()
            .find(|result| result.method == Method::CaMtl)
            .and_then(|result| result.summary.as_ref())
            .ok_or_else(|| Failure::work(anyhow::anyhow!("CA-MTL left no summary")))?;
        let mut summary = serde_json::to_value(summary)?;
        let methods = self
            .methods
            .iter()
            .map(|result| {
                Ok((
                    result.method.folder().to_owned(),
                    serde_json::to_value(result)?,
                ))
            })
            .collect::<Result<Map<String, Value>, serde_json::Error>>()?;
        summary["comparison"] = json!({
            "split": "test",
            "seed": self.seed,
            "threads": self.threads,
            "batch_size": BATCH,
            "warm_start": {
                "steps": self.warm_start.steps,
                "loss": self.warm_start.loss,
                "accuracy": self.warm_start.accuracy,
                "seconds": self.warm_start.seconds,
            },
            "methods": methods,
        });
        let path = folder.join("summary.json");
        let text = serde_json::to_string_pretty(&summary)? + "\n";
        std::fs::write(&path, text).or_work(|| format!("cannot write {}", path.display()))
    }

    /// The table, what it means and what to do next.
    pub(super) fn render(&self, folder: &Path, took: Duration) -> String {
        let best = |value: &dyn Fn(&MethodResult) -> Option<f64>| {
            self.methods.iter().filter_map(value).max_by(f64::total_cmp)
        };
        let mut table = PlainTable::new(
            ["held-out scores"]
                .into_iter()
                .chain(Method::ALL.iter().map(|method| method.title())),
        );
        let mut scores = |name: String, value: &dyn Fn(&MethodResult) -> Option<f64>| {
            let best = best(value);
            let cells = self.methods.iter().map(|result| match value(result) {
                Some(found) if Some(found) == best => format!("*{}", score(found)),
                Some(found) => score(found),
                None => "-".to_owned(),
            });
            table.row(std::iter::once(name).chain(cells));
        };
        for (task, metrics, _, _) in &self.rows {
            for metric in metrics {
                scores(format!("{task} {metric}"), &|result| {
                    result.runs.tasks.get(task)?.get(*metric).copied()
                });
            }
        }
        scores("average over tasks".to_owned(), &|result| result.average);
        table.rule();
        let mut figures = |name: &str, value: &dyn Fn(&MethodResult) -> String| {
            table.row(std::iter::once(name.to_owned()).chain(self.methods.iter().map(value)));
        };
        figures("task σ", &|result| {
            result.task_sigma.map_or_else(|| "-".to_owned(), score)
        });
        figures("updates", &|result| thousands(result.runs.steps));
        figures("gradient examples", &|result| {
            thousands(result.runs.gradient_examples)
        });
        figures("scored examples", &|result| {
            thousands(result.scored_examples)
        });
        figures("distinct data used", &|result| {
            percent(result.runs.distinct_fraction)
        });
        figures("models", &|result| thousands(result.runs.models));
        figures("parameters", &|result| {
            thousands(result.runs.total_parameters)
        });
        figures("trained parameters", &|result| {
            thousands(result.runs.trained_parameters)
        });
        figures("trained per task", &|result| {
            format!("{:.1} %", result.runs.trained_per_task_percent)
        });
        figures("seconds", &|result| format!("{:.0}", result.seconds));

        let sizes: Vec<String> = self
            .rows
            .iter()
            .map(|(task, _, train, test)| format!("{task} {train}/{test}"))
            .collect();
        let command = output::command();
        let run = folder.join(Method::CaMtl.folder());
        format!(
            "{}\n\
             * best of its row. Average: mean of each task's first metric. Task σ: spread over all metrics.\n\
             Examples (train/held out): {}.\n\
             All start from the same encoder ({} steps of masked-language modelling, {:.0} s). One seed ({}), a toy\n\
             suite: differences of a few points are noise. MT-Uncertainty chooses its gradient examples by\n\
             scoring candidates without a gradient (half of its updates explore at random); scored ones are counted apart.\n\
             {:.0} s in all; everything is in {}.\n\
             next: echo {} | {command} predict {} --task sentiment\n",
            table.render(),
            sizes.join(", "),
            thousands(self.warm_start.steps),
            self.warm_start.seconds,
            self.seed,
            took.as_secs_f64(),
            folder.display(),
            quoted(&self.sample),
            run.display(),
        )
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
