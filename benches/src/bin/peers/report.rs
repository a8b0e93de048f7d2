//! The table and its JSON form.

use camtl_benches::Lengths;
use serde_json::{Value, json};

use crate::process::System;

/// Times of one kind of step: one row per round, one column per system.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) op: &'static str,
    pub(crate) lengths: Lengths,
    pub(crate) candidates: bool,
    pub(crate) seconds: Vec<[f64; System::ALL.len()]>,
}

impl Measured {
    pub(crate) fn new(op: &'static str, lengths: Lengths, candidates: bool) -> Self {
        Measured {
            op,
            lengths,
            candidates,
            seconds: Vec::new(),
        }
    }

    fn seconds_of(&self, system: usize) -> Vec<f64> {
        self.seconds.iter().map(|row| row[system]).collect()
    }

    /// How many times as long as camtl a system took, round by round.
    fn ratios_of(&self, system: usize) -> Vec<f64> {
        self.seconds
            .iter()
            .map(|row| row[system] / row[0])
            .collect()
    }
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) versions: Vec<String>,
    pub(crate) threads: usize,
    pub(crate) measured: Vec<Measured>,
    /// Peak resident bytes of a training step, by system.
    pub(crate) peaks: Vec<(Lengths, [Option<u64>; System::ALL.len()])>,
}

impl Report {
    pub(crate) fn print(&self) {
        let rounds = self.measured.first().map_or(0, |m| m.seconds.len());
        println!(
            "MiniLM shapes, batch 32, 4 tasks, {} threads; medians of {rounds} rounds, \
             ratios within a round (quartiles)",
            self.threads
        );
        println!("{}", self.versions.join("; "));
        println!(
            "{:28}{:>10}{:>11}{:>10}   {:20} tuned / camtl",
            "", "camtl", "released", "tuned", "released / camtl"
        );
        for case in &self.measured {
            let name = format!("{}, {}", case.lengths.name(), title(case.op));
            let [ours, released, tuned] =
                [0, 1, 2].map(|system| 1e3 * quantile(&case.seconds_of(system), 0.5));
            println!(
                "{name:28}{ours:7.0} ms{released:8.0} ms{tuned:7.0} ms   {:20} {}",
                ratio(&case.ratios_of(1)),
                ratio(&case.ratios_of(2))
            );
        }
        for (lengths, bytes) in &self.peaks {
            let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1_048_576.0);
            let name = format!("{}, peak memory", lengths.name());
            match bytes.map(mib) {
                [Some(ours), Some(released), Some(tuned)] => println!(
                    "{name:28}{ours:6.0} MiB{released:7.0} MiB{tuned:6.0} MiB   {:<20.2} {:.2}",
                    released / ours,
                    tuned / ours
                ),
                _ => println!("{name:28}not known on this system"),
            }
        }
    }

    pub(crate) fn json(&self) -> Value {
        let steps: Vec<Value> = self
            .measured
            .iter()
            .map(|case| {
                let mut step = json!({"step": title(case.op), "lengths": case.lengths.name()});
                for (place, system) in System::ALL.into_iter().enumerate() {
                    step[format!("{}_seconds", system.name())] = json!(case.seconds_of(place));
                    if place > 0 {
                        let median = quantile(&case.ratios_of(place), 0.5);
                        step[format!("{}_ratio", system.name())] = json!(median);
                    }
                }
                step
            })
            .collect();
        let memory: Vec<Value> = self
            .peaks
            .iter()
            .map(|(lengths, bytes)| json!({"lengths": lengths.name(), "peak_bytes": bytes}))
            .collect();
        json!({
            "systems": System::ALL.map(System::name),
            "versions": self.versions,
            "threads": self.threads,
            "steps": steps,
            "memory": memory,
        })
    }
}

fn title(op: &str) -> &str {
    match op {
        "train" => "training",
        "uncertainty" => "MT-Uncertainty",
        "evaluate" => "evaluation",
        other => other,
    }
}

fn ratio(values: &[f64]) -> String {
    let [low, median, high] = [0.25, 0.5, 0.75].map(|q| quantile(values, q));
    format!("{median:.2} ({low:.2} to {high:.2})")
}

/// Linear between the two nearest values; 0 of none.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let position = q * last as f64;
    let low = position.floor() as usize;
    let high = (low + 1).min(last);
    sorted[low] + (sorted[high] - sorted[low]) * (position - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_nearest_values() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(
            [0.0, 0.5, 1.0].map(|q| quantile(&values, q)),
            [1.0, 2.5, 4.0]
        );
        assert_eq!(quantile(&values, 0.25), 1.75);
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let mut case = Measured::new("train", Lengths::Mean40, false);
        // The machine was three times slower in the second round.
        case.seconds = vec![[1.0, 5.0, 2.0], [3.0, 15.0, 6.0]];
        assert_eq!(case.ratios_of(1), [5.0, 5.0]);
        assert_eq!(case.ratios_of(2), [2.0, 2.0]);
    }
}
