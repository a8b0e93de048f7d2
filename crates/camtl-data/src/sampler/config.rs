//! The sampler's configuration block.

use serde::{Deserialize, Serialize};

use super::{SamplerError, TaskInfo};

/// Which formula turns entropies into scores (see [`super::score`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UncertaintyForm {
    /// The authors' code: normalised entropy times the task's share of the largest task mean.
    #[default]
    Released,
    /// The paper: U = H / (Ĥ · ln C).
    Paper,
}

/// How uncertain a regression is taken to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegressionUncertainty {
    /// It has none of its own: score 0, or the scores of another task (see [`Borrow`]).
    #[default]
    Borrowed,
    /// The scorer's own value in `[0, 1]` takes the place of the normalised entropy.
    Own,
}

/// How many of a step's candidates each task has. There are b times the number of tasks in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateShares {
    /// b of every task, as in the paper and its code.
    #[default]
    Equal,
    /// In proportion to the square root of a task's size.
    SquareRoot,
    /// In proportion to a task's size.
    Proportional,
}

/// The j-th candidate of `to` takes the score of the j-th candidate of `from`, as far as both have candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Borrow {
    /// The donor, a task with scores of its own.
    pub from: String,
    /// The borrower.
    pub to: String,
}

/// A sampler by `kind` with its options.
///
/// ```toml
/// [sampler]
/// kind = "mt-uncertainty"
/// form = "released"           # or "paper"
/// regression = "borrowed"     # or "own"
/// candidates = "equal"        # or "square-root", "proportional"
/// epoch_fraction = 1.0        # percent_of_max_data_size of the released code
/// borrow = [{ from = "mrpc", to = "sts-b" }]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", try_from = "Options")]
#[non_exhaustive]
pub enum SamplerConfig {
    /// The b most uncertain of b candidates per task (paper section 4).
    MtUncertainty {
        /// The formula of the scores.
        form: UncertaintyForm,
        /// The uncertainty of regressions.
        regression: RegressionUncertainty,
        /// How the candidates are shared out among the tasks.
        candidates: CandidateShares,
        /// Scales the number of steps per epoch, above 0.
        epoch_fraction: f64,
        /// Who lends scores to whom. `None` is the released rule: if there are an `mrpc` and a regression `sts-b` (or
        /// `stsb`), the latter borrows from the former. An empty list switches borrowing off.
        #[serde(skip_serializing_if = "Option::is_none")]
        borrow: Option<Vec<Borrow>>,
    },
    /// Every task equally often.
    Uniform,
    /// Tasks in proportion to their size.
    Proportional,
    /// Tasks in proportion to the square root of their size.
    SquareRoot,
    /// Tasks in proportion to size^α with α falling from 1 in the first epoch to 0.2 in the last.
    Annealed {
        /// Steps that count as one epoch; by default one pass over as many examples as there are. (The PALs code has
        /// 300 per task, 2,400 for GLUE's eight.)
        #[serde(skip_serializing_if = "Option::is_none")]
        steps_per_epoch: Option<u64>,
    },
    /// Tasks in proportion to size^(1/temperature).
    Temperature {
        /// 1 is proportional, 2 is square-root, infinity would be uniform; above 0.
        temperature: f64,
    },
    /// Batches of mixed tasks from the shuffled concatenation of all data, each example once per epoch.
    ShuffledMix,
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
        Self::MtUncertainty {
            form: UncertaintyForm::Released,
            regression: RegressionUncertainty::Borrowed,
            candidates: CandidateShares::Equal,
            epoch_fraction: 1.0,
            borrow: None,
        }
    }

    /// MT-Uncertainty with the paper's formula.
    pub fn paper() -> Self {
        Self::MtUncertainty {
            form: UncertaintyForm::Paper,
            regression: RegressionUncertainty::Borrowed,
            candidates: CandidateShares::Equal,
            epoch_fraction: 1.0,
            borrow: None,
        }
    }

    /// The `kind`, as spelled in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MtUncertainty { .. } => Kind::MtUncertainty.name(),
            Self::Uniform => Kind::Uniform.name(),
            Self::Proportional => Kind::Proportional.name(),
            Self::SquareRoot => Kind::SquareRoot.name(),
            Self::Annealed { .. } => Kind::Annealed.name(),
            Self::Temperature { .. } => Kind::Temperature.name(),
            Self::ShuffledMix => Kind::ShuffledMix.name(),
        }
    }

    /// Checks the options' ranges.
    ///
    /// # Errors
    /// [`SamplerError::Option`] or [`SamplerError::Borrow`], naming the option.
    pub fn check(&self) -> Result<(), SamplerError> {
        match self {
            Self::MtUncertainty {
                regression,
                epoch_fraction,
                borrow,
                ..
            } => {
                if !(epoch_fraction.is_finite() && *epoch_fraction > 0.0) {
                    return Err(SamplerError::Option {
                        option: "epoch_fraction",
                        value: epoch_fraction.to_string(),
                        expected: "a number above 0",
                    });
                }
                if let (RegressionUncertainty::Own, Some(borrow)) = (regression, borrow)
                    && let Some(first) = borrow.first()
                {
                    return Err(SamplerError::Borrow {
                        from: first.from.clone(),
                        to: first.to.clone(),
                        reason: "nothing is borrowed with regression = \"own\"; remove one of the two options",
                    });
                }
                Ok(())
            }
            Self::Temperature { temperature }
                if !(temperature.is_finite() && *temperature > 0.0) =>
            {
                Err(SamplerError::Option {
                    option: "temperature",
                    value: temperature.to_string(),
                    expected: "a number above 0",
                })
            }
            Self::Annealed {
                steps_per_epoch: Some(0),
            } => Err(SamplerError::Option {
                option: "steps_per_epoch",
                value: "0".to_owned(),
                expected: "at least 1",
            }),
            _ => Ok(()),
        }
    }
}

/// Resolves who borrows from whom, as `(from, to)` positions in the task list.
pub(super) fn resolve_borrowing(
    regression: RegressionUncertainty,
    borrow: Option<&[Borrow]>,
    tasks: &[TaskInfo],
) -> Result<Vec<(u32, u32)>, SamplerError> {
    if regression == RegressionUncertainty::Own {
        return Ok(Vec::new());
    }
    let Some(entries) = borrow else {
        return Ok(released_borrowing(tasks));
    };
    let position = |name: &str| {
        tasks
            .iter()
            .position(|task| task.name == name)
            .map(|position| position as u32)
            .ok_or_else(|| SamplerError::UnknownTask {
                task: name.to_owned(),
                known: tasks
                    .iter()
                    .map(|task| task.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    };
    let mut resolved: Vec<(u32, u32)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let pair = (position(&entry.from)?, position(&entry.to)?);
        let reason = if pair.0 == pair.1 {
            Some("a task cannot borrow from itself")
        } else if tasks[pair.0 as usize].regression {
            Some("the donor is a regression and has no scores of its own")
        } else if resolved.iter().any(|other| other.1 == pair.1) {
            Some("this task borrows twice; keep one entry")
        } else if entries.iter().any(|other| other.to == entry.from) {
            Some("the donor itself borrows; name the task that has the scores")
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(SamplerError::Borrow {
                from: entry.from.clone(),
                to: entry.to.clone(),
                reason,
            });
        }
        resolved.push(pair);
    }
    Ok(resolved)
}

/// The released code's rule: STS-B borrows from MRPC if both are there.
fn released_borrowing(tasks: &[TaskInfo]) -> Vec<(u32, u32)> {
    let find = |names: &[&str], regression: bool| {
        tasks.iter().position(|task| {
            task.regression == regression
                && names
                    .iter()
                    .any(|name| task.name.eq_ignore_ascii_case(name))
        })
    };
    match (
        find(&["mrpc"], false),
        find(&["sts-b", "stsb", "sts_b"], true),
    ) {
        (Some(from), Some(to)) => vec![(from as u32, to as u32)],
        _ => Vec::new(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    MtUncertainty,
    Uniform,
    Proportional,
    SquareRoot,
    Annealed,
    Temperature,
    ShuffledMix,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::MtUncertainty => "mt-uncertainty",
            Self::Uniform => "uniform",
            Self::Proportional => "proportional",
            Self::SquareRoot => "square-root",
            Self::Annealed => "annealed",
            Self::Temperature => "temperature",
            Self::ShuffledMix => "shuffled-mix",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::MtUncertainty => &[
                "form",
                "regression",
                "candidates",
                "epoch_fraction",
                "borrow",
            ],
            Self::Annealed => &["steps_per_epoch"],
            Self::Temperature => &["temperature"],
            _ => &[],
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::MtUncertainty => "form, regression, candidates, epoch_fraction, borrow",
            Self::Annealed => "steps_per_epoch",
            Self::Temperature => "temperature",
            _ => "none",
        }
    }
}

/// Every option of every kind. A tagged enum would silently ignore an option that its kind does not have; going through
/// this form makes it an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    kind: Kind,
    form: Option<UncertaintyForm>,
    regression: Option<RegressionUncertainty>,
    candidates: Option<CandidateShares>,
    epoch_fraction: Option<f64>,
    borrow: Option<Vec<Borrow>>,
    steps_per_epoch: Option<u64>,
    temperature: Option<f64>,
}

impl TryFrom<Options> for SamplerConfig {
    type Error = SamplerError;

    fn try_from(options: Options) -> Result<Self, SamplerError> {
        let kind = options.kind;
        let given = [
            ("form", options.form.is_some()),
            ("regression", options.regression.is_some()),
            ("candidates", options.candidates.is_some()),
            ("epoch_fraction", options.epoch_fraction.is_some()),
            ("borrow", options.borrow.is_some()),
            ("steps_per_epoch", options.steps_per_epoch.is_some()),
            ("temperature", options.temperature.is_some()),
        ];
        for (option, present) in given {
            if present && !kind.options().contains(&option) {
                return Err(SamplerError::ForeignOption {
                    sampler: kind.name(),
                    option,
                    allowed: kind.allowed(),
                });
            }
        }
        let config = match kind {
            Kind::MtUncertainty => Self::MtUncertainty {
                form: options.form.unwrap_or_default(),
                regression: options.regression.unwrap_or_default(),
                candidates: options.candidates.unwrap_or_default(),
                epoch_fraction: options.epoch_fraction.unwrap_or(1.0),
                borrow: options.borrow,
            },
            Kind::Uniform => Self::Uniform,
            Kind::Proportional => Self::Proportional,
            Kind::SquareRoot => Self::SquareRoot,
            Kind::Annealed => Self::Annealed {
                steps_per_epoch: options.steps_per_epoch,
            },
            Kind::Temperature => Self::Temperature {
                temperature: options.temperature.ok_or(SamplerError::Option {
                    option: "temperature",
                    value: "(missing)".to_owned(),
                    expected: "a number above 0",
                })?,
            },
            Kind::ShuffledMix => Self::ShuffledMix,
        };
        config.check()?;
        Ok(config)
    }
}
