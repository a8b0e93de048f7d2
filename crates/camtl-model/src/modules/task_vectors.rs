//! The task embedding and what reads its linear image z': the table of modulations is filled from
//! here.
//!
//! All linear maps that read z' (attention and norm generators, the bottlenecks' own transformations)
//! have their rows side by side in memory, so one matrix product evaluates them all (for eight tasks
//! at a time, so that the number of tasks changes nobody's bits).

use std::collections::BTreeMap;

use tch::Tensor;

use crate::config::TaskVectorInit;
use crate::error::ModelError;
use crate::execution::invariance as tiles;
use crate::execution::modulation::{Film, LayerModulation, Modulation};
use crate::modules::TaskModule;
use crate::parameters::build::{Builder, Site, TaskMap};
use crate::parameters::spec::{Block, Init, LinearId, Module, ParameterId};
use crate::parameters::store::ParameterStore;

/// Where task vectors are.
#[derive(Debug, Default)]
pub(crate) struct TaskVectorIds {
    embeddings: Option<ParameterId>,
    transformation: Option<LinearId>,
    /// By their weights.
    pub(crate) maps: BTreeMap<ParameterId, TaskMap>,
}

impl TaskVectorIds {
    /// The embedding is declared before all modules, the map to z' before the layers.
    pub(crate) fn declare(&mut self, site: Site<'_>, list: &mut Builder<'_>) {
        let config = list.config;
        let (method, width) = (&config.method, config.encoder.hidden_size);
        match site {
            Site::Start { name } if method.is_conditional() => {
                let name = format!("{name}.task_type_embeddings.weight");
                let shape = [config.tasks.len() as i64, width];
                let start = match method.task_vector_init {
                    TaskVectorInit::Small => list.normal(),
                    TaskVectorInit::Unit => Init::Normal((width as f64).sqrt().recip()),
                };
                let id = list.push(name, &shape, Module::TaskEmbeddings, start);
                list.spec_mut(id).in_table = true;
                list.spec_mut(id).per_task = true;
                self.embeddings = Some(id);
            }
            Site::EncoderStart { name } if method.reads_transformed_task() => {
                let name = format!("{name}.task_transformation");
                let module = Module::TaskTransformation;
                let init = list.task_map_init();
                self.transformation = Some(list.table_linear(&name, [width, width], module, init));
            }
            _ => {}
        }
    }

    /// The table of modulations of all tasks.
    pub(crate) fn table(
        &self,
        store: &ParameterStore,
        layers: usize,
        modules: &[Box<dyn TaskModule>],
    ) -> Result<Modulation, ModelError> {
        let mut table = Modulation {
            layers: (0..layers).map(|_| LayerModulation::default()).collect(),
            ..Modulation::default()
        };
        let Some(embeddings) = self.embeddings else {
            return Ok(table);
        };
        let mut vectors = TaskVectors {
            store,
            embeddings: store.tracked(embeddings)?,
            outputs: BTreeMap::new(),
        };
        if let Some(id) = self.transformation {
            let z = vectors.linear(&vectors.embeddings, id)?;
            for (weight, members) in store.block_leaves(Block::TaskMapWeight) {
                self.apply(&z, &weight, &members, &mut vectors)?;
            }
            table.task_vectors = Some(z);
        }
        for module in modules {
            module.rows(&mut vectors, &mut table)?;
        }
        Ok(table)
    }

    /// Applies one leaf of stacked linear maps to z' and files the parts of their outputs.
    fn apply(
        &self,
        z: &Tensor,
        weight: &Tensor,
        members: &[ParameterId],
        vectors: &mut TaskVectors<'_>,
    ) -> Result<(), ModelError> {
        let store = vectors.store;
        let maps: Vec<TaskMap> = members.iter().map(|weight| self.maps[weight]).collect();
        let biases: Vec<ParameterId> = maps.iter().map(|map| map.id.bias).collect();
        let bias = store.stacked(Block::TaskMapBias, &biases)?;
        // Splitting once into the final pieces keeps the backward pass to one concatenation.
        let mut sizes = Vec::new();
        for map in &maps {
            let rows = store.rows(map.id.weight);
            sizes.extend((0..map.parts).map(|_| rows / map.parts));
        }
        let mut pieces = tiles::linear(z, weight, Some(&bias), Some(tiles::TASKS))?
            .f_split_with_sizes(&sizes[..], 1)?
            .into_iter();
        for map in &maps {
            let parts = pieces.by_ref().take(map.parts as usize).collect();
            vectors.outputs.insert(map.id.weight, parts);
        }
        Ok(())
    }
}

/// What modules compute their rows from.
pub(crate) struct TaskVectors<'a> {
    pub(crate) store: &'a ParameterStore,
    embeddings: Tensor,
    /// Outputs of the maps of z', by weight, in parts.
    outputs: BTreeMap<ParameterId, Vec<Tensor>>,
}

impl TaskVectors<'_> {
    /// The task embedding, [T, D].
    pub(crate) fn embeddings(&self) -> &Tensor {
        &self.embeddings
    }

    /// Output of a linear map of z' in its parts, [T, out / PARTS] each.
    pub(crate) fn take<const PARTS: usize>(
        &mut self,
        id: LinearId,
    ) -> Result<[Tensor; PARTS], ModelError> {
        let found = self.outputs.remove(&id.weight).unwrap_or_default();
        found.try_into().map_err(|found: Vec<Tensor>| {
            let name = self.store.name(id.weight);
            ModelError::Input(format!(
                "`{name}` gave {} parts, expected {PARTS}",
                found.len()
            ))
        })
    }

    /// `x W' + b` for one row per task.
    fn linear(&self, x: &Tensor, id: LinearId) -> Result<Tensor, ModelError> {
        let weight = self.store.tracked(id.weight)?;
        let bias = self.store.tracked(id.bias)?;
        tiles::linear(x, &weight, Some(&bias), Some(tiles::TASKS))
    }

    /// Gain and offset from a generator that reads `z` itself.
    pub(crate) fn film(&self, z: &Tensor, generator: LinearId) -> Result<Film, ModelError> {
        let mut halves = self.linear(z, generator)?.f_chunk(2, 1)?.into_iter();
        match (halves.next(), halves.next()) {
            (Some(gamma), Some(beta)) => Ok(Film { gamma, beta }),
            _ => Err(ModelError::Input(format!(
                "`{}` has no gain and offset",
                self.store.name(generator.weight)
            ))),
        }
    }
}
