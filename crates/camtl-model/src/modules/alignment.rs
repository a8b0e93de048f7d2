//! Conditional alignment: `(1+γ)⊙e + β` on the embeddings, from the task embedding itself.

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::execution::modulation::Modulation;
use crate::folding::Folding;
use crate::modules::TaskModule;
use crate::modules::task_vectors::TaskVectors;
use crate::parameters::build::{Builder, Site};
use crate::parameters::spec::{LinearId, Module};

#[derive(Debug, Default)]
struct Alignment {
    generator: Option<LinearId>,
}

pub(super) fn make(config: &ModelConfig) -> Option<Box<dyn TaskModule>> {
    let wanted = config.method.conditional_alignment;
    wanted.then(|| Box::new(Alignment::default()) as _)
}

impl TaskModule for Alignment {
    fn declare(&mut self, site: Site<'_>, list: &mut Builder<'_>) {
        if let Site::Start { name } = site {
            let name = format!("{name}.conditional_alignment");
            self.generator = Some(list.own_generator(&name, Module::Alignment));
        }
    }

    fn rows(
        &self,
        vectors: &mut TaskVectors<'_>,
        table: &mut Modulation,
    ) -> Result<(), ModelError> {
        if let Some(generator) = self.generator {
            table.alignment = Some(vectors.film(vectors.embeddings(), generator)?);
        }
        Ok(())
    }

    /// `(1+γ)⊙(x̂⊙w + b) + β = x̂⊙((1+γ)⊙w) + ((1+γ)⊙b + β)`, a layer norm again.
    fn fold(&self, folding: &mut Folding<'_>) -> Result<(), ModelError> {
        if let Some(film) = folding.modulation.alignment() {
            let (gain, offset) = folding.film(film)?;
            let id = folding.encoder.embedding_norm;
            let weight = folding.parameter(id.weight)?.f_mul(&gain)?;
            let bias = folding.parameter(id.bias)?.f_mul(&gain)?.f_add(&offset)?;
            folding.replace(id.weight, weight);
            folding.replace(id.bias, bias);
            folding.folded("alignment");
        }
        Ok(())
    }
}
