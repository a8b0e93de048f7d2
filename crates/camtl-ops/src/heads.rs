//! The tasks' decoders on pooled outputs: logits, loss and entropy in one call.
//!
//! ```
//! use camtl_ops::{Head, Packing, Targets, heads_entropy_loss};
//! use tch::{Device, Kind, Tensor};
//!
//! // Two sequences of a two-class task and one of a regression.
//! let packing = Packing::new(&[0, 1, 2, 3], &[0, 0, 1], Device::Cpu)?;
//! let options = (Kind::Float, Device::Cpu);
//! let pooled = Tensor::zeros([3, 4], options);
//! let (w0, b0) = (Tensor::zeros([2, 4], options), Tensor::zeros([2], options));
//! let (w1, b1) = (Tensor::zeros([1, 4], options), Tensor::ones([1], options));
//! let heads = [
//!     Head { weight: &w0, bias: &b0, regression: false },
//!     Head { weight: &w1, bias: &b1, regression: true },
//! ];
//! let targets = Targets::new(&[0, 1, 0], &[0., 0., 3.], Device::Cpu)?;
//! let output = heads_entropy_loss(&pooled, &heads, &packing, Some(&targets))?;
//! let loss = Vec::<f32>::try_from(output.loss.unwrap())?;
//! assert!((loss[0] - 2f32.ln()).abs() < 1e-6 && loss[2] == 4.0);
//! let entropy = Vec::<f32>::try_from(output.entropy)?;
//! assert!((entropy[1] - 2f32.ln()).abs() < 1e-6 && entropy[2] == 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use tch::{Device, Kind, Tensor};

use crate::error::{OpsError, Result};
use crate::ffi::operations::Operations;
use crate::packing::Packing;
use crate::runtime::upload;
use crate::{check, cuda, fused, slow};

/// A class that means "no label": such a sequence has loss 0 and no gradient.
pub const IGNORED_CLASS: i64 = -100;

/// One task's decoder, `logits = pooled W' + b`.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `[C, D]`.
    pub weight: &'a Tensor,
    /// `[C]`.
    pub bias: &'a Tensor,
    /// Squared error against a score instead of cross-entropy against a class;
    /// `C` is then 1.
    pub regression: bool,
}

/// What the heads should have said, per sequence.
#[derive(Debug)]
pub struct Targets {
    /// Class of each sequence, `[B]` int64; [`IGNORED_CLASS`] for none. Not read
    /// for regressions.
    pub classes: Tensor,
    /// Score of each sequence, `[B]` float32; NaN for none. Not read for
    /// classifications.
    pub scores: Tensor,
}

impl Targets {
    /// Targets on `device`, from one class and one score per sequence.
    ///
    /// # Errors
    /// [`OpsError::Value`] if the counts differ, [`OpsError::Libtorch`] if the
    /// device refuses them.
    pub fn new(classes: &[i64], scores: &[f32], device: Device) -> Result<Self> {
        if classes.len() != scores.len() {
            return Err(OpsError::Value {
                op: "Targets::new",
                message: format!("{} classes and {} scores", classes.len(), scores.len()),
            });
        }
        Ok(Targets {
            classes: upload(classes, device)?,
            scores: upload(scores, device)?,
        })
    }
}

/// What the heads say.
#[derive(Debug)]
pub struct HeadsOutput {
    /// Per task of the batch, in order of first appearance: the task and the
    /// logits `[n_t, C_t]` of its sequences, in batch order; with kernels, views of
    /// one tensor of all heads' logits.
    pub logits: Vec<(usize, Tensor)>,
    /// Loss of each sequence, `[B]`, if targets were given: cross-entropy in nats
    /// or squared error.
    pub loss: Option<Tensor>,
    /// Entropy of each sequence's predicted distribution in nats, `[B]`, without
    /// gradient; 0 for regressions.
    pub entropy: Tensor,
}

/// Applies each sequence's own head.
///
/// `pooled` is `[B, D]`; the task of sequence `b` in `packing` is the index of
/// its head.
///
/// # Errors
/// [`OpsError`] naming the tensor that does not fit, a task without a head, or a
/// class outside its head's range.
pub fn heads_entropy_loss(
    pooled: &Tensor,
    heads: &[Head<'_>],
    packing: &Packing,
    targets: Option<&Targets>,
) -> Result<HeadsOutput> {
    let op = "heads_entropy_loss";
    let sequences = packing.num_sequences();
    let columns = match pooled.size()[..] {
        [b, d] if b == sequences => d,
        _ => {
            return Err(OpsError::shape(
                op,
                "pooled",
                format!("[B={sequences}, D]"),
                pooled,
            ));
        }
    };
    check::floating(op, "pooled", pooled)?;
    check::device(op, "pooled", pooled, packing)?;
    if packing.num_tasks() > heads.len() as i64 {
        return Err(OpsError::Value {
            op,
            message: format!(
                "the batch has task {}, but there are {} heads",
                packing.num_tasks() - 1,
                heads.len()
            ),
        });
    }
    for (task, head) in heads.iter().enumerate() {
        let outputs = match head.weight.size()[..] {
            [c, d] if d == columns && c >= 1 && (c == 1 || !head.regression) => c,
            _ => {
                let outputs = if head.regression { "1" } else { "C" };
                let name = format!("heads[{task}].weight");
                return Err(OpsError::shape(
                    op,
                    &name,
                    format!("[{outputs}, D={columns}]"),
                    head.weight,
                ));
            }
        };
        check::shape(
            op,
            &format!("heads[{task}].bias"),
            head.bias,
            &[("C", outputs)],
        )?;
        check::device(op, &format!("heads[{task}].weight"), head.weight, packing)?;
    }
    if let Some(targets) = targets {
        check::shape(op, "targets.classes", &targets.classes, &[("B", sequences)])?;
        check::kind(op, "targets.classes", &targets.classes, Kind::Int64)?;
        check::shape(op, "targets.scores", &targets.scores, &[("B", sequences)])?;
        check::device(op, "targets.classes", &targets.classes, packing)?;
        check_classes(op, heads, packing, targets)?;
    }
    let tables = heads
        .iter()
        .flat_map(|head| [Some(head.weight), Some(head.bias)]);
    if sequences > 0
        && let Some(kernels) = fused::kernels(pooled, tables, cuda::for_flat)?
    {
        return fused_heads(kernels, pooled, heads, packing, targets).map_err(|e| e.within(op));
    }
    slow::heads_entropy_loss(pooled, heads, packing, targets).map_err(|e| e.within(op))
}

/// The kernels give the logits of all heads side by side; each task's are views of them, or gathered
/// where its sequences lie apart.
fn fused_heads(
    kernels: Operations,
    pooled: &Tensor,
    heads: &[Head<'_>],
    packing: &Packing,
    targets: Option<&Targets>,
) -> Result<HeadsOutput> {
    let targets = targets.map(|targets| (&targets.classes, &targets.scores));
    let (all, entropy, loss) = kernels.heads(pooled, heads, targets, packing.layout(kernels)?)?;
    let mut offsets = vec![0];
    for head in heads {
        offsets.push(offsets[offsets.len() - 1] + head.bias.numel() as i64);
    }
    let mut logits = Vec::new();
    for (task, rows) in packing.task_members() {
        let (first, count) = (rows[0], rows.len() as i64);
        let together = rows
            .iter()
            .enumerate()
            .all(|(at, row)| *row == first + at as i64);
        let of_task = if together {
            all.f_narrow(0, first, count)?
        } else {
            all.f_index_select(0, &upload(&rows, packing.device())?)?
        };
        let at = task as usize;
        logits.push((
            at,
            of_task.f_narrow(1, offsets[at], offsets[at + 1] - offsets[at])?,
        ));
    }
    Ok(HeadsOutput {
        logits,
        loss,
        entropy,
    })
}

/// Every class is one of its head's. Only on the CPU, where reading is free.
fn check_classes(
    op: &'static str,
    heads: &[Head<'_>],
    packing: &Packing,
    targets: &Targets,
) -> Result<()> {
    if packing.device() != Device::Cpu {
        return Ok(());
    }
    let classes = Vec::<i64>::try_from(&targets.classes)?;
    for (b, (class, task)) in classes.iter().zip(packing.tasks()).enumerate() {
        let head = &heads[*task as usize];
        let outputs = head.weight.size()[0];
        if !head.regression && *class != IGNORED_CLASS && !(0..outputs).contains(class) {
            return Err(OpsError::Value {
                op,
                message: format!(
                    "sequence {b} has class {class}, but task {task} has classes 0..{outputs}"
                ),
            });
        }
    }
    Ok(())
}
