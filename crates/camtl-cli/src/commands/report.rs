//! `camtl report`: runs side by side, from what their folders hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use camtl_trainer::event_log::read_events;
use camtl_trainer::run_folder::{EVENTS_FILE, SUMMARY_FILE};
use camtl_trainer::{Event, RunConfig, Summary};
use serde_json::{Value, json};

use crate::cli::ReportArgs;
use crate::failure::{Failure, OrFail, Outcome, SUCCESS};
use crate::table::{PlainTable, percent, score, thousands};
use crate::{output, trained};

/// What is known of one run.
struct Run {
    dir: PathBuf,
    config: RunConfig,
    /// Present once the run is over.
    summary: Option<Summary>,
    /// summary.json as it is, with whatever else was put into it.
    raw: Option<Value>,
    events: Vec<Event>,
}

/// Runs the command.
pub(crate) fn run(args: &ReportArgs) -> Outcome {
    let runs = args
        .runs
        .iter()
        .map(|dir| Run::read(dir))
        .collect::<Result<Vec<_>, _>>()?;
    if args.json {
        let report: Vec<Value> = runs.iter().map(Run::as_json).collect();
        output::result(&serde_json::to_string_pretty(&report)?)?;
    } else {
        output::result(&format!("{}\n{}", overview(&runs), history(&runs)))?;
    }
    Ok(SUCCESS)
}

impl Run {
    fn read(dir: &Path) -> Result<Self, Failure> {
        let config = trained::read_config(dir)?;
        let path = dir.join(SUMMARY_FILE);
        let raw: Option<Value> = match std::fs::read(&path) {
            Ok(bytes) => Some(
                serde_json::from_slice(&bytes)
                    .or_work(|| format!("{} is not JSON", path.display()))?,
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).or_work(|| format!("cannot read {}", path.display())),
        };
        let summary = match &raw {
            Some(raw) => Some(serde_json::from_value(raw.clone()).or_work(|| {
                format!("{} is no summary of this version of camtl", path.display())
            })?),
            None => None,
        };
        let path = dir.join(EVENTS_FILE);
        let events = match path.is_file() {
            true => read_events(&path).or_work(|| format!("cannot read {}", path.display()))?,
            false => Vec::new(),
        };
        Ok(Self {
            dir: dir.to_path_buf(),
            config,
            summary,
            raw,
            events,
        })
    }

    /// The run folder's name, short enough for a column.
    fn name(&self) -> String {
        let name = self.dir.components().next_back();
        name.map_or_else(
            || self.dir.display().to_string(),
            |name| name.as_os_str().to_string_lossy().into_owned(),
        )
    }

    /// `finished`, `stopped early` or how far it got.
    fn state(&self) -> String {
        if self.summary.is_some() {
            let early = self
                .events
                .iter()
                .any(|event| matches!(event, Event::EarlyStopped { .. }));
            return if early { "stopped early" } else { "finished" }.to_owned();
        }
        let step = self
            .events
            .iter()
            .filter_map(Event::step)
            .max()
            .unwrap_or(0);
        format!("at step {}", thousands(step))
    }

    /// The last evaluation's scores: the summary's, or as far as the run got.
    fn scores(&self) -> Option<(&camtl_data::metrics::ScoreTable, Option<f64>, Option<f64>)> {
        match &self.summary {
            Some(summary) => Some((&summary.tasks, summary.average, summary.task_sigma)),
            None => self.events.iter().rev().find_map(|event| match event {
                Event::Evaluated {
                    tasks,
                    average,
                    task_sigma,
                    ..
                } => Some((tasks, Some(*average), Some(*task_sigma))),
                _ => None,
            }),
        }
    }

    fn as_json(&self) -> Value {
        let evaluations: Vec<Value> = self
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Evaluated { step, average, task_sigma, tasks, .. } => {
                    Some(json!({"step": step, "average": average, "task_sigma": task_sigma, "tasks": tasks}))
                }
                _ => None,
            })
            .collect();
        json!({"run": self.dir, "state": self.state(), "summary": self.raw, "evaluations": evaluations})
    }
}

/// One column per run: scores, then parameters, data and speed.
fn overview(runs: &[Run]) -> String {
    let mut table =
        PlainTable::new(std::iter::once(String::new()).chain(runs.iter().map(Run::name)));
    let mut add = |name: &str, value: &dyn Fn(&Run) -> Option<String>| {
        let cells = runs
            .iter()
            .map(|run| value(run).unwrap_or_else(|| "-".to_owned()));
        table.row(std::iter::once(name.to_owned()).chain(cells));
    };
    add("state", &|run| Some(run.state()));
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    for (scores, _, _) in runs.iter().filter_map(Run::scores) {
        for (task, metrics) in scores {
            for metric in metrics.keys() {
                if seen.insert((task, metric)) {
                    rows.push((task, metric));
                }
            }
        }
    }
    rows.sort();
    for (task, metric) in rows {
        add(&format!("{task} {metric}"), &|run| {
            Some(score(*run.scores()?.0.get(task)?.get(metric)?))
        });
    }
    add("average", &|run| Some(score(run.scores()?.1?)));
    add("task σ", &|run| Some(score(run.scores()?.2?)));
    add("sampler", &|run| Some(run.config.sampler.name().to_owned()));
    add("steps", &|run| Some(thousands(run.summary.as_ref()?.steps)));
    add("parameters", &|run| {
        Some(thousands(run.summary.as_ref()?.params.total))
    });
    add("trained", &|run| {
        Some(thousands(run.summary.as_ref()?.params.trained))
    });
    add("trained per task", &|run| {
        Some(format!(
            "{:.2} %",
            run.summary.as_ref()?.params.trained_per_task_percent
        ))
    });
    add("distinct data", &|run| {
        Some(percent(run.summary.as_ref()?.data.distinct_fraction))
    });
    add("gradient data", &|run| {
        Some(percent(run.summary.as_ref()?.data.gradient_fraction))
    });
    add("examples/s", &|run| {
        Some(format!(
            "{:.1}",
            run.summary.as_ref()?.throughput.examples_per_s
        ))
    });
    add("scoring share", &|run| {
        Some(percent(run.summary.as_ref()?.throughput.scoring_share))
    });
    table.render()
}

/// The averages of all evaluations, by step.
fn history(runs: &[Run]) -> String {
    let mut steps = BTreeSet::new();
    let average_at = |run: &Run, wanted: u64| {
        run.events.iter().rev().find_map(|event| match event {
            Event::Evaluated { step, average, .. } if *step == wanted => Some(*average),
            _ => None,
        })
    };
    for event in runs.iter().flat_map(|run| &run.events) {
        if let Event::Evaluated { step, .. } = event {
            steps.insert(*step);
        }
    }
    if steps.is_empty() {
        return "no evaluation yet\n".to_owned();
    }
    let header = std::iter::once("average at step".to_owned()).chain(runs.iter().map(Run::name));
    let mut table = PlainTable::new(header);
    for step in steps {
        let cells = runs
            .iter()
            .map(|run| average_at(run, step).map_or_else(|| "-".to_owned(), score));
        table.row(std::iter::once(thousands(step)).chain(cells));
    }
    table.render()
}
