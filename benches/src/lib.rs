//! What the benchmarks share: workloads of known lengths, timings that are kept
//! for a table of ratios at the end, and that table.
//!
//! Criterion measures and stores every case by itself; ratios are taken from the
//! medians of the samples of the same run, because figures of different runs on
//! a shared machine do not compare.

pub mod step;
pub mod updates;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;

/// Sizes of an encoder.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Name in the output.
    pub name: &'static str,
    /// Hidden size.
    pub hidden: i64,
    /// Attention heads.
    pub heads: i64,
    /// Width of the attention band at a length of 128.
    pub width: i64,
}

/// all-MiniLM-L6-v2.
pub const MINILM: Shape = Shape {
    name: "minilm",
    hidden: 384,
    heads: 12,
    width: 43,
};
/// BERT-base.
pub const BASE: Shape = Shape {
    name: "base",
    hidden: 768,
    heads: 12,
    width: 22,
};
/// BERT-large.
pub const LARGE: Shape = Shape {
    name: "large",
    hidden: 1024,
    heads: 16,
    width: 16,
};

/// How long the sequences are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// Spread evenly over 12 to 68: mean 40, as the GLUE tasks have.
    Mean40,
    /// All 128.
    Full128,
}

impl Lengths {
    /// Name in the output.
    pub fn name(self) -> &'static str {
        match self {
            Lengths::Mean40 => "mean40",
            Lengths::Full128 => "full128",
        }
    }

    /// Lengths of `count` sequences, the same in every run.
    pub fn of(self, count: usize) -> Vec<i64> {
        match self {
            Lengths::Full128 => vec![128; count],
            // A stride coprime to 57 visits every length before one comes again.
            Lengths::Mean40 => {
                let last = count.max(2) as i64 - 1;
                (0..count as i64)
                    .map(|n| 12 + (n * 23 % (last + 1)) * 56 / last)
                    .collect()
            }
        }
    }
}

/// Samples of all cases of a run.
#[derive(Debug, Default)]
pub struct Record {
    samples: RefCell<BTreeMap<String, Vec<f64>>>,
}

impl Record {
    /// Lets criterion measure `routine`, and keeps every sample under
    /// `group/case`.
    pub fn measure(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        name: &str,
        case: &str,
        mut routine: impl FnMut(),
    ) {
        let key = format!("{name}/{case}");
        group.bench_function(case, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = Instant::now();
                for _ in 0..iterations {
                    routine();
                }
                let elapsed = start.elapsed();
                let each = elapsed.as_secs_f64() / iterations.max(1) as f64;
                self.samples
                    .borrow_mut()
                    .entry(key.clone())
                    .or_default()
                    .push(each);
                elapsed
            });
        });
    }

    /// Median time of a case, if it was measured.
    pub fn median(&self, name: &str, case: &str) -> Option<Duration> {
        let samples = self.samples.borrow();
        let mut values = samples.get(&format!("{name}/{case}"))?.clone();
        values.sort_unstable_by(f64::total_cmp);
        Some(Duration::from_secs_f64(*values.get(values.len() / 2)?))
    }

    /// Fastest sample of a case, if it was measured.
    pub fn fastest(&self, name: &str, case: &str) -> Option<Duration> {
        let samples = self.samples.borrow();
        let values = samples.get(&format!("{name}/{case}"))?;
        values
            .iter()
            .copied()
            .reduce(f64::min)
            .map(Duration::from_secs_f64)
    }

    /// One line of the table: how many times as fast `case` is as each of
    /// `others`, by medians and by fastest samples. The two agree on a quiet
    /// machine; on a busy one the second says more. Nothing if the case was
    /// filtered out.
    pub fn print_ratios(&self, name: &str, case: &str, others: &[&str]) {
        let (Some(median), Some(fastest)) = (self.median(name, case), self.fastest(name, case))
        else {
            return;
        };
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let mut line = format!(
            "{name:48} {case} {:>9.1} us ({:.1})",
            micros(median),
            micros(fastest)
        );
        for other in others {
            if let (Some(m), Some(f)) = (self.median(name, other), self.fastest(name, other)) {
                let (m, f) = (micros(m) / micros(median), micros(f) / micros(fastest));
                line.push_str(&format!("   {m:6.2} x {other} ({f:.2})"));
            }
        }
        println!("{line}");
    }
}

/// Largest resident size of this process since the last reset, in bytes; `None`
/// where the system does not tell.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

/// Starts the next [`peak_memory`] from what is resident now, where the system
/// allows it; else peaks include what came before.
pub fn reset_peak_memory() {
    // A refusal only makes the figure an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
