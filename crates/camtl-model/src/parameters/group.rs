//! What a parameter is to the optimiser: the one place that says which learning rate it takes.

use std::ops::Range;

use crate::parameters::spec::Module;
use crate::parameters::store::ParameterStore;

/// The parameters that share a learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParameterGroup {
    /// What the pretrained encoder consists of.
    Backbone,
    /// Conditional modules, their generators and the task vectors.
    Conditional,
    /// The tasks' output layers.
    Head,
}

impl ParameterGroup {
    /// The group of a module's parameters.
    pub fn of(module: Module) -> Self {
        match module {
            Module::Embeddings | Module::Layers | Module::Pooler => Self::Backbone,
            Module::Alignment
            | Module::TaskTransformation
            | Module::Attention
            | Module::LayerNorm
            | Module::Bottleneck
            | Module::TaskEmbeddings => Self::Conditional,
            Module::Heads => Self::Head,
        }
    }
}

impl ParameterStore {
    /// The flat buffer in stretches of one group, ascending, with the factor that `scale` gives to the
    /// group's learning rate: [`camtl_ops::AdamWOptions::lr_scales`]. Stretches whose factor is 1 are left
    /// out.
    ///
    /// ```
    /// use camtl_model::{EncoderConfig, MethodConfig, Model, ModelConfig, ParameterGroup, TaskHead};
    ///
    /// let config = ModelConfig {
    ///     encoder: EncoderConfig::bert(50, 16, 1, 2, 32, 16),
    ///     method: MethodConfig::plain(),
    ///     tasks: vec![TaskHead::classification("rte", 2)],
    ///     max_length: 16,
    ///     freeze: "0-0".parse().unwrap(),
    /// };
    /// let model = Model::new(&config, tch::Device::Cpu, 1)?;
    /// let scales = model.parameters().lr_scales(|group| match group {
    ///     ParameterGroup::Backbone => 1.0,
    ///     ParameterGroup::Conditional | ParameterGroup::Head => 10.0,
    /// });
    /// // The pooler, then the head's two rows and two biases.
    /// assert_eq!(scales, [(16 * 16 + 16..model.parameters().flat().numel() as i64, 10.0)]);
    /// # Ok::<(), camtl_model::ModelError>(())
    /// ```
    pub fn lr_scales(&self, scale: impl Fn(ParameterGroup) -> f64) -> Vec<(Range<i64>, f64)> {
        let mut starts: Vec<(i64, f64)> = self
            .entries()
            .iter()
            .filter_map(|entry| Some((entry.offset?, scale(ParameterGroup::of(entry.module)))))
            .collect();
        starts.sort_unstable_by_key(|(start, _)| *start);
        // A stretch ends where another factor begins, so the gaps between leaves belong to one.
        starts.dedup_by(|next, last| next.1 == last.1);
        let ends = starts.iter().skip(1).map(|(start, _)| *start);
        let end = self.flat().numel() as i64;
        starts
            .iter()
            .zip(ends.chain([end]))
            .filter(|((_, scale), _)| *scale != 1.0)
            .map(|((start, scale), end)| (*start..end, *scale))
            .collect()
    }
}
