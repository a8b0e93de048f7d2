//! A grid's results: a table for people, JSON for programs.

use std::fmt::Write as _;

use camtl_data::metrics::GlueRule;
use serde_json::json;

use super::Budget;
use super::grid::Grid;
use super::outcome::{RowOutcome, SeedOutcome};
use crate::cli::ReproduceArgs;
use crate::failure::Failure;
use crate::table::{PlainTable, percent, thousands};

/// Everything that is known of a grid.
pub(super) struct Report<'a> {
    args: &'a ReproduceArgs,
    grid: &'a Grid,
    rows: &'a [RowOutcome],
    budget: &'a Budget,
    /// Tasks that all rows have, in order.
    common: Vec<String>,
    rule: GlueRule,
    encoder: &'a str,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        args: &'a ReproduceArgs,
        grid: &'a Grid,
        rows: &'a [RowOutcome],
        budget: &'a Budget,
    ) -> Self {
        let of_row = |row: &RowOutcome| -> Option<Vec<String>> {
            let seed = row.seeds.first()?;
            Some(seed.specs.iter().map(|spec| spec.name.clone()).collect())
        };
        let mut all = rows.iter().filter_map(of_row);
        let mut common = all.next().unwrap_or_default();
        for tasks in all {
            common.retain(|task| tasks.contains(task));
        }
        let first = grid.rows.first().map(|row| &row.config);
        Self {
            args,
            grid,
            rows,
            budget,
            common,
            rule: first.map_or(GlueRule::Paper, |config| config.eval.glue_average),
            encoder: first.map_or("", |config| config.model.encoder.as_str()),
        }
    }

    fn average(&self, seed: &SeedOutcome) -> Option<f64> {
        seed.average(&self.common, self.rule)
    }

    /// The tables and what they are about.
    pub(super) fn render(&self) -> String {
        let mut text = self.overview();
        text.push('\n');
        text.push_str(&self.by_task());
        let _ = write!(
            text,
            "\nHere: {}{}, encoder {}, {} updates for every row, {}.\n",
            self.args.config.display(),
            match self.args.set.as_slice() {
                [] => String::new(),
                set => format!(" with {}", set.join(", ")),
            },
            self.encoder,
            thousands(self.budget.steps),
            self.seeds(),
        );
        if self.rows.iter().any(|row| {
            row.seeds
                .iter()
                .any(|seed| seed.specs.len() > self.common.len())
        }) {
            let _ = writeln!(
                text,
                "Average and task σ are over the {} tasks that all rows have.",
                self.common.len()
            );
        }
        let _ = writeln!(text, "Paper: {}.", self.grid.source);
        text.push_str(
            "Data: training examples that gave a gradient at least once. Trained: parameters per task, of the plain \
             encoder's.\n",
        );
        text
    }

    fn seeds(&self) -> String {
        let seeds: Vec<String> = self
            .rows
            .first()
            .map(|row| row.seeds.iter().map(|seed| seed.seed.to_string()).collect())
            .unwrap_or_default();
        match seeds.as_slice() {
            [one] => format!("one seed ({one})"),
            many => format!(
                "mean ± standard deviation over the seeds {}",
                many.join(", ")
            ),
        }
    }

    fn overview(&self) -> String {
        let mut table = PlainTable::new([
            "", "average", "paper", "task σ", "paper", "data", "paper", "trained", "models",
        ]);
        for (number, row) in self.rows.iter().enumerate() {
            let name = format!("{} {}", number + 1, row.name);
            let last = row.seeds.last();
            table.row([
                name,
                spread(row.over_seeds(|seed| self.average(seed))),
                cited(row.paper.average),
                spread(row.over_seeds(|seed| seed.task_sigma(&self.common))),
                cited(row.paper.task_sigma),
                spread(row.over_seeds(|seed| Some(seed.runs.distinct_fraction))),
                cited(row.paper.data),
                last.map_or_else(
                    || "-".to_owned(),
                    |seed| percent(seed.runs.trained_per_task_percent / 100.0),
                ),
                last.map_or_else(|| "-".to_owned(), |seed| seed.runs.models.to_string()),
            ]);
        }
        for (name, paper) in &self.grid.cited {
            table.row([
                format!("  {name}"),
                "-".to_owned(),
                cited(paper.average),
                "-".to_owned(),
                cited(paper.task_sigma),
                "-".to_owned(),
                cited(paper.data),
                "-".to_owned(),
                "-".to_owned(),
            ]);
        }
        table.render()
    }

    /// The first metric of every task, rows by their numbers.
    fn by_task(&self) -> String {
        let header = std::iter::once(String::new())
            .chain((1..=self.rows.len()).map(|number| number.to_string()));
        let mut table = PlainTable::new(header);
        let mut tasks: Vec<(String, String)> = Vec::new();
        for row in self.rows {
            for spec in row.seeds.iter().flat_map(|seed| &seed.specs) {
                if !tasks.iter().any(|(name, _)| *name == spec.name) {
                    let metric = spec.metrics.first().map_or("", |metric| metric.name());
                    tasks.push((spec.name.clone(), metric.to_owned()));
                }
            }
        }
        for (task, metric) in tasks {
            let cells = self
                .rows
                .iter()
                .map(|row| spread(row.over_seeds(|seed| seed.score(&task))));
            table.row(std::iter::once(format!("{task} {metric}")).chain(cells));
        }
        table.render()
    }

    /// The same for programs: fractions here, the paper's figures in percent.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let averages: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                let average = row.over_seeds(|seed| self.average(seed));
                let sigma = row.over_seeds(|seed| seed.task_sigma(&self.common));
                json!({
                    "average": average.map(|(mean, _)| mean),
                    "average_deviation": average.and_then(|(_, spread)| spread),
                    "task_sigma": sigma.map(|(mean, _)| mean),
                })
            })
            .collect();
        let rows: Vec<_> = self
            .rows
            .iter()
            .zip(averages)
            .map(|(row, figures)| json!({"row": row, "figures": figures}))
            .collect();
        let value = json!({
            "grid": self.args.grid.name(),
            "config": self.args.config,
            "set": self.args.set,
            "encoder": self.encoder,
            "steps": self.budget.steps,
            "tasks": self.common,
            "rows": rows,
            "paper": self.grid.source,
            "version": env!("CARGO_PKG_VERSION"),
        });
        Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
    }
}

/// A mean and its spread, in percent.
fn spread(value: Option<(f64, Option<f64>)>) -> String {
    match value {
        None => "-".to_owned(),
        Some((mean, None)) => format!("{:.2}", 100.0 * mean),
        Some((mean, Some(deviation))) => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation),
    }
}

/// A figure of the paper.
fn cited(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
