//! The layout of a packed batch: which rows of a `[N, D]` tensor belong to which
//! sequence and which task.
//!
//! A batch of `B` sequences is one flat list of `N` tokens. Sequence `b` owns
//! the rows `cu_seqlens[b]..cu_seqlens[b + 1]` and belongs to `tasks[b]`.
//! Sequences of length 0 are allowed; they have no rows and their pooled output
//! is zero.
//!
//! ```
//! use camtl_ops::Packing;
//! use tch::Device;
//!
//! // Three sequences of 2, 3 and 1 tokens; the last one is of task 1.
//! let packing = Packing::new(&[0, 2, 5, 6], &[0, 0, 1], Device::Cpu)?;
//! assert_eq!((packing.num_sequences(), packing.num_tokens(), packing.max_len()), (3, 6, 3));
//! assert_eq!(Vec::<i64>::try_from(packing.token_tasks())?, [0, 0, 0, 0, 0, 1]);
//! assert_eq!(Vec::<i64>::try_from(packing.first_rows())?, [0, 2, 5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cell::OnceCell;

use tch::{Device, Tensor};

use crate::cuda;
use crate::error::{OpsError, Result};
use crate::ffi::operations::{Layout, Operations};
use crate::runtime::{overwrite, upload};
use crate::slow::attention::AttentionPlan;

/// Layout of a packed batch, with the index tensors the operations need.
///
/// Built once per batch and shared by every operation on it.
#[derive(Debug)]
pub struct Packing {
    cu_seqlens: Vec<i64>,
    /// Keys per sequence; equal to the lengths unless set by `with_key_lengths`.
    key_lengths: Vec<i64>,
    tasks: Vec<i64>,
    max_len: i64,
    /// Number of tasks and longest sequence that sizes are made for, instead of the batch's own.
    fixed: Option<(i64, i64)>,
    device: Device,
    /// The next three side by side, so that one copy brings them to the device.
    index: Tensor,
    token_tasks: Tensor,
    sequence_tasks: Tensor,
    first_rows: Tensor,
    plan: OnceCell<AttentionPlan>,
    layout: OnceCell<Layout>,
}

impl Packing {
    /// A layout from sequence starts (`B + 1` entries, the first 0, the last `N`)
    /// and the task of each sequence (`B` entries, at least 0).
    ///
    /// # Errors
    /// [`OpsError::Packing`] if `cu_seqlens` is empty, does not start at 0 or
    /// decreases, if the counts differ, or if a task is negative.
    pub fn new(cu_seqlens: &[i64], tasks: &[i64], device: Device) -> Result<Self> {
        let fail = |message: String| Err(OpsError::Packing { message });
        match cu_seqlens.first() {
            None => {
                return fail("cu_seqlens is empty, expected one entry more than sequences".into());
            }
            Some(0) => {}
            Some(first) => return fail(format!("cu_seqlens[0] is {first}, expected 0")),
        }
        if cu_seqlens.len() != tasks.len() + 1 {
            return fail(format!(
                "cu_seqlens has {} entries for {} tasks, expected one more than tasks",
                cu_seqlens.len(),
                tasks.len()
            ));
        }
        for (b, pair) in cu_seqlens.windows(2).enumerate() {
            if pair[1] < pair[0] {
                return fail(format!(
                    "cu_seqlens[{}] is {}, below cu_seqlens[{b}] = {}",
                    b + 1,
                    pair[1],
                    pair[0]
                ));
            }
        }
        if let Some((b, task)) = tasks.iter().enumerate().find(|(_, task)| **task < 0) {
            return fail(format!("tasks[{b}] is {task}, expected 0 or more"));
        }
        let lengths: Vec<i64> = cu_seqlens
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        let num_tokens = cu_seqlens[cu_seqlens.len() - 1];
        let sequences = tasks.len() as i64;
        let mut index =
            Vec::with_capacity(usize::try_from(num_tokens).unwrap_or_default() + 2 * tasks.len());
        for (length, task) in lengths.iter().zip(tasks) {
            index.extend((0..*length).map(|_| *task));
        }
        index.extend_from_slice(tasks);
        let last_row = (num_tokens - 1).max(0);
        index.extend(
            cu_seqlens[..tasks.len()]
                .iter()
                .map(|start| (*start).min(last_row)),
        );
        let index = upload(&index, device)?;
        Ok(Packing {
            max_len: lengths.iter().copied().max().unwrap_or(0),
            key_lengths: lengths,
            token_tasks: index.f_narrow(0, 0, num_tokens)?,
            sequence_tasks: index.f_narrow(0, num_tokens, sequences)?,
            first_rows: index.f_narrow(0, num_tokens + sequences, sequences)?,
            index,
            cu_seqlens: cu_seqlens.to_vec(),
            tasks: tasks.to_vec(),
            fixed: None,
            device,
            plan: OnceCell::new(),
            layout: OnceCell::new(),
        })
    }

    /// The same layout for padded execution: of sequence `b`, only the first
    /// `key_lengths[b]` rows are keys. The rows beyond are queries (their output
    /// is defined but meaningless) and are attended by nobody.
    ///
    /// # Errors
    /// [`OpsError::Packing`] if a key length is above its sequence's length, or
    /// is 0 in a sequence that has rows.
    pub fn with_key_lengths(mut self, key_lengths: &[i64]) -> Result<Self> {
        if key_lengths.len() != self.tasks.len() {
            return Err(OpsError::Packing {
                message: format!(
                    "{} key lengths for {} sequences",
                    key_lengths.len(),
                    self.tasks.len()
                ),
            });
        }
        for (b, keys) in key_lengths.iter().enumerate() {
            let length = self.length(b);
            if *keys > length || *keys < length.min(1) {
                return Err(OpsError::Packing {
                    message: format!(
                        "key length {keys} of sequence {b} is outside {}..={length}",
                        length.min(1)
                    ),
                });
            }
        }
        self.key_lengths = key_lengths.to_vec();
        self.plan = OnceCell::new();
        self.layout = OnceCell::new();
        Ok(self)
    }

    /// The same layout for a captured graph: the sizes of what GPU kernels read depend on the
    /// number of sequences, on the number of tokens and on these two bounds alone, so that
    /// [`Packing::assign`] can put another batch in its place. Sequences must be sorted by task.
    ///
    /// # Errors
    /// [`OpsError::Packing`] if the batch has a task or a sequence beyond the bounds, or is not
    /// sorted by task.
    pub fn with_bounds(mut self, num_tasks: i64, max_len: i64) -> Result<Self> {
        self.fits((num_tasks, max_len))?;
        self.fixed = Some((num_tasks, max_len));
        self.layout = OnceCell::new();
        Ok(self)
    }

    fn fits(&self, (num_tasks, max_len): (i64, i64)) -> Result<()> {
        let message = if self.num_tasks() > num_tasks {
            format!(
                "task {} in a layout of {num_tasks} tasks",
                self.num_tasks() - 1
            )
        } else if self.max_len > max_len {
            format!(
                "a sequence of {} tokens in a layout of up to {max_len}",
                self.max_len
            )
        } else if !self.tasks.is_sorted() {
            "the sequences of a layout with bounds must be sorted by task".to_owned()
        } else {
            return Ok(());
        };
        Err(OpsError::Packing { message })
    }

    /// Takes over the contents of another batch's layout, in place: index tensors and what GPU
    /// kernels read stay at their addresses, where a captured graph finds them. `other` may lie on
    /// another device.
    ///
    /// # Errors
    /// [`OpsError::Packing`] if the numbers of sequences or tokens differ, or `other` does not keep
    /// the bounds of [`Packing::with_bounds`]; [`OpsError::Libtorch`] if a copy fails.
    ///
    /// ```
    /// use camtl_ops::Packing;
    /// use tch::Device;
    ///
    /// let mut packing = Packing::new(&[0, 2, 5], &[0, 1], Device::Cpu)?.with_bounds(2, 8)?;
    /// let first_rows = packing.first_rows().shallow_clone();
    /// packing.assign(&Packing::new(&[0, 4, 5], &[0, 0], Device::Cpu)?)?;
    /// assert_eq!(Vec::<i64>::try_from(first_rows)?, [0, 4]);
    /// assert!(packing.assign(&Packing::new(&[0, 6], &[0], Device::Cpu)?).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn assign(&mut self, other: &Packing) -> Result<()> {
        let sizes = |of: &Packing| (of.num_sequences(), of.num_tokens());
        if sizes(self) != sizes(other) {
            let ((b, n), (other_b, other_n)) = (sizes(self), sizes(other));
            return Err(OpsError::Packing {
                message: format!(
                    "a layout of {b} sequences and {n} tokens cannot take over one of {other_b} and {other_n}"
                ),
            });
        }
        if let Some(bounds) = self.fixed {
            other.fits(bounds)?;
        }
        overwrite(&mut self.index, &other.index)?;
        self.cu_seqlens.clone_from(&other.cu_seqlens);
        self.key_lengths.clone_from(&other.key_lengths);
        self.tasks.clone_from(&other.tasks);
        self.max_len = other.max_len;
        self.plan = OnceCell::new();
        match (self.layout.get_mut(), self.device) {
            (Some(kept), Device::Cuda(device)) => {
                let plugin = cuda::plugin()?;
                let fresh = Layout::new(
                    plugin.operations(),
                    &other.cu_seqlens,
                    &other.key_lengths,
                    &other.tasks,
                    self.fixed,
                    device,
                )?;
                plugin.assign(kept, &fresh)?;
            }
            _ => self.layout = OnceCell::new(),
        }
        Ok(())
    }

    /// Number of sequences `B`, empty ones included.
    pub fn num_sequences(&self) -> i64 {
        self.tasks.len() as i64
    }

    /// Number of tokens `N`.
    pub fn num_tokens(&self) -> i64 {
        self.cu_seqlens[self.cu_seqlens.len() - 1]
    }

    /// Length of the longest sequence.
    pub fn max_len(&self) -> i64 {
        self.max_len
    }

    /// Start of each sequence, and `N` at the end (`B + 1` entries).
    pub fn cu_seqlens(&self) -> &[i64] {
        &self.cu_seqlens
    }

    /// Keys per sequence (`B` entries).
    pub fn key_lengths(&self) -> &[i64] {
        &self.key_lengths
    }

    /// Task of each sequence (`B` entries).
    pub fn tasks(&self) -> &[i64] {
        &self.tasks
    }

    /// Rows of sequence `b`.
    pub fn length(&self, b: usize) -> i64 {
        self.cu_seqlens[b + 1] - self.cu_seqlens[b]
    }

    /// Device of the index tensors, and of every tensor used with this layout.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Task of each token, `[N]` int64 on the device.
    pub fn token_tasks(&self) -> &Tensor {
        &self.token_tasks
    }

    /// Task of each sequence, `[B]` int64 on the device.
    pub fn sequence_tasks(&self) -> &Tensor {
        &self.sequence_tasks
    }

    /// Row of each sequence's first token, `[B]` int64 on the device. A sequence
    /// without tokens has none; its entry is some valid row of the batch.
    pub fn first_rows(&self) -> &Tensor {
        &self.first_rows
    }

    /// Number of tasks a table of task rows must have at least: one more than
    /// the largest task.
    pub fn num_tasks(&self) -> i64 {
        self.tasks.iter().max().map_or(0, |task| task + 1)
    }

    /// Layout of the sequences' first rows taken alone: `B` sequences of one
    /// token. Dropout masks under this layout are those of the first rows of the
    /// full layout, so a tail computed on first rows only gives the same values.
    ///
    /// # Errors
    /// [`OpsError::Libtorch`] if the device refuses the index tensors.
    pub fn first_only(&self) -> Result<Packing> {
        let starts: Vec<i64> = (0..=self.num_sequences()).collect();
        let first = Packing::new(&starts, &self.tasks, self.device)?;
        match self.fixed {
            Some((tasks, _)) => first.with_bounds(tasks, 1),
            None => Ok(first),
        }
    }

    /// Sequences of each task, tasks in order of first appearance.
    pub(crate) fn task_members(&self) -> Vec<(i64, Vec<i64>)> {
        let mut members: Vec<(i64, Vec<i64>)> = Vec::new();
        for (b, task) in self.tasks.iter().enumerate() {
            match members.iter_mut().rev().find(|(known, _)| known == task) {
                Some((_, rows)) => rows.push(b as i64),
                None => members.push((*task, vec![b as i64])),
            }
        }
        members
    }

    /// Index tensors of the slow attention, made on first use.
    pub(crate) fn plan(&self) -> Result<&AttentionPlan> {
        made_once(&self.plan, || AttentionPlan::new(self))
    }

    /// Layout of the fused kernels of this device, made on first use.
    pub(crate) fn layout(&self, kernels: Operations) -> Result<&Layout> {
        made_once(&self.layout, || {
            let device = match self.device {
                Device::Cuda(index) => index,
                _ => 0,
            };
            Layout::new(
                kernels,
                &self.cu_seqlens,
                &self.key_lengths,
                &self.tasks,
                self.fixed,
                device,
            )
        })
    }
}

/// `OnceCell::get_or_try_init`, which is not stable yet.
fn made_once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}
