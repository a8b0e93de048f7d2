//! How many parameters a configuration has, and how many are trained: from shapes alone.
//!
//! No weights and no tensors are needed. The counts of docs/method.md follow:
//!
//! ```
//! use camtl_model::{EncoderConfig, MethodConfig, ModelConfig, ParameterReport, Preset, TaskHead, Variant};
//!
//! let tasks = (0..8).map(|task| match task {
//!     0 => TaskHead::classification("mnli", 3),
//!     1 => TaskHead::regression("sts-b"),
//!     _ => TaskHead::classification(&format!("task{task}"), 2),
//! });
//! let config = ModelConfig {
//!     encoder: EncoderConfig::bert_base_cased(),
//!     method: MethodConfig::new(Preset::Released, Variant::Base),
//!     tasks: tasks.collect(),
//!     max_length: 128,
//!     freeze: "0-4".parse().unwrap(),
//! };
//! let report = ParameterReport::new(&config).unwrap();
//! assert_eq!(report.total, 128_063_264);
//! assert_eq!(report.trained, 69_789_508);
//! assert_eq!(report.backbone, 108_310_272);
//! assert_eq!(report.marginal_per_task, 2_306);
//! ```

use serde::Serialize;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::parameters::Module;
use crate::structure::parameter_specs;

/// Parameters of one module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ModuleCount {
    /// The module.
    pub module: Module,
    /// All its parameters.
    pub total: u64,
    /// Those that are trained.
    pub trained: u64,
}

/// Parameter counts of one configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParameterReport {
    /// All parameters, heads included.
    pub total: u64,
    /// Trained parameters.
    pub trained: u64,
    /// Parameters of the plain encoder (embeddings, layers, pooler).
    pub backbone: u64,
    /// Trained parameters of the plain encoder.
    pub backbone_trained: u64,
    /// `total / backbone`.
    pub total_ratio: f64,
    /// `trained / backbone`.
    pub trained_ratio: f64,
    /// Number of tasks T.
    pub tasks: usize,
    /// `100 · trained / T / backbone`: the paper's "trained parameters per task".
    pub trained_per_task_percent: f64,
    /// What one more task with two labels adds: its row of the task embedding and its head.
    pub marginal_per_task: u64,
    /// Counts by module, in a fixed order; modules without parameters are left out.
    pub modules: Vec<ModuleCount>,
}

impl ParameterReport {
    /// Counts the parameters of `config`.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn new(config: &ModelConfig) -> Result<Self, ModelError> {
        let specs = parameter_specs(config)?;
        let mut modules: Vec<ModuleCount> = Module::ALL
            .iter()
            .map(|&module| ModuleCount {
                module,
                total: 0,
                trained: 0,
            })
            .collect();
        for spec in &specs {
            let numel = spec.numel() as u64;
            for count in modules
                .iter_mut()
                .filter(|count| count.module == spec.module)
            {
                count.total += numel;
                count.trained += if spec.trainable { numel } else { 0 };
            }
        }
        modules.retain(|count| count.total > 0);
        let sum = |field: fn(&ModuleCount) -> u64, backbone_only: bool| -> u64 {
            modules
                .iter()
                .filter(|count| !backbone_only || count.module.is_backbone())
                .map(field)
                .sum()
        };
        let total = sum(|count| count.total, false);
        let trained = sum(|count| count.trained, false);
        let backbone = sum(|count| count.total, true);
        let backbone_trained = sum(|count| count.trained, true);
        let width = config.encoder.hidden_size as u64;
        let embedding = if config.method.is_conditional() {
            width
        } else {
            0
        };
        let tasks = config.tasks.len();
        Ok(ParameterReport {
            total,
            trained,
            backbone,
            backbone_trained,
            total_ratio: total as f64 / backbone as f64,
            trained_ratio: trained as f64 / backbone as f64,
            tasks,
            trained_per_task_percent: 100.0 * trained as f64 / tasks as f64 / backbone as f64,
            marginal_per_task: embedding + 2 * width + 2,
            modules,
        })
    }

    /// Counts of `module`; zero if the configuration has none.
    pub fn module(&self, module: Module) -> ModuleCount {
        self.modules
            .iter()
            .copied()
            .find(|count| count.module == module)
            .unwrap_or(ModuleCount {
                module,
                total: 0,
                trained: 0,
            })
    }

    /// Share of the backbone that is frozen, in [0, 1].
    pub fn backbone_frozen_share(&self) -> f64 {
        1.0 - self.backbone_trained as f64 / self.backbone as f64
    }
}
