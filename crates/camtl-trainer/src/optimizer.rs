//! AdamW over the model's flat buffer, with its state on disk.

use std::path::Path;

use camtl_model::weights::{WeightFile, write_tensors};
use camtl_model::{Model, ModelError, ParameterGroup};
use camtl_ops::{AdamWOptions, AdamWState, clip_coefficient};
use tch::{Kind, Tensor};

use crate::config::TrainOptions;
use crate::error::TrainError;

const FILE: &str = "optimizer.safetensors";

/// The optimiser of one model.
#[derive(Debug)]
pub(crate) struct Optimizer {
    pub(crate) state: AdamWState,
    options: AdamWOptions,
    max_grad_norm: f64,
}

impl Optimizer {
    pub(crate) fn new(model: &Model, train: &TrainOptions) -> Result<Self, TrainError> {
        let parameters = model.parameters();
        let decay = train.no_decay_on_biases_and_norms.then(|| {
            parameters
                .decay_ranges()
                .into_iter()
                .map(|(start, end)| start..end)
                .collect()
        });
        Ok(Self {
            state: AdamWState::new(&parameters.flat())?,
            options: AdamWOptions {
                lr: 0.0,
                beta1: train.adam_betas.0,
                beta2: train.adam_betas.1,
                eps: train.adam_epsilon,
                weight_decay: train.weight_decay,
                decay,
                lr_scales: parameters.lr_scales(|group| match group {
                    ParameterGroup::Backbone => 1.0,
                    ParameterGroup::Conditional => train.conditional_learning_rate_scale,
                    ParameterGroup::Head => train.head_learning_rate_scale,
                }),
                form: train.adamw_form.into(),
            },
            max_grad_norm: train.max_grad_norm,
        })
    }

    /// One update with the gradient that lies in the model; `norm` is that gradient's.
    pub(crate) fn update(
        &mut self,
        model: &Model,
        learning_rate: f64,
        norm: &Tensor,
    ) -> Result<(), TrainError> {
        let clip = match self.max_grad_norm > 0.0 {
            true => Some(clip_coefficient(norm, self.max_grad_norm)?),
            false => None,
        };
        self.options.lr = learning_rate;
        let parameters = model.parameters();
        parameters.adamw(&mut self.state, &self.options, clip.as_ref())?;
        Ok(())
    }

    /// Writes the moments into `folder`.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), TrainError> {
        let tensors = [
            ("exp_avg".to_owned(), self.state.exp_avg.shallow_clone()),
            (
                "exp_avg_sq".to_owned(),
                self.state.exp_avg_sq.shallow_clone(),
            ),
        ];
        write_tensors(&folder.join(FILE), &tensors).map_err(ModelError::from)?;
        Ok(())
    }

    /// Reads the moments from `folder`; `step` is the number of updates they stand for.
    pub(crate) fn load(&mut self, folder: &Path, step: i64) -> Result<(), TrainError> {
        let path = folder.join(FILE);
        let file = WeightFile::open(&path).map_err(ModelError::from)?;
        for (name, target) in [
            ("exp_avg", &mut self.state.exp_avg),
            ("exp_avg_sq", &mut self.state.exp_avg_sq),
        ] {
            let source = file.tensor(name).map_err(ModelError::from)?;
            if source.size() != target.size() || source.kind() != Kind::Float {
                return Err(TrainError::checkpoint(
                    &path,
                    format!(
                        "`{name}` is {:?} {:?}, but the model trains {:?} Float; the checkpoint belongs to another model",
                        source.size(),
                        source.kind(),
                        target.size()
                    ),
                ));
            }
            tch::no_grad(|| target.f_copy_(&source))?;
        }
        self.state.step = step;
        Ok(())
    }
}
