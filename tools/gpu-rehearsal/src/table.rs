//! The two tables of a rehearsal, and what in them is a failure.

use crate::log::{Counts, Steps, Summary, median};

/// A program that has run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub name: &'static str,
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub summary: Summary,
    /// Whether it has to capture graphs.
    pub graphs: bool,
}

impl Outcome {
    /// What is wrong with it, one line each.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match self.code {
            Some(0) => {}
            Some(code) => faults.push(format!("{}: exit code {code}", self.name)),
            None => faults.push(format!("{}: ended by a signal", self.name)),
        }
        if let Some(first) = self.summary.refused.first() {
            faults.push(format!(
                "{}: {} calls refused, the first: {first}",
                self.name,
                self.summary.refused.len()
            ));
        }
        if self.graphs && self.summary.graphs == 0 {
            faults.push(format!("{}: no graph was captured", self.name));
        }
        if self.code == Some(0) && self.summary.counts.launches() == 0 {
            faults.push(format!("{}: nothing was launched", self.name));
        }
        faults
    }
}

/// Right-aligned columns behind a left-aligned first one.
fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column));
        let longest = cells.map(|c| c.chars().count()).max().unwrap_or(0);
        longest.max(head.get(column).map_or(0, |h| h.chars().count()))
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut text = String::new();
        for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            match column {
                0 => text.push_str(&format!("{cell:width$}")),
                _ => text.push_str(&format!("  {cell:>width$}")),
            }
        }
        text.push('\n');
        text
    };
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let mut text = line(&head);
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

/// One line a program.
pub(crate) fn of_runs(outcomes: &[Outcome]) -> String {
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|outcome| {
            let Counts {
                copies,
                waits,
                replays,
                ..
            } = outcome.summary.counts;
            vec![
                outcome.name.to_owned(),
                outcome.code.map_or("signal".into(), |c| c.to_string()),
                outcome.summary.counts.launches().to_string(),
                copies.to_string(),
                waits.to_string(),
                outcome.summary.graphs.to_string(),
                replays.to_string(),
                outcome.summary.refused.len().to_string(),
            ]
        })
        .collect();
    render(
        &[
            "run",
            "exit code",
            "launches",
            "copies",
            "host waits",
            "graphs captured",
            "replays",
            "refused calls",
        ],
        &rows,
    )
}

/// What a log's program does over and over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Repeats {
    /// Training steps, then scoring passes.
    StepsAndPasses,
    /// Updates with the scoring of their candidates.
    Updates,
}

/// One line a kind of step, medians over the log's steps.
pub(crate) fn of_steps(logs: &[(&'static str, Repeats, Steps)]) -> String {
    let mut rows = Vec::new();
    for (name, repeats, steps) in logs {
        let kinds = match repeats {
            Repeats::StepsAndPasses => vec![
                ("training step", &steps.training),
                ("scoring pass", &steps.scoring),
                ("training step, replayed", &steps.training_replays),
                ("scoring pass, replayed", &steps.scoring_replays),
            ],
            Repeats::Updates => vec![
                ("update", &steps.training),
                ("update, replayed", &steps.training_replays),
            ],
        };
        for (kind, all) in kinds {
            let Some(counts) = median(all) else { continue };
            let numbers = [
                counts.launches(),
                counts.own,
                counts.products,
                counts.libtorch,
                counts.copies,
                counts.waits,
                counts.replayed,
            ];
            let mut row = vec![format!("{name}: {kind}")];
            row.extend(numbers.map(|n| n.to_string()));
            rows.push(row);
        }
    }
    render(
        &[
            "median of",
            "launches",
            "camtl",
            "cuBLAS",
            "libtorch",
            "copies",
            "host waits",
            "replayed nodes",
        ],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: Option<i32>, log: &str, graphs: bool) -> Outcome {
        Outcome {
            name: "train, graphs",
            code,
            summary: Summary::of(log),
            graphs,
        }
    }

    #[test]
    fn a_good_run_has_no_fault() {
        let good = outcome(
            Some(0),
            "launch cublasGemmEx\ncaptured cublasGemmEx\ngraph 1\n",
            true,
        );
        assert!(good.faults().is_empty(), "{:?}", good.faults());
        let text = of_runs(&[good]);
        assert!(
            text.starts_with("run            exit code  launches"),
            "{text}"
        );
        assert!(text.lines().all(|l| l.len() <= 100), "{text}");
    }

    #[test]
    fn each_fault_is_named() {
        let refused = "launch cublasGemmEx\nrefused cudaFree: not permitted during a capture\n";
        assert_eq!(
            outcome(Some(1), refused, true).faults(),
            [
                "train, graphs: exit code 1",
                "train, graphs: 1 calls refused, the first: cudaFree: not permitted during a capture",
                "train, graphs: no graph was captured",
            ]
        );
        assert_eq!(
            outcome(None, "", false).faults(),
            ["train, graphs: ended by a signal"]
        );
        assert_eq!(
            outcome(Some(0), "", false).faults(),
            ["train, graphs: nothing was launched"]
        );
    }

    #[test]
    fn steps_that_were_not_met_have_no_line() {
        let step = "launch _ZN5camtl12adamw_kernelE\n";
        let text = of_steps(&[("train", Repeats::Updates, Steps::of(step))]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("train: update  "), "{text}");
    }
}
