//! How much of the data a run has used (paper section 4.3).

use serde::{Deserialize, Serialize};

use super::{ExampleRef, TaskInfo};
use crate::random::{from_hex, to_hex};

/// What has been selected so far, in total and per task.
///
/// The paper reports "% data used" without its denominator; both readings are here:
/// (a) [`DataUsage::distinct_fraction`], distinct examples ever selected over all examples;
/// (b) [`DataUsage::gradient_fraction`], selected examples with repeats over epochs times all examples.
///
/// ```
/// use camtl_data::sampler::{DataUsage, ExampleRef, TaskInfo};
///
/// let task = TaskInfo { name: "a".into(), train_size: 4, num_outputs: 2, regression: false };
/// let mut usage = DataUsage::new(&[task]);
/// usage.record(&[ExampleRef { task: 0, index: 1 }, ExampleRef { task: 0, index: 3 }], 4);
/// usage.record(&[ExampleRef { task: 0, index: 1 }], 4);
/// assert_eq!(usage.distinct_fraction(), 0.5);
/// assert_eq!(usage.gradient_fraction(1.0), 0.75);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataUsage {
    steps: u64,
    scored: u64,
    tasks: Vec<TaskUsage>,
}

/// What has been selected of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SavedUsage", into = "SavedUsage")]
pub struct TaskUsage {
    name: String,
    size: u32,
    selected: u64,
    distinct: u32,
    /// One bit per example, the lowest of the first byte for example 0.
    seen: Vec<u8>,
}

impl DataUsage {
    /// Nothing selected yet.
    pub fn new(tasks: &[TaskInfo]) -> Self {
        Self {
            steps: 0,
            scored: 0,
            tasks: tasks
                .iter()
                .map(|task| TaskUsage {
                    name: task.name.clone(),
                    size: task.train_size as u32,
                    selected: 0,
                    distinct: 0,
                    seen: vec![0; task.train_size.div_ceil(8)],
                })
                .collect(),
        }
    }

    /// Counts one step that trains on `examples`, chosen from `candidates` scored ones. References outside the tasks are
    /// not counted.
    pub fn record(&mut self, examples: &[ExampleRef], candidates: usize) {
        self.steps += 1;
        self.scored += candidates as u64;
        for example in examples {
            if let Some(task) = self.tasks.get_mut(example.task as usize) {
                task.record(example.index);
            }
        }
    }

    /// Steps counted.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Candidates scored, over all steps.
    pub fn scored(&self) -> u64 {
        self.scored
    }

    /// Examples trained on, repeats included.
    pub fn selected(&self) -> u64 {
        self.tasks.iter().map(|task| task.selected).sum()
    }

    /// Distinct examples trained on.
    pub fn distinct(&self) -> u64 {
        self.tasks.iter().map(|task| u64::from(task.distinct)).sum()
    }

    /// Number of training examples, Σ|D_t|.
    pub fn size(&self) -> u64 {
        self.tasks.iter().map(|task| u64::from(task.size)).sum()
    }

    /// Per task, in the order of the task list.
    pub fn tasks(&self) -> &[TaskUsage] {
        &self.tasks
    }

    /// (a): distinct examples ever selected ÷ Σ|D_t|.
    pub fn distinct_fraction(&self) -> f64 {
        fraction(self.distinct() as f64, self.size() as f64)
    }

    /// (b): gradient examples ÷ (epochs × Σ|D_t|), where `epochs` is the training length so far or planned; 0 if that is
    /// not above 0.
    pub fn gradient_fraction(&self, epochs: f64) -> f64 {
        fraction(self.selected() as f64, epochs * self.size() as f64)
    }

    /// Whether `other` counts the same tasks of the same sizes.
    pub(super) fn same_shape(&self, other: &Self) -> bool {
        self.tasks.len() == other.tasks.len()
            && self
                .tasks
                .iter()
                .zip(&other.tasks)
                .all(|(a, b)| a.name == b.name && a.size == b.size)
    }
}

impl TaskUsage {
    fn record(&mut self, index: u32) {
        if index >= self.size {
            return;
        }
        self.selected += 1;
        let (byte, bit) = ((index / 8) as usize, 1u8 << (index % 8));
        if self.seen[byte] & bit == 0 {
            self.seen[byte] |= bit;
            self.distinct += 1;
        }
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of its training examples, |D_t|.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How many of its examples were trained on, repeats included.
    pub fn selected(&self) -> u64 {
        self.selected
    }

    /// How many distinct ones.
    pub fn distinct(&self) -> u32 {
        self.distinct
    }

    /// Whether example `index` has ever been selected.
    pub fn has_seen(&self, index: u32) -> bool {
        index < self.size && self.seen[(index / 8) as usize] & (1 << (index % 8)) != 0
    }

    /// Distinct examples selected ÷ |D_t|.
    pub fn distinct_fraction(&self) -> f64 {
        fraction(f64::from(self.distinct), f64::from(self.size))
    }

    /// Selected examples with repeats ÷ (epochs × |D_t|); 0 if `epochs` is not above 0.
    pub fn gradient_fraction(&self, epochs: f64) -> f64 {
        fraction(self.selected as f64, epochs * f64::from(self.size))
    }
}

fn fraction(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// [`TaskUsage`] with its bits as hexadecimal digits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedUsage {
    name: String,
    size: u32,
    selected: u64,
    seen: String,
}

impl From<TaskUsage> for SavedUsage {
    fn from(usage: TaskUsage) -> Self {
        Self {
            name: usage.name,
            size: usage.size,
            selected: usage.selected,
            seen: to_hex(&usage.seen),
        }
    }
}

impl TryFrom<SavedUsage> for TaskUsage {
    type Error = String;

    fn try_from(saved: SavedUsage) -> Result<Self, String> {
        let bytes = (saved.size as usize).div_ceil(8);
        let seen = from_hex(&saved.seen)
            .filter(|seen| seen.len() == bytes)
            .ok_or_else(|| {
                format!(
                    "data usage of `{}`: `seen` must have {} hexadecimal digits for {} examples",
                    saved.name,
                    2 * bytes,
                    saved.size
                )
            })?;
        let beyond = !saved.size.is_multiple_of(8)
            && seen
                .last()
                .is_some_and(|last| last >> (saved.size % 8) != 0);
        let distinct: u32 = seen.iter().map(|byte| byte.count_ones()).sum();
        if beyond || u64::from(distinct) > saved.selected {
            return Err(format!(
                "data usage of `{}`: {distinct} distinct examples of {} selected and {} in all do not fit together",
                saved.name, saved.selected, saved.size
            ));
        }
        Ok(Self {
            name: saved.name,
            size: saved.size,
            selected: saved.selected,
            distinct,
            seen,
        })
    }
}
