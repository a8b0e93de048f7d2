//! The parameters: one flat buffer for all that are trained, one for their gradients.
//!
//! Every trained parameter is a view of [`ParameterStore::flat`], and its gradient a view of
//! [`ParameterStore::flat_grad`], so clipping, AdamW and all-reduce see one array. Frozen
//! parameters lie outside both. Parameters whose rows one matrix product should compute (query, key
//! and value; all generators that read the task vector) lie side by side and share one autograd
//! leaf. Each leaf starts on a multiple of 16 numbers; the gaps stay zero.
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, TaskHead};
//! use tch::Device;
//!
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert(50, 16, 1, 2, 32, 16),
//!     method: MethodConfig::plain(),
//!     tasks: vec![TaskHead::classification("rte", 2)],
//!     max_length: 16,
//!     freeze: "0-0".parse().unwrap(),
//! };
//! let model = Model::new(&config, Device::Cpu, 1).unwrap();
//! let parameters = model.parameters();
//! assert_eq!(parameters.num_trained(), 16 * 16 + 16 + 2 * 16 + 2); // pooler and head
//! let bias = parameters.tensor("decoders.0.model.bias").unwrap();
//! assert_eq!(bias.size(), [2]);
//! let _ = parameters.flat().fill_(1.0); // what an optimiser step does
//! assert_eq!(bias.double_value(&[1]), 1.0);
//! ```

mod mixed_precision;

use std::cell::RefCell;
use std::collections::BTreeMap;

use camtl_ops::set_grad_view;
use tch::{Device, Kind, Tensor, no_grad};

use crate::error::ModelError;
use crate::execution::linear_map::LoweredCopies;
use crate::parameters::init;
use crate::parameters::spec::{Block, Module, ParameterId, ParameterSpec};
use camtl_files::did_you_mean;

/// Leaves start on multiples of this many numbers (64 bytes), so that each can have its own learning rate.
const ALIGNMENT: i64 = camtl_ops::RANGE_ALIGNMENT;

/// One parameter of the store.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterEntry {
    /// Released state-dict name.
    pub name: String,
    /// Shape; linear weights are [out, in].
    pub shape: Vec<i64>,
    /// What it belongs to.
    pub module: Module,
    /// Whether it is trained.
    pub trainable: bool,
    /// Whether weight decay applies: not to biases and layer-norm weights, by the released rule.
    pub decay: bool,
    /// First element in [`ParameterStore::flat`]; none if frozen.
    pub offset: Option<i64>,
    pub(crate) spec: ParameterSpec,
    leaf: usize,
    row: i64,
}

impl ParameterEntry {
    /// Number of elements.
    pub fn numel(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// An autograd leaf: one parameter, or several whose rows lie side by side.
#[derive(Debug)]
struct Leaf {
    tensor: Tensor,
    offset: Option<i64>,
    members: usize,
    /// Whether it is a factor or a bias of matrix products: everything but the embeddings' tables.
    in_products: bool,
}

/// All parameters of a model.
#[derive(Debug)]
pub struct ParameterStore {
    entries: Vec<ParameterEntry>,
    index: BTreeMap<String, usize>,
    blocks: BTreeMap<Block, Vec<usize>>,
    leaves: Vec<Leaf>,
    flat: Tensor,
    flat_grad: Tensor,
    trained: i64,
    /// Copies in bfloat16, once mixed precision has asked for them.
    lowered: RefCell<Option<LoweredCopies>>,
}

impl ParameterStore {
    /// Allocates the parameters on `device`, all zero.
    pub(crate) fn new(specs: &[ParameterSpec], device: Device) -> Result<Self, ModelError> {
        let mut index = BTreeMap::new();
        let mut blocks: BTreeMap<Block, Vec<usize>> = BTreeMap::new();
        // Leaf of each (block, trained or frozen); a parameter outside blocks has its own.
        let mut shared: BTreeMap<(Block, bool), usize> = BTreeMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (at, spec) in specs.iter().enumerate() {
            index.insert(spec.name.clone(), at);
            match spec.block {
                None => groups.push(vec![at]),
                Some(block) => {
                    blocks.entry(block).or_default().push(at);
                    let group = *shared.entry((block, spec.trainable)).or_insert_with(|| {
                        groups.push(Vec::new());
                        groups.len() - 1
                    });
                    groups[group].push(at);
                }
            }
        }
        let numel = |members: &[usize]| members.iter().map(|&at| specs[at].numel()).sum::<i64>();
        let mut length = 0;
        let mut offsets = Vec::with_capacity(groups.len());
        for members in &groups {
            if specs[members[0]].trainable {
                offsets.push(Some(length));
                length += (numel(members) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            } else {
                offsets.push(None);
            }
        }
        let options = (Kind::Float, device);
        let flat = Tensor::f_zeros([length], options)?;
        let flat_grad = Tensor::f_zeros([length], options)?;
        let mut leaves = Vec::with_capacity(groups.len());
        let mut placed = vec![(0usize, 0i64); specs.len()];
        for (group, members) in groups.iter().enumerate() {
            let mut shape = specs[members[0]].shape.clone();
            let mut row = 0;
            for &at in members {
                placed[at] = (group, row);
                row += specs[at].shape.first().copied().unwrap_or(1);
            }
            if let Some(rows) = shape.first_mut() {
                *rows = row;
            }
            let tensor = match offsets[group] {
                // `detach` keeps the memory and makes the view an autograd leaf.
                Some(offset) => flat
                    .f_narrow(0, offset, numel(members))?
                    .f_view(&shape[..])?
                    .f_detach()?
                    .f_set_requires_grad(true)?,
                None => Tensor::f_zeros(&shape[..], options)?,
            };
            leaves.push(Leaf {
                tensor,
                offset: offsets[group],
                members: members.len(),
                in_products: specs[members[0]].module != Module::Embeddings,
            });
        }
        let entries = specs
            .iter()
            .zip(&placed)
            .map(|(spec, &(leaf, row))| {
                let columns: i64 = spec.shape.iter().skip(1).product();
                ParameterEntry {
                    name: spec.name.clone(),
                    shape: spec.shape.clone(),
                    module: spec.module,
                    trainable: spec.trainable,
                    decay: spec.decays,
                    offset: leaves[leaf].offset.map(|offset| offset + row * columns),
                    spec: spec.clone(),
                    leaf,
                    row,
                }
            })
            .collect();
        let trained = specs
            .iter()
            .filter(|spec| spec.trainable)
            .map(ParameterSpec::numel)
            .sum();
        let mut store = ParameterStore {
            entries,
            index,
            blocks,
            leaves,
            flat,
            flat_grad,
            trained,
            lowered: RefCell::new(None),
        };
        store.attach_gradients()?;
        Ok(store)
    }

    /// Starts the parameters for which `which` holds, each from its own stream of `seed`.
    pub(crate) fn initialise(
        &self,
        specs: &[ParameterSpec],
        seed: u64,
        which: impl Fn(&ParameterSpec) -> bool,
    ) -> Result<(), ModelError> {
        for (at, spec) in specs.iter().enumerate().filter(|(_, spec)| which(spec)) {
            let values = init::values(seed, &spec.name, spec.numel() as usize, spec.init);
            let values = Tensor::f_from_slice(&values)?.f_view(&spec.shape[..])?;
            self.assign(at, &values)?;
        }
        Ok(())
    }

    /// Makes every leaf's gradient a view of the flat gradient.
    fn attach_gradients(&mut self) -> Result<(), ModelError> {
        for leaf in &mut self.leaves {
            if let Some(offset) = leaf.offset {
                let numel = leaf.tensor.numel() as i64;
                let view = self
                    .flat_grad
                    .f_narrow(0, offset, numel)?
                    .f_view(&leaf.tensor.size()[..])?;
                set_grad_view(&mut leaf.tensor, &view)?;
            }
        }
        Ok(())
    }

    /// All parameters in state-dict order.
    pub fn entries(&self) -> &[ParameterEntry] {
        &self.entries
    }

    /// The entry called `name`.
    ///
    /// # Errors
    /// There is none; the message names the nearest.
    pub fn entry(&self, name: &str) -> Result<&ParameterEntry, ModelError> {
        Ok(&self.entries[self.position(name)?])
    }

    /// All trained parameters, 1-D fp32. Writing to it changes the model.
    pub fn flat(&self) -> Tensor {
        self.flat.shallow_clone()
    }

    /// Gradients of all trained parameters, in the layout of [`ParameterStore::flat`]. Backward
    /// passes add into it.
    pub fn flat_grad(&self) -> Tensor {
        self.flat_grad.shallow_clone()
    }

    /// Sets all gradients to zero.
    ///
    /// # Errors
    /// libtorch refuses.
    pub fn zero_grad(&self) -> Result<(), ModelError> {
        let _ = no_grad(|| self.flat_grad.shallow_clone().f_zero_())?;
        Ok(())
    }

    /// Number of trained parameters (without the gaps of the flat buffer).
    pub fn num_trained(&self) -> i64 {
        self.trained
    }

    /// Number of parameters.
    pub fn num_total(&self) -> i64 {
        self.entries.iter().map(ParameterEntry::numel).sum()
    }

    /// Ranges `start..end` of the flat buffer to which weight decay applies, ascending and merged.
    pub fn decay_ranges(&self) -> Vec<(i64, i64)> {
        let mut ranges: Vec<(i64, i64)> = self
            .entries
            .iter()
            .filter(|entry| entry.decay)
            .filter_map(|entry| entry.offset.map(|start| (start, start + entry.numel())))
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (start, end) in ranges {
            match merged.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => merged.push((start, end)),
            }
        }
        merged
    }

    /// The parameter called `name`, without gradient tracking; it shares the model's memory.
    ///
    /// # Errors
    /// There is none; the message names the nearest.
    pub fn tensor(&self, name: &str) -> Result<Tensor, ModelError> {
        self.value_at(self.position(name)?)
    }

    /// The gradient of the parameter called `name`, a view of the flat gradient; none if frozen.
    ///
    /// # Errors
    /// There is no such parameter; the message names the nearest.
    pub fn grad(&self, name: &str) -> Result<Option<Tensor>, ModelError> {
        let entry = self.entry(name)?;
        entry
            .offset
            .map(|offset| {
                Ok(self
                    .flat_grad
                    .f_narrow(0, offset, entry.numel())?
                    .f_view(&entry.shape[..])?)
            })
            .transpose()
    }

    /// Overwrites the parameter called `name` with `values` of the same shape (any float type).
    ///
    /// # Errors
    /// No such parameter, or another shape.
    pub fn set(&self, name: &str, values: &Tensor) -> Result<(), ModelError> {
        let at = self.position(name)?;
        if values.size() != self.entries[at].shape {
            return Err(ModelError::Input(format!(
                "`{name}` has shape {:?}, the new values {:?}",
                self.entries[at].shape,
                values.size()
            )));
        }
        self.assign(at, values)
    }

    fn assign(&self, at: usize, values: &Tensor) -> Result<(), ModelError> {
        no_grad(|| self.value_at(at)?.f_copy_(values).map_err(ModelError::from))
    }

    fn value_at(&self, at: usize) -> Result<Tensor, ModelError> {
        let entry = &self.entries[at];
        let rows = entry.shape.first().copied().unwrap_or(1);
        Ok(self.leaves[entry.leaf]
            .tensor
            .f_detach()?
            .f_narrow(0, entry.row, rows)?)
    }

    fn position(&self, name: &str) -> Result<usize, ModelError> {
        self.index
            .get(name)
            .copied()
            .ok_or_else(|| ModelError::UnknownParameter {
                name: name.to_string(),
                hint: did_you_mean(name, self.index.keys().map(String::as_str)),
            })
    }

    /// The handle of the parameter called `name`.
    ///
    /// # Errors
    /// There is none; the message names the nearest.
    #[cfg(test)]
    pub(crate) fn id(&self, name: &str) -> Result<ParameterId, ModelError> {
        self.position(name).map(ParameterId)
    }

    /// The handle of the entry at `at`.
    pub(crate) fn at(&self, at: usize) -> ParameterId {
        ParameterId(at)
    }

    pub(crate) fn name(&self, id: ParameterId) -> &str {
        &self.entries[id.0].name
    }

    /// Size of the first dimension.
    pub(crate) fn rows(&self, id: ParameterId) -> i64 {
        self.entries[id.0].shape.first().copied().unwrap_or(1)
    }

    /// The parameter without gradient tracking; it shares the model's memory.
    pub(crate) fn value(&self, id: ParameterId) -> Result<Tensor, ModelError> {
        self.value_at(id.0)
    }

    /// The parameter for use in a forward pass, with gradient tracking.
    pub(crate) fn tracked(&self, id: ParameterId) -> Result<Tensor, ModelError> {
        self.rows_at(id.0, |leaf| self.tracked_leaf(leaf))
    }

    fn tracked_leaf(&self, at: usize) -> Result<Tensor, ModelError> {
        Ok(self.leaves[at].tensor.shallow_clone())
    }

    /// The rows of the parameter at `at` in what `of` makes of its leaf; the whole if it has no others.
    fn rows_at(
        &self,
        at: usize,
        of: impl Fn(usize) -> Result<Tensor, ModelError>,
    ) -> Result<Tensor, ModelError> {
        let entry = &self.entries[at];
        let leaf = of(entry.leaf)?;
        if self.leaves[entry.leaf].members == 1 {
            return Ok(leaf);
        }
        let rows = entry.shape.first().copied().unwrap_or(1);
        Ok(leaf.f_narrow(0, entry.row, rows)?)
    }

    /// All rows of `block` in parameter order, in what `of` makes of its leaves.
    fn rows_of_block(
        &self,
        block: Block,
        of: impl Fn(usize) -> Result<Tensor, ModelError>,
    ) -> Result<Tensor, ModelError> {
        let members = self
            .blocks
            .get(&block)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if let Some(&first) = members.first() {
            let leaf = self.entries[first].leaf;
            if self.leaves[leaf].members == members.len() {
                return of(leaf);
            }
        }
        // Some rows are trained and some frozen.
        let parts = members
            .iter()
            .map(|&at| self.rows_at(at, &of))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// The leaves of `block` (trained rows and frozen rows apart), each with its parameters in row
    /// order.
    pub(crate) fn block_leaves(&self, block: Block) -> Vec<(Tensor, Vec<ParameterId>)> {
        let mut leaves: BTreeMap<usize, Vec<ParameterId>> = BTreeMap::new();
        for &at in self.blocks.get(&block).into_iter().flatten() {
            let leaf = self.entries[at].leaf;
            leaves.entry(leaf).or_default().push(ParameterId(at));
        }
        leaves
            .into_iter()
            .map(|(leaf, members)| (self.leaves[leaf].tensor.shallow_clone(), members))
            .collect()
    }

    /// Parameters of `block`, one after another; without a copy if they are all of one leaf.
    pub(crate) fn stacked(&self, block: Block, ids: &[ParameterId]) -> Result<Tensor, ModelError> {
        let mut leaves = self.block_leaves(block).into_iter();
        if let Some((leaf, _)) = leaves.find(|(_, members)| members == ids) {
            return Ok(leaf);
        }
        let parts = ids.iter().map(|&id| self.tracked(id));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// A number that changes whenever parameters are written: the sum of libtorch's version
    /// counters of the flat buffer and of the frozen parameters.
    pub(crate) fn version(&self) -> Result<i64, ModelError> {
        let (trained, frozen) = self.versions()?;
        Ok(trained + frozen)
    }

    fn versions(&self) -> Result<(i64, i64), ModelError> {
        let mut frozen = 0;
        for leaf in self.leaves.iter().filter(|leaf| leaf.offset.is_none()) {
            frozen += leaf.tensor.f_internal_version()?;
        }
        Ok((self.flat.f_internal_version()?, frozen))
    }
}
