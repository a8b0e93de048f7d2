//! Running a batch packed, padded and one by one, and comparing all values.

use camtl_model::{HeadKind, Model, ModelInput, Trace};
use camtl_ops::{HeadsOutput, Packing, Targets};
use tch::{Device, Kind, Tensor, no_grad};

use crate::case::{Batch, Case};
use crate::compare::Report;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Execution {
    /// One batch without padding, sorted by task.
    Packed,
    /// One batch with every sequence at full length, sorted by task.
    Padded,
    /// A batch per sample.
    OneByOne,
}

impl Execution {
    pub(crate) const ALL: [Execution; 3] =
        [Execution::Packed, Execution::Padded, Execution::OneByOne];
}

/// Samples of the reference batch that are computed together.
pub(crate) struct Piece {
    pub(crate) samples: Vec<usize>,
    pub(crate) input: ModelInput,
    pub(crate) targets: Targets,
    /// Rows of the reference's flattened [n·L] tokens that this piece computes.
    pub(crate) rows: Tensor,
}

/// The pieces of `batch` under `execution`.
pub(crate) fn pieces(case: &Case, batch: &Batch, execution: Execution) -> Vec<Piece> {
    let mut order: Vec<usize> = (0..batch.tasks.len()).collect();
    order.sort_by_key(|&sample| batch.tasks[sample]);
    let groups: Vec<Vec<usize>> = match execution {
        Execution::OneByOne => order.into_iter().map(|sample| vec![sample]).collect(),
        _ => vec![order],
    };
    groups
        .into_iter()
        .map(|samples| piece(case, batch, execution, samples))
        .collect()
}

fn piece(case: &Case, batch: &Batch, execution: Execution, samples: Vec<usize>) -> Piece {
    let (mut ids, mut types, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rows, mut starts, mut tasks) = (Vec::new(), vec![0], Vec::new());
    let (mut classes, mut scores) = (Vec::new(), Vec::new());
    for &sample in &samples {
        let computed = match execution {
            Execution::Padded => batch.length,
            _ => batch.lengths[sample],
        };
        for position in 0..computed {
            ids.push(batch.input_ids[sample][position]);
            types.push(batch.token_type_ids[sample][position]);
            positions.push(position as i64);
            rows.push((sample * batch.length + position) as i64);
        }
        starts.push(ids.len() as i64);
        let task = batch.tasks[sample];
        tasks.push(task as i64);
        let label = batch.labels[sample];
        let regression = case.config.tasks[task].kind == HeadKind::Regression;
        classes.push(if regression { 0 } else { label as i64 });
        scores.push(if regression { label as f32 } else { 0.0 });
    }
    let mut packing = Packing::new(&starts, &tasks, Device::Cpu).unwrap();
    if execution == Execution::Padded {
        let keys: Vec<i64> = samples
            .iter()
            .map(|&sample| batch.lengths[sample] as i64)
            .collect();
        packing = packing.with_key_lengths(&keys).unwrap();
    }
    Piece {
        samples,
        input: ModelInput::new(&ids, &types, &positions, packing).unwrap(),
        targets: Targets::new(&classes, &scores, Device::Cpu).unwrap(),
        rows: Tensor::from_slice(&rows),
    }
}

/// Loss weight of every sample: the batch loss is the mean over present tasks of the tasks' means.
pub(crate) fn loss_weights(batch: &Batch) -> Vec<f64> {
    let count = |task: usize| batch.tasks.iter().filter(|&&other| other == task).count();
    let present = (0..=*batch.tasks.iter().max().unwrap())
        .filter(|&task| count(task) > 0)
        .count();
    batch
        .tasks
        .iter()
        .map(|&task| 1.0 / (count(task) * present) as f64)
        .collect()
}

pub(crate) fn check_values(case: &Case, batch: &Batch, execution: Execution, report: &mut Report) {
    let model = case.model(Default::default());
    let mut losses = vec![0.0; batch.tasks.len()];
    let mut entropies = vec![0.0; batch.tasks.len()];
    no_grad(|| {
        for piece in pieces(case, batch, execution) {
            let (output, trace) = model.forward_traced(&piece.input).unwrap();
            let label = |name: &str| format!("{}.{name} {execution:?}", batch.prefix);
            check_trace(case, batch, &model, &piece, &trace, &label, report);
            // First-token tails give the same pooled output.
            let tail = model.forward(&piece.input, None).unwrap();
            let pooled = case.expect(&format!("{}.out.pooled_output", batch.prefix));
            let samples: Vec<i64> = piece.samples.iter().map(|&sample| sample as i64).collect();
            let theirs = pooled.index_select(0, &Tensor::from_slice(&samples));
            report.output(&label("out.pooled_output"), &output.pooled, &theirs, pooled);
            report.output(&label("first-token pooled"), &tail.pooled, &theirs, pooled);

            let heads = model.heads(&tail, Some(&piece.targets), None).unwrap();
            check_logits(case, batch, &piece, &heads, &label, report);
            let loss = heads.loss.as_ref().unwrap().to_kind(Kind::Double);
            for (at, &sample) in piece.samples.iter().enumerate() {
                losses[sample] = loss.double_value(&[at as i64]);
                let classes = case.config.tasks[batch.tasks[sample]].num_outputs as f64;
                entropies[sample] =
                    heads.entropy.double_value(&[at as i64]) / (classes.ln() + 1e-5);
            }
        }
    });
    check_losses(case, batch, execution, &losses, report);
    check_entropies(case, batch, execution, &entropies, report);
}

type Label<'a> = &'a dyn Fn(&str) -> String;

fn check_trace(
    case: &Case,
    batch: &Batch,
    model: &Model,
    piece: &Piece,
    trace: &Trace,
    label: Label<'_>,
    report: &mut Report,
) {
    let mut tokens = |name: String, ours: Option<&Tensor>| {
        let Some(whole) = case.tensor(&format!("{}.{name}", batch.prefix)) else {
            return;
        };
        let Some(ours) = ours else {
            report.fail(format!("{} is not computed", label(&name)));
            return;
        };
        let width = whole.size()[2];
        let theirs = whole.reshape([-1, width]).index_select(0, &piece.rows);
        report.output(&label(&name), ours, &theirs, whole);
    };
    for index in 0..=case.config.encoder.num_hidden_layers as usize {
        tokens(
            format!("out.hidden_states.{index}"),
            trace.hidden_states.get(index),
        );
        tokens(
            format!("dbg.attention_output.{index}"),
            trace.attention_outputs.get(index),
        );
        tokens(
            format!("dbg.hidden_film.{index}"),
            trace.skip_path.get(index),
        );
        tokens(
            format!("dbg.adapter_bottleneck.{index}"),
            trace.adapter_bottleneck.as_ref(),
        );
    }
    tokens(
        "dbg.embedding_output".into(),
        trace.embedding_output.as_ref(),
    );
    tokens("out.sequence_output".into(), trace.sequence_output.as_ref());

    let modulation = model.modulation().unwrap();
    if let Some(whole) = case.tensor(&format!("{}.dbg.task_embedding", batch.prefix)) {
        let vectors = modulation.task_vectors().expect("task vectors");
        for &sample in &piece.samples {
            let ours = vectors.get(batch.tasks[sample] as i64);
            report.output(
                &label("dbg.task_embedding"),
                &ours,
                &whole.get(sample as i64),
                whole,
            );
        }
    }
    for layer in 0..case.config.encoder.num_hidden_layers as usize {
        let name = format!("dbg.cond_attention_bias.{layer}");
        let Some(whole) = case.tensor(&format!("{}.{name}", batch.prefix)) else {
            continue;
        };
        let band = modulation.attention_band(layer).expect("attention band");
        for &sample in &piece.samples {
            let ours = dense(&band.get(batch.tasks[sample] as i64));
            report.output(&label(&name), &ours, &whole.get(sample as i64), whole);
        }
    }
}

/// A band [L, w] as the matrix [L, L] it stands for.
fn dense(band: &Tensor) -> Tensor {
    let (length, width) = band.size2().unwrap();
    let matrix = Tensor::zeros([length, length], (Kind::Float, Device::Cpu));
    for row in 0..length {
        let start = row / width * width;
        let columns = width.min(length - start);
        let mut target = matrix.get(row).narrow(0, start, columns);
        target.copy_(&band.get(row).narrow(0, 0, columns));
    }
    matrix
}

fn check_logits(
    case: &Case,
    batch: &Batch,
    piece: &Piece,
    heads: &HeadsOutput,
    label: Label<'_>,
    report: &mut Report,
) {
    for (task, logits) in &heads.logits {
        let rows = Vec::<i64>::try_from(case.expect(&format!("{}.out.rows.{task}", batch.prefix)))
            .unwrap();
        let whole = case.expect(&format!("{}.out.logits.{task}", batch.prefix));
        let wanted: Vec<i64> = piece
            .samples
            .iter()
            .filter(|&&sample| batch.tasks[sample] == *task)
            .map(|&sample| rows.iter().position(|&row| row == sample as i64).unwrap() as i64)
            .collect();
        let theirs = whole.index_select(0, &Tensor::from_slice(&wanted));
        report.output(
            &label(&format!("out.logits.{task}")),
            logits,
            &theirs,
            whole,
        );
    }
}

fn check_losses(
    case: &Case,
    batch: &Batch,
    execution: Execution,
    losses: &[f64],
    report: &mut Report,
) {
    let label = |name: &str| format!("{}.{name} {execution:?}", batch.prefix);
    let mut compare = |name: &str, ours: &[f64]| {
        if let Some(theirs) = case.tensor(&format!("{}.{name}", batch.prefix)) {
            report.output(&label(name), &Tensor::from_slice(ours), theirs, theirs);
        }
    };
    let tasks = case.config.tasks.len();
    let mut per_task = vec![0.0; tasks];
    for (task, mean) in per_task.iter_mut().enumerate() {
        let own: Vec<f64> = (0..losses.len())
            .filter(|&sample| batch.tasks[sample] == task)
            .map(|sample| losses[sample])
            .collect();
        if !own.is_empty() {
            *mean = own.iter().sum::<f64>() / own.len() as f64;
            compare(&format!("out.loss.{task}"), &[*mean]);
        }
    }
    compare("out.loss_per_task", &per_task);
    let weights = loss_weights(batch);
    let total: f64 = losses
        .iter()
        .zip(&weights)
        .map(|(loss, weight)| loss * weight)
        .sum();
    compare("out.loss", &[total]);
}

fn check_entropies(
    case: &Case,
    batch: &Batch,
    execution: Execution,
    entropies: &[f64],
    report: &mut Report,
) {
    let mean = |task: usize| {
        let own: Vec<f64> = (0..entropies.len())
            .filter(|&sample| batch.tasks[sample] == task)
            .map(|sample| entropies[sample])
            .collect();
        own.iter().sum::<f64>() / own.len() as f64
    };
    let means: Vec<f64> = batch.tasks.iter().map(|&task| mean(task)).collect();
    let largest = means.iter().copied().fold(f64::MIN, f64::max);
    for (name, ours) in [
        ("out.entropy", entropies),
        ("out.entropy_task_mean", &means),
        ("out.entropy_max_task_mean", &[largest]),
    ] {
        let theirs = case.expect(&format!("{}.{name}", batch.prefix));
        let what = format!("{}.{name} {execution:?}", batch.prefix);
        report.output(&what, &Tensor::from_slice(ours), theirs, theirs);
    }
}
