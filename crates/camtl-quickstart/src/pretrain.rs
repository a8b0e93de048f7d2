//! A short masked-language-model warm start for small encoders.
//!
//! Fine-tuning methods can only be compared on an encoder that knows something. Where none can be
//! downloaded (the quickstart), a small one is trained for a few hundred steps to restore masked
//! tokens (Devlin et al. 2019): 15 % of a sequence's tokens are chosen, of which 80 % become the mask
//! token, 10 % a random token and 10 % stay. The head is BERT's, tied to the word embeddings E:
//!
//! ```text
//! logits = LN(gelu(h W + b)) Eᵀ + c        loss = mean cross-entropy over the chosen tokens
//! ```
//!
//! The head is thrown away; the encoder is kept. Batches, masks, dropout and initialisation come
//! from the seed, so the same settings and thread count give the same bytes.
//!
//! ```
//! use camtl_data::{EncodedSplit, Example, TextTokenizer};
//! use camtl_model::EncoderConfig;
//! use camtl_quickstart::pretrain::{PretrainOptions, pretrain};
//! use std::sync::atomic::AtomicBool;
//!
//! let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nsleeps\n";
//! let tokenizer = TextTokenizer::from_vocab(vocab, true)?;
//! let sentences = [Example { text_a: "the cat sleeps".into(), ..Example::default() }];
//! let corpus = tokenizer.encode_all(&sentences, 8)?;
//! let encoder = EncoderConfig::bert(8, 16, 1, 2, 32, 8);
//! let options = PretrainOptions { steps: 20, batch_size: 4, learning_rate: 1e-2, ..PretrainOptions::default() };
//! let mut losses = Vec::new();
//! let model = pretrain(&encoder, &corpus, &tokenizer, &options, &mut |step| losses.push(step.loss), &AtomicBool::new(false))?;
//! assert_eq!(losses.len(), 20);
//! assert!(losses[19] < losses[0]);
//! assert_eq!(model.config().encoder, encoder);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::atomic::{AtomicBool, Ordering};

use camtl_data::random::{Stream, derive_seed};
use camtl_data::{EncodedSplit, TextTokenizer};
use camtl_model::{
    EncoderConfig, Freeze, MethodConfig, Model, ModelConfig, ModelError, ModelInput, TaskHead,
};
use camtl_ops::{
    AdamWOptions, AdamWState, DropoutStream, OpsError, Packing, adamw_flat, clip_coefficient,
    grad_norm, set_grad_view,
};
use tch::{Device, Kind, Reduction, Tensor, no_grad};

/// The word embeddings, which are the output layer too.
const WORD_EMBEDDINGS: &str = "bert.embeddings.word_embeddings.weight";

/// Settings of the warm start.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainOptions {
    /// Number of updates.
    pub steps: u64,
    /// Sequences per update, drawn from the shuffled corpus, each once per pass.
    pub batch_size: usize,
    /// Peak learning rate; it rises linearly over the warm-up and falls linearly to 0.
    pub learning_rate: f64,
    /// Share of the steps spent warming up.
    pub warmup_ratio: f64,
    /// Largest norm of the gradient.
    pub max_grad_norm: f64,
    /// Share of a sequence's tokens (special ones excepted) that are chosen, at least one.
    pub mask_probability: f64,
    /// The seed of initialisation, order, masks and dropout.
    pub seed: u64,
}

impl Default for PretrainOptions {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch_size: 64,
            learning_rate: 1e-3,
            warmup_ratio: 0.1,
            max_grad_norm: 1.0,
            mask_probability: 0.15,
            seed: 12,
        }
    }
}

/// One update, as its observer sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PretrainStep {
    /// Updates made so far, this one included.
    pub step: u64,
    /// Mean cross-entropy over the batch's chosen tokens, in nats.
    pub loss: f64,
    /// Share of the chosen tokens whose most probable token was right.
    pub accuracy: f64,
    /// Tokens in the batch.
    pub tokens: usize,
}

/// Why a warm start failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainError {
    /// A setting is out of range.
    #[error("{field} is {value}; expected {expected}")]
    Option {
        /// The field of [`PretrainOptions`].
        field: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The corpus holds nothing to learn from.
    #[error(
        "the corpus has no sequence with a token other than the special ones; give it some text"
    )]
    EmptyCorpus,
    /// The loss is no longer a number.
    #[error("the loss of step {step} is {loss}; lower the learning rate of the warm start")]
    NonFinite {
        /// Updates made, the failed one included.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// The observer's flag was raised.
    #[error("stopped after {step} of {steps} steps of the warm start")]
    Stopped {
        /// Updates made.
        step: u64,
        /// Updates wanted.
        steps: u64,
    },
    /// The model refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor operation failed.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// A libtorch call failed.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl From<tch::TchError> for PretrainError {
    fn from(error: tch::TchError) -> Self {
        // libtorch appends its C++ backtrace; the first line says what happened.
        Self::Torch(
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

/// Trains an encoder of the given shapes on the CPU and returns it, wrapped as a plain model with one
/// unused head.
///
/// `observe` is called after every update; raising `stop` ends the warm start before the next one.
///
/// # Errors
/// [`PretrainError`]: settings out of range, an empty corpus, a loss that is not finite, `stop`, or a
/// model that refuses the corpus (token ids beyond the vocabulary, sequences beyond the positions).
pub fn pretrain(
    encoder: &EncoderConfig,
    corpus: &EncodedSplit,
    tokenizer: &TextTokenizer,
    options: &PretrainOptions,
    observe: &mut dyn FnMut(&PretrainStep),
    stop: &AtomicBool,
) -> Result<Model, PretrainError> {
    check(options)?;
    let config = ModelConfig {
        encoder: encoder.clone(),
        method: MethodConfig::plain(),
        tasks: vec![TaskHead::classification("masked-lm", 2)],
        max_length: usize::try_from(encoder.max_sequence_length()).unwrap_or(usize::MAX),
        freeze: Freeze::None,
    };
    let model = Model::new(&config, Device::Cpu, options.seed)?;
    let mut masker = Masker::new(corpus, tokenizer, options)?;
    let mut head = MaskedLmHead::new(&model, options.seed)?;
    let mut encoder_state = AdamWState::new(&model.parameters().flat())?;
    let mut head_state = AdamWState::new(&head.flat)?;
    for step in 0..options.steps {
        if stop.load(Ordering::SeqCst) {
            return Err(PretrainError::Stopped {
                step,
                steps: options.steps,
            });
        }
        let batch = masker.next_batch();
        let packing = Packing::new(
            &batch.cu_seqlens,
            &vec![0; batch.cu_seqlens.len() - 1],
            Device::Cpu,
        )?;
        let input = ModelInput::new(
            &batch.input_ids,
            &batch.token_type_ids,
            &batch.position_ids,
            packing,
        )?;
        let seed = derive_seed(options.seed, "pretrain/dropout", step);
        let mut dropout = DropoutStream::new(encoder.hidden_dropout_prob, seed);
        model.parameters().zero_grad()?;
        let _ = head.flat_grad.f_zero_()?;
        let output = model.forward_all(&input, Some(&mut dropout))?;
        let hidden = output
            .sequence
            .ok_or_else(|| PretrainError::Torch("no hidden states".to_owned()))?;
        let (loss, accuracy) = head.loss(&hidden, &batch, encoder.layer_norm_eps)?;
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Err(PretrainError::NonFinite {
                step: step + 1,
                loss: value,
            });
        }
        loss.f_backward()?;
        let norms = [
            grad_norm(&model.parameters().flat_grad())?,
            grad_norm(&head.flat_grad)?,
        ];
        let clip = clip_coefficient(
            &no_grad(|| Tensor::f_stack(&norms, 0)?.f_norm())?,
            options.max_grad_norm,
        )?;
        let adamw = AdamWOptions {
            lr: learning_rate(options, step),
            ..AdamWOptions::default()
        };
        model
            .parameters()
            .adamw(&mut encoder_state, &adamw, Some(&clip))?;
        adamw_flat(
            &mut head_state,
            &mut head.flat,
            &head.flat_grad,
            &adamw,
            Some(&clip),
        )?;
        observe(&PretrainStep {
            step: step + 1,
            loss: value,
            accuracy,
            tokens: batch.input_ids.len(),
        });
    }
    Ok(model)
}

fn check(options: &PretrainOptions) -> Result<(), PretrainError> {
    let require = |holds: bool, field, value: String, expected| {
        if holds {
            Ok(())
        } else {
            Err(PretrainError::Option {
                field,
                value,
                expected,
            })
        }
    };
    let positive = |value: f64| value.is_finite() && value > 0.0;
    require(
        options.batch_size > 0,
        "batch_size",
        options.batch_size.to_string(),
        "at least 1",
    )?;
    require(
        positive(options.learning_rate),
        "learning_rate",
        options.learning_rate.to_string(),
        "a number above 0",
    )?;
    require(
        (0.0..=1.0).contains(&options.warmup_ratio),
        "warmup_ratio",
        options.warmup_ratio.to_string(),
        "a number in [0, 1]",
    )?;
    require(
        positive(options.max_grad_norm),
        "max_grad_norm",
        options.max_grad_norm.to_string(),
        "a number above 0",
    )?;
    require(
        options.mask_probability > 0.0 && options.mask_probability <= 1.0,
        "mask_probability",
        options.mask_probability.to_string(),
        "a number in (0, 1]",
    )
}

/// Linear warm-up, then linear decay to 0; `step` counts from 0.
fn learning_rate(options: &PretrainOptions, step: u64) -> f64 {
    let warmup = (options.steps as f64 * options.warmup_ratio).floor();
    let step = step as f64;
    let factor = if step < warmup {
        (step + 1.0) / warmup
    } else {
        (options.steps as f64 - step) / (options.steps as f64 - warmup).max(1.0)
    };
    options.learning_rate * factor
}

/// A packed batch with tokens to restore.
#[derive(Debug, Default)]
struct MaskedBatch {
    input_ids: Vec<i64>,
    token_type_ids: Vec<i64>,
    position_ids: Vec<i64>,
    cu_seqlens: Vec<i64>,
    /// Rows of the packed batch whose token is to be restored.
    rows: Vec<i64>,
    /// The tokens that were there.
    targets: Vec<i64>,
}

/// Draws sequences and chooses what to hide.
struct Masker<'a> {
    corpus: &'a EncodedSplit,
    order: Vec<usize>,
    next: usize,
    stream: Stream,
    batch_size: usize,
    mask_probability: f64,
    mask: i64,
    /// Ids that are never chosen and never put in as random tokens.
    special: [u32; 5],
    vocab_size: u64,
}

impl<'a> Masker<'a> {
    fn new(
        corpus: &'a EncodedSplit,
        tokenizer: &TextTokenizer,
        options: &PretrainOptions,
    ) -> Result<Self, PretrainError> {
        let special = [
            tokenizer.pad_id(),
            tokenizer.unk_id(),
            tokenizer.cls_id(),
            tokenizer.sep_id(),
            tokenizer.mask_id(),
        ];
        let usable: Vec<usize> = (0..corpus.len())
            .filter(|index| {
                corpus
                    .get(*index)
                    .input_ids
                    .iter()
                    .any(|id| !special.contains(id))
            })
            .collect();
        if usable.is_empty() {
            return Err(PretrainError::EmptyCorpus);
        }
        Ok(Self {
            corpus,
            next: usable.len(),
            order: usable,
            stream: Stream::new(options.seed, "pretrain/batches"),
            batch_size: options.batch_size,
            mask_probability: options.mask_probability,
            mask: i64::from(tokenizer.mask_id()),
            special,
            vocab_size: tokenizer.vocab_size() as u64,
        })
    }

    fn next_batch(&mut self) -> MaskedBatch {
        let mut batch = MaskedBatch {
            cu_seqlens: vec![0],
            ..MaskedBatch::default()
        };
        for _ in 0..self.batch_size {
            if self.next == self.order.len() {
                self.stream.shuffle(&mut self.order);
                self.next = 0;
            }
            let index = self.order[self.next];
            self.next += 1;
            self.append(index, &mut batch);
        }
        batch
    }

    /// Appends one sequence with some of its tokens hidden.
    fn append(&mut self, index: usize, batch: &mut MaskedBatch) {
        let example = self.corpus.get(index);
        let start = batch.input_ids.len();
        batch
            .input_ids
            .extend(example.input_ids.iter().map(|id| i64::from(*id)));
        batch
            .token_type_ids
            .extend(example.token_type_ids.iter().map(|id| i64::from(*id)));
        batch.position_ids.extend(0..example.input_ids.len() as i64);
        batch.cu_seqlens.push(batch.input_ids.len() as i64);

        let mut places: Vec<usize> = (0..example.input_ids.len())
            .filter(|at| !self.special.contains(&example.input_ids[*at]))
            .collect();
        let wanted = (places.len() as f64 * self.mask_probability).round() as usize;
        self.stream.shuffle(&mut places);
        places.truncate(wanted.max(1));
        places.sort_unstable();
        for place in places {
            let row = start + place;
            batch.rows.push(row as i64);
            batch.targets.push(batch.input_ids[row]);
            batch.input_ids[row] = match self.stream.below(10) {
                0..8 => self.mask,
                8 => self.random_token(),
                _ => batch.input_ids[row],
            };
        }
    }

    fn random_token(&mut self) -> i64 {
        // A vocabulary of special tokens alone has been refused: no sequence would be usable.
        loop {
            let id = self.stream.below(self.vocab_size);
            if !self.special.iter().any(|special| u64::from(*special) == id) {
                return id as i64;
            }
        }
    }
}

/// BERT's masked-LM head over flat buffers, as the model's own parameters.
struct MaskedLmHead {
    flat: Tensor,
    flat_grad: Tensor,
    dense_weight: Tensor,
    dense_bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    output_bias: Tensor,
    /// Shares memory with the model's word embeddings, and its gradient with theirs.
    embeddings: Tensor,
}

impl MaskedLmHead {
    fn new(model: &Model, seed: u64) -> Result<Self, PretrainError> {
        let encoder = &model.config().encoder;
        let (width, vocab) = (encoder.hidden_size, encoder.vocab_size);
        let sizes = [width * width, width, width, width, vocab];
        let options = (Kind::Float, Device::Cpu);
        let flat = Tensor::f_zeros([sizes.iter().sum::<i64>()], options)?;
        let flat_grad = Tensor::f_zeros([sizes.iter().sum::<i64>()], options)?;
        let mut offset = 0;
        let mut take = |shape: &[i64]| -> Result<Tensor, PretrainError> {
            let length: i64 = shape.iter().product();
            // `detach` keeps the memory and makes the view an autograd leaf.
            let mut leaf = flat
                .f_narrow(0, offset, length)?
                .f_view(shape)?
                .f_detach()?
                .f_set_requires_grad(true)?;
            set_grad_view(
                &mut leaf,
                &flat_grad.f_narrow(0, offset, length)?.f_view(shape)?,
            )?;
            offset += length;
            Ok(leaf)
        };
        let dense_weight = take(&[width, width])?;
        let dense_bias = take(&[width])?;
        let norm_weight = take(&[width])?;
        let norm_bias = take(&[width])?;
        let output_bias = take(&[vocab])?;
        let start = normal(seed, sizes[0], encoder.initializer_range)?.f_view([width, width])?;
        no_grad(|| -> Result<(), PretrainError> {
            dense_weight.shallow_clone().f_copy_(&start)?;
            let _ = norm_weight.shallow_clone().f_fill_(1.0)?;
            Ok(())
        })?;

        let mut embeddings = model
            .parameters()
            .tensor(WORD_EMBEDDINGS)?
            .f_detach()?
            .f_set_requires_grad(true)?;
        let gradient = model
            .parameters()
            .grad(WORD_EMBEDDINGS)?
            .ok_or_else(|| PretrainError::Torch(format!("`{WORD_EMBEDDINGS}` is frozen")))?;
        set_grad_view(&mut embeddings, &gradient)?;
        Ok(Self {
            flat,
            flat_grad,
            dense_weight,
            dense_bias,
            norm_weight,
            norm_bias,
            output_bias,
            embeddings,
        })
    }

    /// Mean cross-entropy over the chosen rows of `hidden` [N, D], and the share that was right.
    fn loss(
        &self,
        hidden: &Tensor,
        batch: &MaskedBatch,
        eps: f64,
    ) -> Result<(Tensor, f64), PretrainError> {
        let width = hidden.size().last().copied().unwrap_or(0);
        let rows = hidden.f_index_select(0, &Tensor::f_from_slice(&batch.rows)?)?;
        let targets = Tensor::f_from_slice(&batch.targets)?;
        let transformed = rows
            .f_linear(&self.dense_weight, Some(&self.dense_bias))?
            .f_gelu("none")?
            .f_layer_norm(
                [width],
                Some(&self.norm_weight),
                Some(&self.norm_bias),
                eps,
                false,
            )?;
        let logits = transformed.f_linear(&self.embeddings, Some(&self.output_bias))?;
        let right = no_grad(|| {
            logits
                .f_argmax(-1, false)?
                .f_eq_tensor(&targets)?
                .f_mean(Kind::Float)
        })?;
        let loss =
            logits.f_cross_entropy_loss::<Tensor>(&targets, None, Reduction::Mean, -100, 0.0)?;
        Ok((loss, right.f_double_value(&[])?))
    }
}

/// Numbers from N(0, `deviation`) by Box and Muller, from our own stream: the same on every machine
/// up to the last bits of `ln` and `cos`.
fn normal(seed: u64, count: i64, deviation: f64) -> Result<Tensor, PretrainError> {
    let mut stream = Stream::new(seed, "pretrain/head");
    let values: Vec<f32> = (0..count)
        .map(|_| {
            let radius = (-2.0 * (1.0 - stream.uniform()).ln()).sqrt();
            (deviation * radius * (std::f64::consts::TAU * stream.uniform()).cos()) as f32
        })
        .collect();
    Ok(Tensor::f_from_slice(&values)?)
}
