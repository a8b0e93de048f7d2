//! A score for a text or a pair of texts.

use super::keys::Keys;
use super::kind::Kind;
use crate::metrics::Evidence;
use crate::spec::{AnswerForm, Label, RowProblem};

/// A score.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// Smallest score that may occur.
    pub min: f32,
    /// Largest score that may occur.
    pub max: f32,
}

impl Regression {
    pub(super) const NAME: &'static str = "regression";

    pub(super) fn new(keys: &Keys) -> Result<Self, &'static str> {
        let Some([min, max]) = keys.range else {
            return Err(
                "regression needs `range = [smallest, largest]`, the scores that may occur",
            );
        };
        Ok(Self { min, max })
    }
}

impl Kind for Regression {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn range(&self) -> Option<[f32; 2]> {
        Some([self.min, self.max])
    }

    fn problem(&self) -> Option<String> {
        let Self { min, max } = self;
        let sound = min.is_finite() && max.is_finite() && min < max;
        (!sound).then(|| {
            format!("`range` is [{min}, {max}]; expected two finite numbers, the smaller first")
        })
    }

    fn parse_label(&self, text: &str) -> Result<Label, RowProblem> {
        let score = (text.trim().parse::<f32>().ok()).filter(|score| score.is_finite());
        let score = score.ok_or_else(|| RowProblem::NotANumber {
            found: text.to_owned(),
        })?;
        if score < self.min || score > self.max {
            return Err(RowProblem::ScoreOutOfRange {
                found: score,
                min: self.min,
                max: self.max,
            });
        }
        Ok(Label::Score(score))
    }

    fn num_outputs(&self) -> usize {
        1
    }

    fn answer(&self) -> AnswerForm {
        AnswerForm::Score
    }

    fn evidence(&self) -> &'static [Evidence] {
        &[Evidence::Scores]
    }

    fn about(&self) -> String {
        format!("regression from {} to {}", self.min, self.max)
    }
}
