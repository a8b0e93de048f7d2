//! One training step, one scoring pass and one evaluation pass, from sequences
//! of tokens to updated parameters: what the benchmarks of whole steps measure.

use anyhow::Context as _;
use camtl_model::{
    EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, PlainBatch, Preset, TaskHead,
    Variant,
};
use camtl_ops::{
    AdamWOptions, AdamWState, DropoutStream, Packing, Targets, clip_coefficient, grad_norm,
};
use tch::{Device, Kind, Tensor, no_grad};

use crate::Lengths;

/// Sequences in a batch.
pub const BATCH: usize = 32;
/// Classes of each task.
pub const CLASSES: [usize; 4] = [2, 3, 2, 2];
/// Longest sequence.
pub const MAX_LENGTH: usize = 128;
/// Probability of every dropout.
pub const DROPOUT: f64 = 0.1;
/// Constant learning rate.
pub const LEARNING_RATE: f64 = 2e-5;
/// Gradients are clipped to this norm.
pub const MAX_GRAD_NORM: f64 = 1.0;

/// MiniLM shapes, four tasks, the modules of CA-MTL base, nothing frozen.
pub fn model_config(preset: Preset) -> ModelConfig {
    ModelConfig {
        encoder: EncoderConfig::bert(30_522, 384, 6, 12, 1536, 512),
        method: MethodConfig::new(preset, Variant::Base),
        tasks: CLASSES
            .iter()
            .enumerate()
            .map(|(task, classes)| TaskHead::classification(&format!("task{task}"), *classes))
            .collect(),
        max_length: MAX_LENGTH,
        freeze: Default::default(),
    }
}

/// Token sequences sorted by task, each with its class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequences {
    /// Token ids of each sequence.
    pub ids: Vec<Vec<i64>>,
    /// Task of each sequence, ascending.
    pub tasks: Vec<i64>,
    /// Class of each sequence.
    pub classes: Vec<i64>,
}

impl Sequences {
    /// `count` sequences of random tokens, in equal parts of tasks with so many classes each.
    pub fn random(lengths: Lengths, classes: &[usize], count: usize, seed: u64) -> Self {
        let mut state = seed;
        let mut next = |below: i64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as i64 % below
        };
        let mut sequences = Sequences::default();
        for (number, length) in lengths.of(count).into_iter().enumerate() {
            let task = number * classes.len() / count;
            sequences
                .ids
                .push((0..length).map(|_| 1000 + next(27_000)).collect());
            sequences.tasks.push(task as i64);
            sequences.classes.push(next(classes[task] as i64));
        }
        sequences
    }

    /// The sequences with these numbers, which must ascend.
    pub fn select(&self, numbers: &[i64]) -> Self {
        let mut chosen = Sequences::default();
        for &number in numbers {
            let number = number as usize;
            chosen.ids.push(self.ids[number].clone());
            chosen.tasks.push(self.tasks[number]);
            chosen.classes.push(self.classes[number]);
        }
        chosen
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.iter().map(Vec::len).sum()
    }

    /// The sequences end to end. The loss is the mean over tasks of the means over their sequences.
    pub fn plain(&self) -> PlainBatch {
        let (mut ids, mut positions, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for sequence in &self.ids {
            ids.extend_from_slice(sequence);
            positions.extend(0..sequence.len() as i64);
            starts.push(ids.len() as i64);
        }
        let of_task = |task: i64| self.tasks.iter().filter(|&&t| t == task).count();
        let mut present = self.tasks.clone();
        present.dedup();
        let weights: Vec<f32> = self
            .tasks
            .iter()
            .map(|&task| 1.0 / (present.len() * of_task(task)) as f32)
            .collect();
        PlainBatch {
            token_type_ids: vec![0; ids.len()],
            input_ids: ids,
            position_ids: positions,
            cu_seqlens: starts,
            tasks: self.tasks.clone(),
            classes: self.classes.clone(),
            scores: vec![0.0; self.classes.len()],
            weights,
        }
    }

    /// The sequences as the model reads them, on `device`.
    ///
    /// # Errors
    /// The tasks do not ascend, or libtorch refuses.
    pub fn pack(&self, device: Device) -> anyhow::Result<Batch> {
        let plain = self.plain();
        let packing = Packing::new(&plain.cu_seqlens, &plain.tasks, device)?;
        Ok(Batch {
            input: ModelInput::new(
                &plain.input_ids,
                &plain.token_type_ids,
                &plain.position_ids,
                packing,
            )?,
            targets: Targets::new(&plain.classes, &plain.scores, device)?,
            weights: Tensor::f_from_slice(&plain.weights)?.f_to_device(device)?,
        })
    }
}

/// A packed batch with its targets.
#[derive(Debug)]
pub struct Batch {
    /// The tokens.
    pub input: ModelInput,
    /// What is to be predicted.
    pub targets: Targets,
    /// Share of each sequence in the loss, `[B]`.
    pub weights: Tensor,
}

/// A model in training.
#[derive(Debug)]
pub struct Training {
    /// The model.
    pub model: Model,
    state: AdamWState,
    dropout: DropoutStream,
}

impl Training {
    /// Training of `model` from the first step.
    ///
    /// # Errors
    /// libtorch refuses.
    pub fn new(model: Model) -> anyhow::Result<Self> {
        let state = AdamWState::new(&model.parameters().flat())?;
        Ok(Training {
            model,
            state,
            dropout: DropoutStream::new(DROPOUT, 1),
        })
    }

    /// One update: gradients, clipping, AdamW. Gives the loss.
    ///
    /// # Errors
    /// The batch does not fit the model, or libtorch refuses.
    pub fn train(&mut self, batch: &Batch, dropout: bool) -> anyhow::Result<f64> {
        let parameters = self.model.parameters();
        parameters.zero_grad()?;
        let mut stream = dropout.then_some(&mut self.dropout);
        let output = self.model.forward(&batch.input, stream.as_deref_mut())?;
        let heads = self.model.heads(&output, Some(&batch.targets), stream)?;
        let loss = weighted(heads.loss, &batch.weights)?;
        loss.f_backward()?;
        let clip = clip_coefficient(&grad_norm(&parameters.flat_grad())?, MAX_GRAD_NORM)?;
        let options = AdamWOptions {
            lr: LEARNING_RATE,
            ..AdamWOptions::default()
        };
        parameters.adamw(&mut self.state, &options, Some(&clip))?;
        Ok(loss.f_double_value(&[])?)
    }

    /// The loss without dropout, without gradients.
    ///
    /// # Errors
    /// The batch does not fit the model, or libtorch refuses.
    pub fn loss(&self, batch: &Batch) -> anyhow::Result<f64> {
        no_grad(|| {
            let output = self.model.forward(&batch.input, None)?;
            let heads = self.model.heads(&output, Some(&batch.targets), None)?;
            Ok(weighted(heads.loss, &batch.weights)?.f_double_value(&[])?)
        })
    }

    /// Entropy of each sequence divided by the largest its task allows.
    ///
    /// # Errors
    /// The batch does not fit the model, or libtorch refuses.
    pub fn score(&self, sequences: &Sequences, batch: &Batch) -> anyhow::Result<Tensor> {
        let largest: Vec<f32> = sequences
            .tasks
            .iter()
            .map(|&task| (CLASSES[task as usize] as f32).ln())
            .collect();
        no_grad(|| {
            let output = self.model.forward(&batch.input, None)?;
            let entropy = self.model.heads(&output, None, None)?.entropy;
            Ok(entropy.f_div(&Tensor::f_from_slice(&largest)?)?)
        })
    }

    /// Logits of every sequence.
    ///
    /// # Errors
    /// The batch does not fit the model, or libtorch refuses.
    pub fn evaluate(&self, batch: &Batch) -> anyhow::Result<Vec<(usize, Tensor)>> {
        no_grad(|| {
            let output = self.model.forward(&batch.input, None)?;
            Ok(self.model.heads(&output, None, None)?.logits)
        })
    }

    /// Scores the candidates and trains on the most uncertain of them.
    ///
    /// # Errors
    /// As [`Training::train`].
    pub fn uncertainty(&mut self, candidates: &Sequences) -> anyhow::Result<f64> {
        let scores = self.score(candidates, &candidates.pack(Device::Cpu)?)?;
        let (_, chosen) = scores.f_topk(BATCH as i64, 0, true, false)?;
        let mut chosen = Vec::<i64>::try_from(&chosen)?;
        chosen.sort_unstable();
        self.train(&candidates.select(&chosen).pack(Device::Cpu)?, true)
    }
}

fn weighted(loss: Option<Tensor>, weights: &Tensor) -> anyhow::Result<Tensor> {
    let loss = loss.context("the heads gave no loss")?;
    Ok(loss.f_mul(weights)?.f_sum(Kind::Float)?)
}
