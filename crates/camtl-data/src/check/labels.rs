//! How often which label occurs, and the scores of a regression.

use serde::Serialize;

use crate::reader::{Details, Example, Label};
use crate::task::TaskSpec;

/// How often a label occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelCount {
    /// Its name.
    pub label: String,
    /// Its examples; for tagging, its words.
    pub count: u64,
}

/// Scores of a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// The smallest.
    pub min: f32,
    /// The mean.
    pub mean: f64,
    /// The largest.
    pub max: f32,
}

/// The examples of each label in the order of the classes; for tagging, the words of each tag.
pub(super) fn balance(spec: &TaskSpec, examples: &[Example]) -> Vec<LabelCount> {
    let labels = spec.kind.labels();
    let mut counts = vec![0; labels.len()];
    let mut count = |class: u32| {
        if let Some(count) = counts.get_mut(class as usize) {
            *count += 1;
        }
    };
    for example in examples {
        if let Some(Label::Class(class)) = example.label {
            count(class);
        }
        if let Details::Words {
            tags: Some(tags), ..
        } = &example.details
        {
            tags.iter().copied().for_each(&mut count);
        }
    }
    labels
        .iter()
        .zip(counts)
        .map(|(label, count)| LabelCount {
            label: label.clone(),
            count,
        })
        .collect()
}

pub(super) fn unlabelled(examples: &[Example]) -> u64 {
    let without = examples.iter().filter(|example| example.label.is_none());
    without.count() as u64
}

impl Scores {
    /// `None` where no example has a score.
    pub(super) fn of(examples: &[Example]) -> Option<Self> {
        let scores: Vec<f32> = examples
            .iter()
            .filter_map(|example| match example.label {
                Some(Label::Score(score)) => Some(score),
                _ => None,
            })
            .collect();
        (!scores.is_empty()).then(|| Self {
            min: scores.iter().copied().fold(f32::INFINITY, f32::min),
            mean: scores.iter().copied().map(f64::from).sum::<f64>() / scores.len() as f64,
            max: scores.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        })
    }
}
