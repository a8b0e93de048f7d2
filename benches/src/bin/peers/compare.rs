//! Checks that all systems compute the same, then measures them by turns.

use std::path::Path;

use anyhow::Context as _;
use camtl_benches::Lengths;
use serde_json::json;

use crate::Options;
use crate::exchange::{self, VARIANTS, batch_name};
use crate::process::{Process, System};
use crate::report::{Measured, Report};

/// Losses may differ by this much relative to camtl's.
const TOLERANCE: f64 = 1e-5;
/// After updates they may differ by more: the released optimiser adds its epsilon
/// before the bias correction, which matters where gradients are tiny.
const TOLERANCE_UPDATED: f64 = 1e-3;

/// What is measured: operation of the protocol, and whether it takes candidates.
pub(crate) const STEPS: [(&str, bool); 3] =
    [("train", false), ("uncertainty", true), ("evaluate", false)];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = folder.path();
    exchange::write(folder)?;
    let mut processes = Vec::new();
    for system in System::ALL {
        processes.push(Process::start(system, folder, options)?);
    }
    for process in &processes {
        eprintln!("{}", process.version);
    }
    check_losses(&mut processes)?;

    let mut measured = Vec::new();
    for lengths in [Lengths::Mean40, Lengths::Full128] {
        for (op, candidates) in STEPS {
            measured.push(Measured::new(op, lengths, candidates));
        }
    }
    // The first round warms caches and allocators and is not kept.
    for round in 0..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for case in &mut measured {
            let batch = batch_name(case.lengths, case.candidates, round);
            let mut seconds = [0.0; System::ALL.len()];
            for turn in 0..System::ALL.len() {
                let system = (round + turn) % System::ALL.len();
                // In training a step follows a step. The first of a turn finds caches and threads as the
                // other systems left them; it is not kept.
                processes[system].seconds(case.op, &batch)?;
                seconds[system] = processes[system].seconds(case.op, &batch)?;
            }
            if round > 0 {
                case.seconds.push(seconds);
            }
        }
    }
    let versions = processes.iter().map(|p| p.version.clone()).collect();
    drop(processes);

    let mut peaks = Vec::new();
    for lengths in [Lengths::Mean40, Lengths::Full128] {
        let mut bytes = [None; System::ALL.len()];
        for (place, system) in bytes.iter_mut().zip(System::ALL) {
            *place = peak_of_training(system, lengths, folder, options)?;
        }
        peaks.push((lengths, bytes));
    }
    let report = Report {
        versions,
        threads: options.threads,
        measured,
        peaks,
    };
    report.print();
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", report.json()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Losses before training, and after two updates without dropout.
fn check_losses(processes: &mut [Process]) -> anyhow::Result<()> {
    let mut commands = Vec::new();
    for lengths in [Lengths::Mean40, Lengths::Full128] {
        for (variant, candidates) in (0..VARIANTS).flat_map(|v| [(v, false), (v, true)]) {
            let batch = batch_name(lengths, candidates, variant);
            commands.push(json!({"op": "loss", "batch": batch}));
        }
    }
    for variant in 0..2 {
        let batch = batch_name(Lengths::Mean40, false, variant);
        commands.push(json!({"op": "train", "batch": batch, "dropout": false}));
    }
    let batch = batch_name(Lengths::Mean40, false, 0);
    commands.push(json!({"op": "loss", "batch": batch}));
    let (mut first, mut last, mut worst) = (None, 0.0, [0.0f64; 2]);
    let mut updates = 0;
    for command in &commands {
        let mut losses = Vec::new();
        for process in processes.iter_mut() {
            let loss = process.ask(command)?["loss"].as_f64();
            losses.push(loss.with_context(|| format!("{command} gave no loss"))?);
        }
        let spread = losses
            .iter()
            .map(|loss| ((loss - losses[0]) / losses[0]).abs())
            .fold(0.0, f64::max);
        let tolerance = [TOLERANCE, TOLERANCE_UPDATED][usize::from(updates > 0)];
        anyhow::ensure!(
            spread <= tolerance,
            "the systems do not compute the same: {command} gives the losses {losses:?} \
             (camtl, released, tuned)"
        );
        let worst = &mut worst[usize::from(updates > 0)];
        *worst = worst.max(spread);
        last = losses[0];
        first = first.or(Some(last));
        updates += usize::from(command["op"] == "train");
    }
    let first = first.unwrap_or_default();
    anyhow::ensure!(last < first, "two updates did not lower the loss");
    eprintln!(
        "losses agree to {:.0e} on {} batches, and to {:.0e} after two updates ({first:.4} to {last:.4})",
        worst[0],
        4 * VARIANTS,
        worst[1]
    );
    Ok(())
}

/// Largest resident size of a fresh process during its third training step.
fn peak_of_training(
    system: System,
    lengths: Lengths,
    folder: &Path,
    options: &Options,
) -> anyhow::Result<Option<u64>> {
    let mut process = Process::start(system, folder, options)?;
    for variant in 0..3 {
        if variant == 2 {
            // Forgets the peak of loading.
            process.ask(&json!({"op": "memory"}))?;
        }
        process.seconds("train", &batch_name(lengths, false, variant))?;
    }
    Ok(process.ask(&json!({"op": "memory"}))?["peak_bytes"].as_u64())
}
