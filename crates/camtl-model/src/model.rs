//! The model: a packed-batch encoder with conditional modules and one head per task.
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, Preset, TaskHead, Variant};
//! use camtl_ops::{Packing, Targets};
//! use tch::{Device, Kind};
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 48, 2, 4, 96, 32),
//!     method: MethodConfig::new(Preset::Released, Variant::Base),
//!     tasks: vec![TaskHead::classification("rte", 2), TaskHead::regression("sts-b")],
//!     max_length: 16,
//!     freeze: Default::default(),
//! };
//! let model = Model::new(&config, Device::Cpu, 12).unwrap();
//! let packing = Packing::new(&[0, 3, 5], &[0, 1], Device::Cpu).unwrap();
//! let input = ModelInput::new(&[2, 7, 3, 2, 3], &[0; 5], &[0, 1, 2, 0, 1], packing).unwrap();
//! let output = model.forward(&input, None).unwrap();
//! assert_eq!(output.pooled.size(), [2, 48]);
//!
//! let targets = Targets::new(&[1, 0], &[0.0, 3.5], Device::Cpu).unwrap();
//! let heads = model.heads(&output, Some(&targets), None).unwrap();
//! heads.loss.unwrap().mean(Kind::Float).backward();
//! assert!(model.parameters().flat_grad().abs().max().double_value(&[]) > 0.0);
//! ```

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use camtl_ops::{AutocastGuard, DropoutStream, Packing};
use tch::{Device, Kind, Tensor};

use crate::config::{ModelConfig, TaskHead};
use crate::error::ModelError;
use crate::execution::forward::{EncoderOutput, Forward};
use crate::execution::input::ModelInput;
use crate::execution::invariance;
use crate::execution::modulation::Modulation;
use crate::execution::pass::{Pass, Rows};
use crate::execution::trace::Trace;
use crate::parameters::Module;
use crate::parameters::spec::ParameterSpec;
use crate::parameters::store::ParameterStore;
use crate::structure::Structure;
use crate::weights::{LoadReport, load_pretrained};

/// The result of a forward pass.
#[derive(Debug)]
pub struct Output {
    /// Pooler (dense and tanh) on the first token of each sequence, [B, D].
    pub pooled: Tensor,
    /// Hidden states of all tokens, [N, D]; only if a task of the batch reads them, or from
    /// [`Model::forward_all`].
    pub sequence: Option<Tensor>,
    layout: Rc<Packing>,
}

impl Output {
    /// Layout of `pooled`: B sequences of one row.
    pub fn layout(&self) -> &Packing {
        &self.layout
    }
}

/// A model with its parameters.
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    structure: Structure,
    store: ParameterStore,
    device: Device,
    /// What forward passes compute products in, if not float32.
    autocast: Option<Kind>,
    /// Whether a step can change the modulation.
    modulation_trained: bool,
    /// The modulation and the parameters' version it was computed from.
    cache: RefCell<Option<(i64, Modulation)>>,
    /// A leaf that shows whether autograd records.
    probe: Tensor,
    batch_invariant: bool,
}

impl Model {
    /// A model with all parameters at their seeded start: the same bytes on every machine.
    ///
    /// # Errors
    /// The configuration is not valid, or the device is not there.
    pub fn new(config: &ModelConfig, device: Device, seed: u64) -> Result<Self, ModelError> {
        Model::build(config, device, seed, |_| true)
    }

    /// A model of which only the parameters with `start` are at their seeded start; the others are
    /// zero and to be loaded.
    pub(crate) fn build(
        config: &ModelConfig,
        device: Device,
        seed: u64,
        start: fn(&ParameterSpec) -> bool,
    ) -> Result<Self, ModelError> {
        let (structure, specs) = Structure::new(config)?;
        let store = ParameterStore::new(&specs, device)?;
        store.initialise(&specs, seed, start)?;
        let modulation_trained = specs.iter().any(|spec| spec.trainable && spec.in_table);
        Ok(Model {
            config: config.clone(),
            structure,
            store,
            device,
            autocast: None,
            modulation_trained,
            cache: RefCell::new(None),
            probe: Tensor::f_zeros([1], (tch::Kind::Float, Device::Cpu))?
                .f_set_requires_grad(true)?,
            batch_invariant: false,
        })
    }

    /// A model whose encoder comes from a Hugging Face folder (`model.safetensors`, or shards with
    /// their index); modules and heads start as in [`Model::new`].
    ///
    /// # Errors
    /// As [`Model::new`]; or tensors are missing, unknown, misshapen or of another type: all of them
    /// are listed at once.
    pub fn from_pretrained(
        config: &ModelConfig,
        dir: &Path,
        device: Device,
        seed: u64,
    ) -> Result<(Self, LoadReport), ModelError> {
        // A pooler may be missing in the file; everything else of the encoder must be there.
        let model = Model::build(config, device, seed, |spec| {
            spec.pretrained().is_none() || spec.module == Module::Pooler
        })?;
        let report = load_pretrained(&model.store, config.encoder.model_type, dir)?;
        Ok((model, report))
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Sets the bias of the head of task number `task`, [C] for C outputs.
    ///
    /// # Errors
    /// There is no such task, or `bias` has another shape.
    pub fn set_head_bias(&self, task: usize, bias: &Tensor) -> Result<(), ModelError> {
        self.store.set(&format!("decoders.{task}.model.bias"), bias)
    }

    /// Lets forward passes compute matrix products and attention in `kind` (`BFloat16`), parameters
    /// staying float32; `None` computes everything in float32, as a new model does.
    pub fn set_autocast(&mut self, kind: Option<Kind>) {
        self.autocast = kind;
    }

    /// What forward passes compute products in, if not float32.
    pub(crate) fn autocast_kind(&self) -> Option<Kind> {
        self.autocast
    }

    /// Whether products take bfloat16 copies of the parameters: in mixed precision on a GPU, where each
    /// conversion would be a launch.
    pub(crate) fn lowers(&self) -> bool {
        self.autocast == Some(Kind::BFloat16) && matches!(self.device, Device::Cuda(_))
    }

    /// Mixed precision for the calls until the guard is dropped, if it is wanted.
    fn autocast(&self) -> Result<Option<AutocastGuard>, ModelError> {
        let guard = self
            .autocast
            .map(|kind| AutocastGuard::new(self.device, kind));
        Ok(guard.transpose()?)
    }

    /// Whether a sequence's outputs shall have the same bits whatever else is in its batch, for the
    /// same number of threads. Off at first: products are then computed in tiles of fixed size, which
    /// costs some speed, most of it in small batches, and all tokens are computed if any of the model's
    /// heads reads them.
    pub fn set_batch_invariant(&mut self, on: bool) {
        self.batch_invariant = on;
    }

    /// Who has which parameters.
    pub(crate) fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The parameters.
    pub fn parameters(&self) -> &ParameterStore {
        &self.store
    }

    /// The table of modulations for all tasks. While autograd does not record (or nothing in it is
    /// trained) it is computed once and kept until parameters change.
    ///
    /// # Errors
    /// libtorch refuses.
    pub fn modulation(&self) -> Result<Modulation, ModelError> {
        let records = self.probe.f_neg()?.requires_grad();
        if records && self.modulation_trained {
            return self.fresh_modulation();
        }
        let version = self.store.version()?;
        let mut cache = self.cache.borrow_mut();
        if let Some((kept, modulation)) = cache.as_ref()
            && *kept == version
        {
            return modulation.shallow_clone();
        }
        let modulation = self.fresh_modulation()?;
        *cache = Some((version, modulation.shallow_clone()?));
        Ok(modulation)
    }

    /// The table of modulations, computed here and now whatever was kept.
    pub(crate) fn fresh_modulation(&self) -> Result<Modulation, ModelError> {
        let conditions = &self.structure.conditions;
        let layers = self.structure.encoder.layers.len();
        conditions
            .task_vectors
            .table(&self.store, layers, &conditions.modules)
    }

    /// Pooled output of a batch, and hidden states if a task of the batch has a head that reads them.
    /// Only first tokens are computed where only they are read.
    ///
    /// `dropout` gives the masks' seeds; their probabilities are the encoder configuration's. None
    /// is evaluation.
    ///
    /// # Errors
    /// The batch does not fit the model (length, ids, tasks), or libtorch refuses.
    pub fn forward(
        &self,
        input: &ModelInput,
        dropout: Option<&mut DropoutStream>,
    ) -> Result<Output, ModelError> {
        self.forward_with(input, &self.modulation()?, dropout)
    }

    /// [`Model::forward`] with a modulation computed before, for several batches of one step.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_with(
        &self,
        input: &ModelInput,
        modulation: &Modulation,
        dropout: Option<&mut DropoutStream>,
    ) -> Result<Output, ModelError> {
        let reads_tokens = |head: &TaskHead| head.kind.needs_tokens();
        // The two ways differ in their last bits, so which one is taken must not depend on the batch.
        let of_batch = || {
            self.head_that(input.packing.tasks(), reads_tokens)
                .is_some()
        };
        let of_model = || self.config.tasks.iter().any(reads_tokens);
        let all = if self.batch_invariant {
            of_model()
        } else {
            of_batch()
        };
        let rows = if all { Rows::All } else { Rows::FirstTokens };
        self.run(input, modulation, dropout, rows, None)
    }

    /// Pooled output and the hidden states of all tokens.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_all(
        &self,
        input: &ModelInput,
        dropout: Option<&mut DropoutStream>,
    ) -> Result<Output, ModelError> {
        self.run(input, &self.modulation()?, dropout, Rows::All, None)
    }

    /// Everything the encoder computes on its way, for all tokens, without dropout.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_traced(&self, input: &ModelInput) -> Result<(Output, Trace), ModelError> {
        let mut trace = Trace::default();
        let output = self.run(
            input,
            &self.modulation()?,
            None,
            Rows::All,
            Some(&mut trace),
        )?;
        trace.sequence_output = output.sequence.as_ref().map(Tensor::shallow_clone);
        trace.pooled = Some(output.pooled.shallow_clone());
        Ok((output, trace))
    }

    fn run(
        &self,
        input: &ModelInput,
        modulation: &Modulation,
        dropout: Option<&mut DropoutStream>,
        rows: Rows,
        trace: Option<&mut Trace>,
    ) -> Result<Output, ModelError> {
        self.check_input(input)?;
        let _autocast = self.autocast()?;
        let lowered = self.lowers();
        if lowered {
            self.store.lower()?;
        }
        let pass = Pass {
            config: &self.config,
            store: &self.store,
            modulation,
            input,
            // A stream with probability 0 turns dropout off.
            dropout: dropout.filter(|stream| stream.p() > 0.0),
            batch_invariant: self.batch_invariant,
            lowered,
            rows,
            trace,
        };
        let Structure {
            encoder,
            conditions,
            ..
        } = &self.structure;
        let EncoderOutput { first, sequence } =
            Forward::new(pass, encoder, &conditions.modules).run()?;
        // The heads, which are small, compute in float32 in every precision.
        let pooled = self
            .store
            .linear(encoder.pooler, lowered)?
            .apply(&first, self.tile())?
            .f_to_kind(Kind::Float)?
            .f_tanh()?;
        let sequence = match sequence {
            Some(sequence) => Some(sequence.f_to_kind(Kind::Float)?),
            None => None,
        };
        Ok(Output {
            pooled,
            sequence,
            layout: Rc::clone(&input.first_tokens),
        })
    }

    /// Height of the tiles that products are computed in; `None` computes them whole.
    pub(crate) fn tile(&self) -> Option<i64> {
        self.batch_invariant.then_some(invariance::ROWS)
    }

    fn check_input(&self, input: &ModelInput) -> Result<(), ModelError> {
        let longest = input.packing.max_len();
        let limit = self.config.max_length as i64;
        if longest > limit {
            return Err(ModelError::Input(format!(
                "a sequence has {longest} tokens, but the model was made for max_length {limit}; \
                 truncate it when tokenising"
            )));
        }
        let positions = self.config.encoder.max_sequence_length();
        if input.max_position >= positions {
            return Err(ModelError::Input(format!(
                "position {} is outside the encoder's {positions} positions",
                input.max_position
            )));
        }
        let tasks = self.config.tasks.len() as i64;
        if input.packing.num_tasks() > tasks {
            return Err(ModelError::Input(format!(
                "the batch has task {}, but the model's tasks are 0 to {}",
                input.packing.num_tasks() - 1,
                tasks - 1
            )));
        }
        Ok(())
    }
}
