//! The sampler's configuration block: the list of all kinds.

use super::kind::samplers;
use super::{
    MtUncertainty, Sampler, SamplerError, TaskInfo, UncertaintyForm, annealed, mt_uncertainty,
    pooled_uncertainty, proportional, shuffled_mix, square_root, temperature, uniform,
};

samplers! {
    /// A sampler by `kind` with its options; each kind's structure has its own.
    ///
    /// ```toml
    /// [sampler]
    /// kind = "mt-uncertainty"
    /// form = "released"           # or "paper", "normalised"
    /// regression = "borrowed"     # or "own"
    /// candidates = "equal"        # or "square-root", "proportional"
    /// epoch_fraction = 1.0        # percent_of_max_data_size of the released code
    /// borrow = [{ from = "mrpc", to = "sts-b" }]
    /// ```
    pub enum SamplerConfig {
        "mt-uncertainty" => mt_uncertainty::MtUncertainty,
        "pooled-uncertainty" => pooled_uncertainty::PooledUncertainty,
        "uniform" => uniform::Uniform,
        "proportional" => proportional::Proportional,
        "square-root" => square_root::SquareRoot,
        "annealed" => annealed::Annealed,
        "temperature" => temperature::Temperature,
        "shuffled-mix" => shuffled_mix::ShuffledMix,
    }
}

impl Default for SamplerConfig {
    /// [`SamplerConfig::released`].
    fn default() -> Self {
        Self::released()
    }
}

impl SamplerConfig {
    /// MT-Uncertainty as in the authors' code.
    pub fn released() -> Self {
        MtUncertainty::default().into()
    }

    /// MT-Uncertainty with the paper's formula.
    pub fn paper() -> Self {
        let form = UncertaintyForm::Paper;
        MtUncertainty {
            form,
            ..MtUncertainty::default()
        }
        .into()
    }

    /// Whether the sampler keeps scores from step to step, so that random numbers must not stand in for them.
    pub fn keeps_scores(&self) -> bool {
        self.kind().keeps_scores()
    }
}

/// Builds the sampler that `config` describes.
///
/// `batch_size` is b, the number of examples per step. `total_epochs` is the planned length of training in the
/// sampler's own epochs ([`steps_per_epoch`]); only `annealed` depends on it. All draws derive from `seed`.
///
/// # Errors
/// If there are no tasks, a task is empty or named twice, `batch_size` is 0 or an option is out of range; the message
/// names it.
pub fn build_sampler(
    config: &SamplerConfig,
    tasks: &[TaskInfo],
    batch_size: usize,
    total_epochs: f64,
    seed: u64,
) -> Result<Box<dyn Sampler>, SamplerError> {
    let setup = config.setup(tasks, batch_size, total_epochs, seed)?;
    if !(total_epochs.is_finite() && total_epochs > 0.0) {
        return Err(SamplerError::Option {
            option: "total_epochs",
            value: total_epochs.to_string(),
            expected: "a number of epochs above 0",
        });
    }
    config.kind().build(setup)
}

/// Number of steps that count as one epoch of `config`, at least 1.
///
/// MT-Uncertainty: `int(max_t ceil(|D_t| / b) · T · epoch_fraction)`, the rule of the released code, where
/// `epoch_fraction` is its `percent_of_max_data_size`. All others: `ceil(Σ |D_t| / b)`, one pass over as many examples
/// as there are, unless `annealed` sets its own number.
///
/// ```
/// use camtl_data::sampler::{steps_per_epoch, SamplerConfig, ShuffledMix, TaskInfo};
/// let task = |name: &str, train_size| TaskInfo { name: name.into(), train_size, num_outputs: 2, regression: false };
/// let tasks = [task("a", 100), task("b", 10)];
/// assert_eq!(steps_per_epoch(&SamplerConfig::released(), &tasks, 8)?, 13 * 2);
/// assert_eq!(steps_per_epoch(&ShuffledMix {}.into(), &tasks, 8)?, 14);
/// # Ok::<(), camtl_data::sampler::SamplerError>(())
/// ```
///
/// # Errors
/// As [`build_sampler`].
pub fn steps_per_epoch(
    config: &SamplerConfig,
    tasks: &[TaskInfo],
    batch_size: usize,
) -> Result<u64, SamplerError> {
    Ok(config.setup(tasks, batch_size, 1.0, 0)?.steps_per_epoch)
}
