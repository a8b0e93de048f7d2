//! Heads: what each kind reads, its loss and its uncertainty.
//!
//! | kind | weight | reads | loss | uncertainty (nats) |
//! |---|---|---|---|---|
//! | classification | [C, D] | pooled output | cross-entropy | H |
//! | regression | [1, D] | pooled output | squared error | 0 |
//! | multiple choice | [1, D] | pooled output of each option | cross-entropy over the options | H |
//! | tagging | [C, D] | hidden states of tagged tokens | mean cross-entropy over them | mean H over them |
//! | span | [2, D] | hidden states | mean of the start's and the end's cross-entropy over first token and context | ln 2 · mean of the start's and the end's H / ln(alternatives) |
//! | span pair | [C, 3D] | first token, mean of each stretch | cross-entropy | H |
//!
//! A sampler that divides by the logarithm of C, of the options or (span) of 2 gets [0, 1] from
//! every kind. The paper defines the uncertainty of classifications alone; the others' are ours.
//!
//! [`Model::heads`] is for batches of classifications and regressions, one sequence per example;
//! [`Model::heads_of`] is for any batch. Each example's loss depends on that example alone.
//!
//! ```
//! use camtl_model::{EncoderConfig, ExampleLayout, MethodConfig, Model, ModelConfig, ModelInput, TaskHead};
//! use camtl_ops::{Packing, Targets};
//! use tch::Device;
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 16, 1, 2, 32, 16),
//!     method: MethodConfig::plain(),
//!     tasks: vec![TaskHead::multiple_choice("copa"), TaskHead::span("squad", false)],
//!     max_length: 16,
//!     freeze: Default::default(),
//! };
//! let model = Model::new(&config, Device::Cpu, 1).unwrap();
//! // An example of two options and a question with its context in tokens 2 to 4.
//! let packing = Packing::new(&[0, 2, 4, 10], &[0, 0, 1], Device::Cpu).unwrap();
//! let input = ModelInput::new(
//!     &[2, 7, 2, 8, 2, 9, 20, 21, 22, 3],
//!     &[0; 10],
//!     &[0, 1, 0, 1, 0, 1, 2, 3, 4, 5],
//!     packing,
//! )
//! .unwrap();
//! let examples = ExampleLayout::new(&[0, 2, 3], &[3, 4, 2, 4], &[0, 0, 4]).unwrap();
//! let targets = Targets::new(&[1, 0], &[0.0; 2], Device::Cpu).unwrap();
//!
//! let output = model.forward(&input, None).unwrap();
//! let heads = model.heads_of(&input, &output, &examples, Some(&targets), None).unwrap();
//! assert_eq!(heads.logits[0].logits.size(), [1, 2]);
//! assert_eq!(heads.logits[1].logits.size(), [6, 2]);
//! assert_eq!(heads.loss.unwrap().size(), [2]);
//! ```

mod examples;
mod gather;
mod multiple_choice;
mod part;
mod score;
mod span;
mod span_pair;
mod tagging;

use camtl_ops::{
    DropoutStream, Head, HeadsOutput, Packing, Targets, heads_entropy_loss, token_dropout, upload,
};
use tch::Tensor;

use crate::config::{HeadKind, TaskHead};
use crate::error::ModelError;
use crate::execution::input::ModelInput;
use crate::model::{Model, Output};
use part::{Part, Scored};

pub use examples::{ExampleLayout, NOT_TAGGED, UNKNOWN};

/// The logits of one task's examples.
#[derive(Debug)]
pub struct TaskLogits {
    /// The task.
    pub task: usize,
    /// The examples' places in the batch.
    pub examples: Vec<usize>,
    /// Rows of `logits` that belong to each example, in order: 1, except for a tagging (its tagged
    /// tokens) and a span (its tokens).
    pub counts: Vec<usize>,
    /// Classification, regression and span pair [n, C]; multiple choice [n, options]; tagging
    /// [tagged tokens, C]; span [tokens, 2], start and end.
    pub logits: Tensor,
}

/// What the heads say about a batch's E examples.
#[derive(Debug)]
pub struct ExampleHeads {
    /// By task, in order of first appearance.
    pub logits: Vec<TaskLogits>,
    /// Loss of each example, `[E]` float32, if there are targets; 0 without a known truth.
    pub loss: Option<Tensor>,
    /// Uncertainty of each example, `[E]` float32, without gradient.
    pub entropy: Tensor,
}

impl Model {
    /// Each sequence's own head: logits by task, entropies, and losses if there are targets. For
    /// classifications and regressions.
    ///
    /// # Errors
    /// A task of the batch has a head of another kind, a target does not fit its head, or libtorch
    /// refuses.
    pub fn heads(
        &self,
        output: &Output,
        targets: Option<&Targets>,
        dropout: Option<&mut DropoutStream>,
    ) -> Result<HeadsOutput, ModelError> {
        let tasks = output.layout().tasks();
        if let Some(head) = self.head_that(tasks, |head| !head.kind.is_plain()) {
            return Err(ModelError::Input(format!(
                "task `{}` is {}; use heads_of",
                head.name,
                head.kind.describe()
            )));
        }
        let pooled = self.dropped(&output.pooled, output.layout(), dropout)?;
        self.plain_heads(&pooled, output.layout(), targets)
    }

    /// Each example's own head, whatever its kind. `examples` says which sequences of `input` make
    /// an example, `targets` has one class or score per example (a tagging's and a span's truth is in
    /// `examples`, and counts if there are targets at all).
    ///
    /// # Errors
    /// `examples` does not fit the batch or a head, a target does not fit its head, or libtorch
    /// refuses.
    pub fn heads_of(
        &self,
        input: &ModelInput,
        output: &Output,
        examples: &ExampleLayout,
        targets: Option<&Targets>,
        mut dropout: Option<&mut DropoutStream>,
    ) -> Result<ExampleHeads, ModelError> {
        let packing = input.packing();
        let sequences = packing.num_sequences();
        if examples.num_sequences() != sequences {
            return Err(ModelError::Input(format!(
                "the examples have {} sequences, the batch {sequences}",
                examples.num_sequences()
            )));
        }
        if let Some(targets) = targets
            && targets.classes.size() != [examples.len() as i64]
        {
            return Err(ModelError::Input(format!(
                "{:?} targets for {} examples",
                targets.classes.size(),
                examples.len()
            )));
        }
        let tasks = &self.config().tasks;
        let members = examples.members(packing, tasks)?;
        let plain = |task: &usize| tasks[*task].kind.is_plain();
        let pooled = self.dropped(&output.pooled, output.layout(), dropout.as_deref_mut())?;
        if members.iter().all(|(task, _)| plain(task)) {
            let said = self.plain_heads(&pooled, output.layout(), targets)?;
            return Ok(ExampleHeads {
                logits: plain_logits(said.logits, &members),
                loss: said.loss,
                entropy: said.entropy,
            });
        }
        let hidden = match &output.sequence {
            Some(hidden) => Some(self.dropped(hidden, packing, dropout)?),
            None => None,
        };
        let mut scored: Vec<Scored> = Vec::with_capacity(members.len());
        for (task, examples_of) in &members {
            let head = &tasks[*task];
            let (weight, bias) = self.head_parameters(*task)?;
            let part = Part {
                task: *task,
                head,
                weight,
                bias,
                tile: self.tile(),
                members: examples_of,
                examples,
                packing,
                classes: match targets {
                    Some(targets) => Some(pick(&targets.classes, examples_of)?),
                    None => None,
                },
            };
            let tokens = || {
                hidden.as_ref().ok_or_else(|| {
                    ModelError::Input(format!(
                        "task `{}` reads hidden states, which this output does not have",
                        head.name
                    ))
                })
            };
            scored.push(match head.kind {
                HeadKind::Classification | HeadKind::Regression => {
                    self.plain_part(&part, &pooled, targets)?
                }
                HeadKind::MultipleChoice => multiple_choice::apply(&part, &pooled)?,
                HeadKind::Tagging => tagging::apply(&part, tokens()?)?,
                HeadKind::Span { .. } => span::apply(&part, tokens()?)?,
                HeadKind::SpanPair => span_pair::apply(&part, tokens()?)?,
            });
        }
        in_batch_order(scored, examples.len())
    }

    /// The first task of `tasks` whose head is as asked.
    pub(crate) fn head_that(
        &self,
        tasks: &[i64],
        is: impl Fn(&TaskHead) -> bool,
    ) -> Option<&TaskHead> {
        tasks
            .iter()
            .filter_map(|task| self.config().tasks.get(*task as usize))
            .find(|head| is(head))
    }

    /// `values`, one row per token of `layout`, after the heads' dropout.
    fn dropped(
        &self,
        values: &Tensor,
        layout: &Packing,
        dropout: Option<&mut DropoutStream>,
    ) -> Result<Tensor, ModelError> {
        let p = self.config().encoder.hidden_dropout_prob;
        Ok(match dropout.and_then(|stream| stream.next_with(p)) {
            Some(dropout) => token_dropout(values, &dropout, layout)?,
            None => values.shallow_clone(),
        })
    }

    fn head_parameters(&self, task: usize) -> Result<(Tensor, Tensor), ModelError> {
        let (store, id) = (self.parameters(), self.structure().heads[task]);
        Ok((store.tracked(id.weight)?, store.tracked(id.bias)?))
    }

    /// Classifications and regressions of a whole batch in one operation.
    fn plain_heads(
        &self,
        pooled: &Tensor,
        layout: &Packing,
        targets: Option<&Targets>,
    ) -> Result<HeadsOutput, ModelError> {
        let tasks = &self.config().tasks;
        // The operation takes heads of one width; heads that this batch does not use are stood in for.
        let stand_in = tasks.iter().position(|head| head.kind.is_plain());
        let mut parameters = Vec::with_capacity(tasks.len());
        for (task, head) in tasks.iter().enumerate() {
            let task = if head.kind.is_plain() {
                task
            } else {
                stand_in.unwrap_or(task)
            };
            let (weight, bias) = self.head_parameters(task)?;
            parameters.push((weight, bias, tasks[task].kind == HeadKind::Regression));
        }
        let heads: Vec<Head<'_>> = parameters
            .iter()
            .map(|(weight, bias, regression)| Head {
                weight,
                bias,
                regression: *regression,
            })
            .collect();
        Ok(heads_entropy_loss(pooled, &heads, layout, targets)?)
    }

    /// One classification or regression among heads of other kinds.
    fn plain_part(
        &self,
        part: &Part<'_>,
        pooled: &Tensor,
        targets: Option<&Targets>,
    ) -> Result<Scored, ModelError> {
        let rows: Vec<i64> = part
            .members
            .iter()
            .map(|&example| part.examples.sequences(example).0)
            .collect();
        let count = rows.len() as i64;
        let starts: Vec<i64> = (0..=count).collect();
        let layout = Packing::new(&starts, &vec![0; rows.len()], part.packing.device())?;
        let head = Head {
            weight: &part.weight,
            bias: &part.bias,
            regression: part.head.kind == HeadKind::Regression,
        };
        let targets = match targets {
            Some(targets) => Some(Targets {
                classes: pick(&targets.classes, part.members)?,
                scores: pick(&targets.scores, part.members)?,
            }),
            None => None,
        };
        let rows = part.rows_of(pooled, &rows)?;
        let said = heads_entropy_loss(&rows, &[head], &layout, targets.as_ref())?;
        let Some((_, logits)) = said.logits.into_iter().next() else {
            return Err(ModelError::Input(format!(
                "task `{}` has no example in the batch",
                part.head.name
            )));
        };
        Ok(Scored {
            logits: part.logits(logits, vec![1; part.members.len()]),
            loss: said.loss,
            entropy: said.entropy,
        })
    }
}

/// Entries of a vector.
fn pick(values: &Tensor, places: &[usize]) -> Result<Tensor, ModelError> {
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    let index = upload(&places, values.device())?;
    Ok(values.f_index_select(0, &index)?)
}

fn plain_logits(logits: Vec<(usize, Tensor)>, members: &[(usize, Vec<usize>)]) -> Vec<TaskLogits> {
    logits
        .into_iter()
        .zip(members)
        .map(|((task, logits), (_, examples))| TaskLogits {
            task,
            counts: vec![1; examples.len()],
            examples: examples.clone(),
            logits,
        })
        .collect()
}

/// Losses and entropies of all tasks, in the batch's order.
fn in_batch_order(scored: Vec<Scored>, examples: usize) -> Result<ExampleHeads, ModelError> {
    let order = scored.iter().flat_map(|part| part.logits.examples.iter());
    let mut place = vec![0usize; examples];
    for (at, &example) in order.enumerate() {
        place[example] = at;
    }
    let join = |parts: &[&Tensor]| pick(&Tensor::f_cat(parts, 0)?, &place);
    let losses: Vec<&Tensor> = scored
        .iter()
        .filter_map(|part| part.loss.as_ref())
        .collect();
    let entropies: Vec<&Tensor> = scored.iter().map(|part| &part.entropy).collect();
    Ok(ExampleHeads {
        loss: match losses.is_empty() {
            true => None,
            false => Some(join(&losses)?),
        },
        entropy: join(&entropies)?,
        logits: scored.into_iter().map(|part| part.logits).collect(),
    })
}
