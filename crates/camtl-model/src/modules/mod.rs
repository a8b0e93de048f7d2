//! What makes the encoder depend on the task: one file per module, behind [`TaskModule`], and one
//! list, [`MODULES`].

mod alignment;
mod attention_bias;
mod bottleneck;
mod layer_norm;
mod skip_path;
pub(crate) mod task_vectors;

use camtl_ops::Packing;
use tch::Tensor;

use crate::config::ModelConfig;
use crate::error::ModelError;
pub use crate::execution::modulation::{Film, Modulation, NormRows};
use crate::execution::pass::{Hidden, Pass};
use crate::folding::Folding;
use crate::parameters::build::{Builder, Map, Site};
use task_vectors::TaskVectors;

/// Makes a module if the configuration asks for it.
type Make = fn(&ModelConfig) -> Option<Box<dyn TaskModule>>;

/// All modules, in the order in which they declare parameters and act at a place they share.
const MODULES: [Make; 5] = [
    alignment::make,
    attention_bias::make,
    layer_norm::make,
    bottleneck::make,
    skip_path::make,
];

/// The modules of `config`, which have yet to declare their parameters.
pub(crate) fn modules(config: &ModelConfig) -> Vec<Box<dyn TaskModule>> {
    MODULES.iter().filter_map(|make| make(config)).collect()
}

/// What a module keeps from layer to layer of one pass.
pub(crate) type Carried = Option<Tensor>;

/// Where in the encoder a product stands.
#[derive(Clone, Copy)]
#[expect(
    dead_code,
    reason = "modules that change products or sublayers read it"
)]
pub(crate) struct Products<'a> {
    /// The layer, from 0.
    pub(crate) index: usize,
    /// The maps whose outputs stand side by side in the product's columns, equally wide.
    pub(crate) maps: &'a [Map],
    /// The layout of its rows. Those of a task are contiguous.
    pub(crate) layout: &'a Packing,
}

/// Where in the encoder the output of a sublayer stands.
#[derive(Clone, Copy)]
#[expect(
    dead_code,
    reason = "modules that change products or sublayers read it"
)]
pub(crate) struct Sublayer<'a> {
    /// The layer, from 0.
    pub(crate) index: usize,
    /// The layout of its rows.
    pub(crate) layout: &'a Packing,
}

/// One thing that depends on the task. Only [`declare`](TaskModule::declare) has to be there: a module
/// keeps the handles of the parameters it declares at the sites it is offered, and acts where it wants
/// to. Whatever it returns at a place takes that of the value it was given.
pub(crate) trait TaskModule: std::fmt::Debug + Send + Sync {
    /// Declares parameters at `site`, or looks at those declared just before.
    fn declare(&mut self, site: Site<'_>, list: &mut Builder<'_>);

    /// Its rows of the table, one per task, where it is a function of the task vectors.
    fn rows(
        &self,
        _vectors: &mut TaskVectors<'_>,
        _table: &mut Modulation,
    ) -> Result<(), ModelError> {
        Ok(())
    }

    /// After the linear maps of `at`: `y = x W'` (+ b, unless the bias follows) [rows, out].
    fn after_linear(
        &self,
        _pass: &mut Pass<'_>,
        _at: Products<'_>,
        _x: &Tensor,
        y: Tensor,
    ) -> Result<Tensor, ModelError> {
        Ok(y)
    }

    /// After the attention's output map, before dropout, residual and norm: [rows, D].
    fn after_attention(
        &self,
        _pass: &mut Pass<'_>,
        _at: Sublayer<'_>,
        x: Tensor,
    ) -> Result<Tensor, ModelError> {
        Ok(x)
    }

    /// After the feed-forward block's output map, before dropout, residual and norm: [rows, D].
    fn after_feed_forward(
        &self,
        _pass: &mut Pass<'_>,
        _at: Sublayer<'_>,
        x: Tensor,
    ) -> Result<Tensor, ModelError> {
        Ok(x)
    }

    /// Beside a whole layer, whose input is `input`, all of its rows: `x` is what will get dropout,
    /// residual and norm, with the rows of `at`.
    fn beside_layer<'a>(
        &self,
        _pass: &mut Pass<'a>,
        _at: Sublayer<'_>,
        _input: &Hidden<'a>,
        x: Tensor,
    ) -> Result<Tensor, ModelError> {
        Ok(x)
    }

    /// After a layer with this output, whose attention sublayer gave `attention_output`.
    fn after_layer<'a>(
        &self,
        _pass: &mut Pass<'a>,
        _index: usize,
        output: &Hidden<'a>,
        _attention_output: &Tensor,
        _carried: &mut Carried,
    ) -> Result<Tensor, ModelError> {
        Ok(output.rows.shallow_clone())
    }

    /// After the last layer.
    fn after_encoder(
        &self,
        _pass: &mut Pass<'_>,
        output: Tensor,
        _carried: &Carried,
    ) -> Result<Tensor, ModelError> {
        Ok(output)
    }

    /// Puts what it does for one task into a plain encoder's weights, or beside them.
    fn fold(&self, folding: &mut Folding<'_>) -> Result<(), ModelError>;
}
