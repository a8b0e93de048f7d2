//! The keys of a task file that describe its kind.

use std::collections::BTreeSet;

use super::kind::Kind;

/// The keys beside `kind`.
pub(crate) struct Keys {
    /// Names of labels, tags or options.
    pub(crate) labels: Option<Vec<String>>,
    /// Smallest and largest score.
    pub(crate) range: Option<[f32; 2]>,
    /// Whether a question may have no answer.
    pub(crate) no_answer: Option<bool>,
}

impl Keys {
    /// The keys that describe `kind`.
    pub(crate) fn of(kind: &dyn Kind) -> Self {
        let labels = kind.labels();
        Self {
            labels: (!labels.is_empty()).then(|| labels.to_vec()),
            range: kind.range(),
            no_answer: kind.no_answer().filter(|may| *may),
        }
    }

    /// The labels, which are needed.
    pub(crate) fn labels(&self, missing: &'static str) -> Result<Vec<String>, &'static str> {
        self.labels.clone().ok_or(missing)
    }

    /// A key that is there although `kind` has no use for it.
    pub(super) fn unused_by(&self, kind: &dyn Kind) -> Option<&'static str> {
        if self.range.is_some() && kind.range().is_none() {
            return Some("`range` is for regression; remove it");
        }
        if self.no_answer.is_some() && kind.no_answer().is_none() {
            return Some("`no_answer` is for spans; remove it");
        }
        (self
            .labels
            .as_ref()
            .is_some_and(|labels| !labels.is_empty())
            && kind.labels().is_empty())
        .then_some("`labels` is for classification, multiple choice and tagging; remove it")
    }
}

/// What is wrong with the labels of a task of kind `kind`.
pub(super) fn labels_problem(kind: &str, labels: &[String]) -> Option<String> {
    if labels.len() < 2 {
        return Some(format!(
            "`labels` names {} label(s); {kind} needs at least two",
            labels.len()
        ));
    }
    let mut seen = BTreeSet::new();
    labels.iter().find_map(|label| {
        if label.is_empty() {
            Some("`labels` holds an empty name".to_owned())
        } else if !seen.insert(label) {
            Some(format!("`labels` names `{label}` twice"))
        } else {
            None
        }
    })
}
