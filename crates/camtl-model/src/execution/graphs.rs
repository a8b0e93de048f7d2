//! Steps as captured graphs: gradients of a training batch, uncertainties of candidates.
//!
//! On a GPU a step of a small model takes the host longer to launch than the GPU to compute. Here every
//! batch is filled up to a [`Bucket`] and computed on tensors that keep their addresses. The first batch of
//! a bucket is computed launch by launch, with the second one the launches are captured, and from then on
//! they are replayed. All three give the same bits, so it does not matter which batches came before.
//!
//! Graphs are for classifications and regressions, whose heads need nothing from the host, in bfloat16 on
//! a GPU ([`StepGraphs::check`]). On a CPU nothing is captured: batches are filled up and computed, which
//! shows what filling does.
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, PlainBatch, Preset, StepGraphs, TaskHead, Variant};
//! use tch::Device;
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 48, 2, 4, 96, 32),
//!     method: MethodConfig::new(Preset::Released, Variant::Base),
//!     tasks: vec![TaskHead::classification("rte", 2), TaskHead::regression("sts-b")],
//!     max_length: 16,
//!     freeze: Default::default(),
//! };
//! let model = Model::new(&config, Device::Cpu, 1).unwrap();
//! let mut graphs = StepGraphs::new(16);
//! let batch = PlainBatch {
//!     input_ids: vec![2, 7, 3, 2, 3],
//!     token_type_ids: vec![0; 5],
//!     position_ids: vec![0, 1, 2, 0, 1],
//!     cu_seqlens: vec![0, 3, 5],
//!     tasks: vec![0, 1],
//!     classes: vec![1, 0],
//!     scores: vec![0.0, 2.5],
//!     weights: vec![0.5, 0.5],
//! };
//! let step = graphs.gradients(&model, &batch, None).unwrap();
//! assert_eq!(step.losses.len(), 2);
//! assert!(step.grad_norm > 0.0);
//! // The gradient itself is in model.parameters().flat_grad().
//! assert_eq!(graphs.uncertainties(&model, &batch, None).unwrap().len(), 2);
//! ```

use camtl_ops::{
    CaptureScope, CudaGraph, DropoutStream, Packing, Targets, grad_norm, overwrite, upload,
};
use tch::{Device, Kind, Tensor, no_grad};

use crate::config::Activation;
use crate::error::ModelError;
use crate::execution::bucket::Bucket;
use crate::execution::input::ModelInput;
use crate::execution::plain_batch::PlainBatch;
use crate::model::Model;

/// What a training batch gave.
#[derive(Debug)]
pub struct Gradients {
    /// Loss of each sequence.
    pub losses: Vec<f32>,
    /// Norm of the gradient, read back.
    pub grad_norm: f64,
    /// The same on the device, for clipping; valid until the next call.
    pub grad_norm_on_device: Tensor,
}

/// What distinguishes two graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    bucket: Bucket,
    trains: bool,
    dropout: bool,
}

/// A batch on the device, at addresses that stay.
struct Placed {
    input: ModelInput,
    targets: Targets,
    weights: Tensor,
}

impl Placed {
    fn new(
        batch: &PlainBatch,
        bucket: &Bucket,
        model: &Model,
        device: Device,
    ) -> Result<Self, ModelError> {
        let tasks = model.config().tasks.len() as i64;
        let packing = Packing::new(&batch.cu_seqlens, &batch.tasks, device)?
            .with_bounds(tasks, bucket.max_len)?;
        Ok(Placed {
            input: ModelInput::new(
                &batch.input_ids,
                &batch.token_type_ids,
                &batch.position_ids,
                packing,
            )?,
            targets: Targets::new(&batch.classes, &batch.scores, device)?,
            weights: upload(&batch.weights, device)?,
        })
    }

    fn assign(&mut self, other: &Placed) -> Result<(), ModelError> {
        self.input.assign(&other.input)?;
        overwrite(&mut self.targets.classes, &other.targets.classes)?;
        overwrite(&mut self.targets.scores, &other.targets.scores)?;
        overwrite(&mut self.weights, &other.weights)?;
        Ok(())
    }

    /// What a graph holds: results that every replay writes.
    fn compute(
        &self,
        model: &Model,
        trains: bool,
        dropout: Option<&mut DropoutStream>,
    ) -> Result<Results, ModelError> {
        match trains {
            true => self.train(model, dropout),
            false => no_grad(|| self.score(model, dropout)),
        }
    }

    fn train(
        &self,
        model: &Model,
        mut dropout: Option<&mut DropoutStream>,
    ) -> Result<Results, ModelError> {
        let parameters = model.parameters();
        parameters.zero_grad()?;
        let modulation = model.fresh_modulation()?;
        let output = model.forward_with(&self.input, &modulation, dropout.as_deref_mut())?;
        let heads = model.heads(&output, Some(&self.targets), dropout)?;
        let losses = heads
            .loss
            .ok_or_else(|| ModelError::Input("the heads gave no loss".to_owned()))?;
        losses
            .f_mul(&self.weights)?
            .f_sum(Kind::Float)?
            .f_backward()?;
        let norm = grad_norm(&parameters.flat_grad())?;
        // One tensor, so that one copy brings everything to the host.
        let to_read = Tensor::f_cat(
            &[
                losses.f_detach()?.f_to_kind(Kind::Float)?,
                norm.f_to_kind(Kind::Float)?.f_reshape([1])?,
            ],
            0,
        )?;
        Ok(Results {
            to_read,
            norm: Some(norm),
        })
    }

    fn score(
        &self,
        model: &Model,
        mut dropout: Option<&mut DropoutStream>,
    ) -> Result<Results, ModelError> {
        // A table that is kept from pass to pass would be captured where it lies now.
        let modulation = model.fresh_modulation()?;
        let output = model.forward_with(&self.input, &modulation, dropout.as_deref_mut())?;
        let to_read = model.heads(&output, None, dropout)?.entropy;
        Ok(Results {
            to_read,
            norm: None,
        })
    }
}

struct Results {
    /// Losses and the gradient's norm, or entropies.
    to_read: Tensor,
    norm: Option<Tensor>,
}

/// A graph with the results that it writes.
struct Captured {
    graph: CudaGraph,
    results: Results,
    /// Which draw of a stream each of the graph's dropouts takes its seed from.
    draws: Vec<usize>,
}

struct Entry {
    key: Key,
    placed: Placed,
    captured: Option<Captured>,
    last_used: u64,
}

/// Captured graphs by bucket, the most recently used ones. They belong to one model.
pub struct StepGraphs {
    entries: Vec<Entry>,
    capacity: usize,
    calls: u64,
    replays: u64,
}

impl std::fmt::Debug for StepGraphs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StepGraphs")
            .field("buckets", &self.entries.len())
            .field("capacity", &self.capacity)
            .field("calls", &self.calls)
            .field("replays", &self.replays)
            .finish()
    }
}

impl StepGraphs {
    /// Keeps up to `capacity` buckets (1 at least). They share the memory between their launches.
    pub fn new(capacity: usize) -> Self {
        StepGraphs {
            entries: Vec::new(),
            capacity: capacity.max(1),
            calls: 0,
            replays: 0,
        }
    }

    /// Whether every operation of `model` can be captured, if it is on a GPU.
    ///
    /// # Errors
    /// What cannot: float32 attention, a head size or a width without a kernel, heads of other kinds.
    pub fn check(model: &Model) -> Result<(), ModelError> {
        let config = model.config();
        let encoder = &config.encoder;
        let head_dim = encoder.hidden_size / encoder.num_attention_heads.max(1);
        let problem = if let Some(head) = config.tasks.iter().find(|head| !head.kind.is_plain()) {
            format!(
                "task `{}` is {}, and graphs are for classifications and regressions",
                head.name,
                head.kind.describe()
            )
        } else if model.device() == Device::Cpu {
            return Ok(());
        } else if model.autocast_kind() != Some(Kind::BFloat16) {
            "attention has GPU kernels in bfloat16 only".to_owned()
        } else if !camtl_ops::fused() {
            "only fused operations can be captured".to_owned()
        } else if !matches!(head_dim, 32 | 64) {
            format!("attention has GPU kernels for heads of 32 and 64, not of {head_dim}")
        } else if encoder.hidden_size % 8 != 0 || encoder.hidden_size > 1024 {
            format!(
                "GPU kernels take multiples of 8 up to 1024 as the hidden size, not {}",
                encoder.hidden_size
            )
        } else if encoder.hidden_act == Activation::Gelu && encoder.intermediate_size % 8 != 0 {
            format!(
                "GPU kernels take multiples of 8 as the intermediate size, not {}",
                encoder.intermediate_size
            )
        } else {
            return Ok(());
        };
        Err(ModelError::Input(format!(
            "this model cannot be captured in graphs: {problem}"
        )))
    }

    /// Number of calls so far, and how many of them replayed a graph.
    pub fn usage(&self) -> (u64, u64) {
        (self.calls, self.replays)
    }

    /// Puts the gradient of the weighted sum of losses into the model's flat gradient.
    ///
    /// # Errors
    /// The batch has no bucket or does not fit the model, or libtorch refuses.
    pub fn gradients(
        &mut self,
        model: &Model,
        batch: &PlainBatch,
        dropout: Option<DropoutStream>,
    ) -> Result<Gradients, ModelError> {
        let (mut values, norm) = self.results(model, batch, true, dropout)?;
        let (Some(grad_norm), Some(grad_norm_on_device)) = (values.pop(), norm) else {
            return Err(ModelError::Input("a training step gave no norm".to_owned()));
        };
        values.truncate(batch.tasks.len());
        Ok(Gradients {
            losses: values,
            grad_norm: f64::from(grad_norm),
            grad_norm_on_device,
        })
    }

    /// Entropy of what the heads say about each sequence, in nats; 0 for regressions.
    ///
    /// # Errors
    /// As [`StepGraphs::gradients`].
    pub fn uncertainties(
        &mut self,
        model: &Model,
        batch: &PlainBatch,
        dropout: Option<DropoutStream>,
    ) -> Result<Vec<f32>, ModelError> {
        let (mut values, _) = self.results(model, batch, false, dropout)?;
        values.truncate(batch.tasks.len());
        Ok(values)
    }

    fn results(
        &mut self,
        model: &Model,
        batch: &PlainBatch,
        trains: bool,
        dropout: Option<DropoutStream>,
    ) -> Result<(Vec<f32>, Option<Tensor>), ModelError> {
        let bucket = batch.bucket(model.config().max_length).ok_or_else(|| {
            ModelError::Input(format!(
                "there is no graph for a batch of {} tokens with a sequence of {}",
                batch.input_ids.len(),
                batch.longest()
            ))
        })?;
        let key = Key {
            bucket,
            trains,
            dropout: dropout.is_some(),
        };
        self.calls += 1;
        if model.lowers() {
            // Not in the graph: parameters may change by other means than its steps.
            model.parameters().lower()?;
        }
        let filled = batch.filled(&bucket);
        let known = self.entries.iter().position(|entry| entry.key == key);
        let results = match known {
            None => {
                let placed = Placed::new(&filled, &bucket, model, model.device())?;
                let results = first(&placed, model, trains, dropout)?;
                self.make_room();
                self.entries.push(Entry {
                    key,
                    placed,
                    captured: None,
                    last_used: self.calls,
                });
                results
            }
            Some(at) => {
                let fresh = Placed::new(&filled, &bucket, model, Device::Cpu)?;
                // Any graph lends the pool that all of them share.
                let shared = self
                    .entries
                    .iter()
                    .find_map(|entry| entry.captured.as_ref());
                let captured = match (&self.entries[at].captured, model.device()) {
                    (None, Device::Cuda(_)) => Some(capture(
                        &self.entries[at].placed,
                        model,
                        trains,
                        dropout.clone(),
                        shared.map(|captured| &captured.graph),
                    )?),
                    _ => None,
                };
                let entry = &mut self.entries[at];
                entry.captured = captured.or(entry.captured.take());
                entry.last_used = self.calls;
                entry.placed.assign(&fresh)?;
                match &entry.captured {
                    Some(captured) => {
                        self.replays += 1;
                        captured.replay(dropout)?
                    }
                    None => first(&entry.placed, model, trains, dropout)?,
                }
            }
        };
        let values = Vec::<f32>::try_from(&results.to_read.f_to_device(Device::Cpu)?)?;
        Ok((values, results.norm))
    }

    /// Gives up the bucket that was not used for the longest time if all places are taken.
    fn make_room(&mut self) {
        if self.entries.len() < self.capacity {
            return;
        }
        let oldest = (0..self.entries.len()).min_by_key(|&at| self.entries[at].last_used);
        if let Some(oldest) = oldest {
            self.entries.swap_remove(oldest);
        }
    }
}

/// Computes launch by launch; on a GPU on the stream that the capture will use.
fn first(
    placed: &Placed,
    model: &Model,
    trains: bool,
    mut dropout: Option<DropoutStream>,
) -> Result<Results, ModelError> {
    let mut work = || placed.compute(model, trains, dropout.as_mut());
    match model.device() {
        Device::Cuda(_) => CaptureScope::enter(model.device())?.run(work),
        _ => work(),
    }
}

fn capture(
    placed: &Placed,
    model: &Model,
    trains: bool,
    dropout: Option<DropoutStream>,
    shared: Option<&CudaGraph>,
) -> Result<Captured, ModelError> {
    let mut stream = dropout.clone();
    let (graph, results) = CudaGraph::capture(model.device(), shared, || {
        placed.compute(model, trains, stream.as_mut())
    })?;
    let given = stream.as_ref().map_or(0, DropoutStream::given);
    if graph.seeds().len() != given {
        return Err(ModelError::Input(format!(
            "a step of {given} dropouts was captured with {}: an operation without a GPU kernel draws its mask on \
             the host, which no graph can",
            graph.seeds().len()
        )));
    }
    let draws = match dropout {
        Some(mut stream) => places_of(graph.seeds(), &mut stream)?,
        None => Vec::new(),
    };
    Ok(Captured {
        graph,
        results,
        draws,
    })
}

/// The number of the draw of `stream` that gives each seed.
fn places_of(seeds: &[u64], stream: &mut DropoutStream) -> Result<Vec<usize>, ModelError> {
    // Draws of probability 0 are none of the graph's; there are never as many as this.
    let most = 16 * (seeds.len() + 1);
    let drawn: Vec<u64> = (0..most)
        .filter_map(|_| Some(stream.next_with(0.5)?.seed))
        .collect();
    seeds
        .iter()
        .map(|seed| {
            drawn.iter().position(|drawn| drawn == seed).ok_or_else(|| {
                ModelError::Input("a captured dropout has a seed of another stream".to_owned())
            })
        })
        .collect()
}

impl Captured {
    fn replay(&self, dropout: Option<DropoutStream>) -> Result<Results, ModelError> {
        let mut seeds = Vec::new();
        if let Some(mut stream) = dropout {
            let most = self.draws.iter().max().map_or(0, |last| last + 1);
            let drawn: Vec<u64> = (0..most)
                .filter_map(|_| Some(stream.next_with(0.5)?.seed))
                .collect();
            seeds.extend(self.draws.iter().map(|&place| drawn[place]));
        }
        self.graph.replay(&seeds)?;
        Ok(Results {
            to_read: self.results.to_read.shallow_clone(),
            norm: self.results.norm.as_ref().map(Tensor::shallow_clone),
        })
    }
}
