//! Which sequences make an example, and what an example's head needs to know beside its tokens.

use camtl_ops::Packing;

use crate::config::{HeadKind, TaskHead};
use crate::error::ModelError;

/// In [`ExampleLayout`]'s numbers of a tagging: a token that is not tagged.
pub const NOT_TAGGED: i64 = -100;

/// In [`ExampleLayout`]'s numbers: a class or a position that is not known.
pub const UNKNOWN: i64 = -1;

/// The E examples of a batch: the sequences of each, and its numbers.
///
/// What the numbers of an example are depends on its task's head; token indices count from the start
/// of the example's sequence:
///
/// | head | sequences | numbers |
/// |---|---|---|
/// | classification, regression | 1 | none |
/// | multiple choice | 2 or more, one per option | any (not read) |
/// | tagging | 1 | one per token: its class, [`UNKNOWN`] to be tagged without a known class, [`NOT_TAGGED`] |
/// | span | 1 | first and last token of the answer ([`UNKNOWN`] if not known, 0 and 0 if there is none), first and last token of the context |
/// | span pair | 1 | start and end of the first stretch, start and end of the second; ends exclusive |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleLayout {
    cu_examples: Vec<i64>,
    extra: Vec<i64>,
    cu_extra: Vec<i64>,
}

impl ExampleLayout {
    /// `cu_examples`: first sequence of each example, and the number of sequences at the end, [E + 1].
    /// `extra`: the numbers of all examples end to end; those of example e are
    /// `cu_extra[e]..cu_extra[e + 1]`, [E + 1].
    ///
    /// # Errors
    /// A list of starts does not begin at 0, decreases, or ends elsewhere than its values do.
    pub fn new(cu_examples: &[i64], extra: &[i64], cu_extra: &[i64]) -> Result<Self, ModelError> {
        for (what, starts) in [("cu_examples", cu_examples), ("cu_extra", cu_extra)] {
            if starts.first() != Some(&0) || starts.windows(2).any(|pair| pair[1] < pair[0]) {
                return Err(ModelError::Input(format!(
                    "{what} must begin with 0 and never decrease"
                )));
            }
        }
        if cu_examples.len() != cu_extra.len() {
            return Err(ModelError::Input(format!(
                "cu_examples has {} entries, cu_extra {}; both need one more than examples",
                cu_examples.len(),
                cu_extra.len()
            )));
        }
        if cu_extra.last() != Some(&(extra.len() as i64)) {
            return Err(ModelError::Input(format!(
                "cu_extra does not end at {}, the number of entries of extra",
                extra.len()
            )));
        }
        Ok(ExampleLayout {
            cu_examples: cu_examples.to_vec(),
            extra: extra.to_vec(),
            cu_extra: cu_extra.to_vec(),
        })
    }

    /// `sequences` examples of one sequence each, without numbers.
    pub fn one_each(sequences: usize) -> Self {
        ExampleLayout {
            cu_examples: (0..=sequences as i64).collect(),
            extra: Vec::new(),
            cu_extra: vec![0; sequences + 1],
        }
    }

    /// Number of examples E.
    pub fn len(&self) -> usize {
        self.cu_examples.len() - 1
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn num_sequences(&self) -> i64 {
        self.cu_examples[self.len()]
    }

    /// The first sequence of an example and how many it has.
    pub(crate) fn sequences(&self, example: usize) -> (i64, i64) {
        let start = self.cu_examples[example];
        (start, self.cu_examples[example + 1] - start)
    }

    pub(crate) fn extra(&self, example: usize) -> &[i64] {
        &self.extra[self.cu_extra[example] as usize..self.cu_extra[example + 1] as usize]
    }

    /// The examples of each task, tasks in order of first appearance.
    ///
    /// # Errors
    /// An example has no sequence, sequences of two tasks, or another number of them than its task's
    /// head takes.
    pub(crate) fn members(
        &self,
        packing: &Packing,
        heads: &[TaskHead],
    ) -> Result<Vec<(usize, Vec<usize>)>, ModelError> {
        let mut members: Vec<(usize, Vec<usize>)> = Vec::new();
        for example in 0..self.len() {
            let (start, count) = self.sequences(example);
            let tasks = &packing.tasks()[start as usize..(start + count) as usize];
            let Some(&task) = tasks.first() else {
                return Err(ModelError::Input(format!(
                    "example {example} has no sequence"
                )));
            };
            if let Some(other) = tasks.iter().find(|other| **other != task) {
                return Err(ModelError::Input(format!(
                    "example {example} has sequences of the tasks {task} and {other}"
                )));
            }
            let Some(head) = heads.get(task as usize) else {
                return Err(ModelError::Input(format!(
                    "example {example} is of task {task}, but there are {} heads",
                    heads.len()
                )));
            };
            let fits = match head.kind {
                HeadKind::MultipleChoice => count >= 2,
                _ => count == 1,
            };
            if !fits {
                return Err(ModelError::Input(format!(
                    "example {example} has {count} sequences, but its task `{}` is {}",
                    head.name,
                    head.kind.describe()
                )));
            }
            let task = task as usize;
            match members.iter_mut().find(|(known, _)| *known == task) {
                Some((_, examples)) => examples.push(example),
                None => members.push((task, vec![example])),
            }
        }
        Ok(members)
    }
}
