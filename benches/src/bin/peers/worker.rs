//! camtl's side: the protocol of `benches/peers/worker.py` over our own step.

use std::io::BufRead as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use camtl_benches::step::Training;
use camtl_benches::{peak_memory, reset_peak_memory};
use camtl_ops::{cpu_isa, keep_freed_memory, set_num_threads};
use serde_json::{Value, json};
use tch::Device;

use crate::exchange;

/// First argument of the process.
pub(crate) const COMMAND: &str = "worker";

pub(crate) fn run(folder: &Path, threads: i32) -> anyhow::Result<()> {
    // As the program `camtl` does at its start.
    keep_freed_memory();
    set_num_threads(threads)?;
    let mut training = Training::new(exchange::read_model(folder)?)?;
    let batches = exchange::read_batches(folder)?;
    println!("{}", json!({"ready": format!("camtl, {:?}", cpu_isa())}));
    for line in std::io::stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let op = command["op"].as_str().context("a command without `op`")?;
        if op == "quit" {
            break;
        }
        if op == "memory" {
            let answer = json!({"peak_bytes": peak_memory()});
            reset_peak_memory();
            println!("{answer}");
            continue;
        }
        let name = command["batch"].as_str().unwrap_or_default();
        let sequences = batches
            .get(name)
            .with_context(|| format!("no batch `{name}`"))?;
        let start = Instant::now();
        let loss = match op {
            "loss" => Some(training.loss(&sequences.pack(Device::Cpu)?)?),
            "train" => {
                let dropout = command["dropout"].as_bool().unwrap_or(true);
                Some(training.train(&sequences.pack(Device::Cpu)?, dropout)?)
            }
            "uncertainty" => Some(training.uncertainty(sequences)?),
            "evaluate" => {
                training.evaluate(&sequences.pack(Device::Cpu)?)?;
                None
            }
            other => anyhow::bail!("no operation `{other}`"),
        };
        let seconds = start.elapsed().as_secs_f64();
        println!("{}", json!({"loss": loss, "seconds": seconds}));
    }
    Ok(())
}
