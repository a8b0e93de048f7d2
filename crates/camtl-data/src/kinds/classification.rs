//! One of several labels for a text or a pair of texts.

use super::keys::Keys;
use super::kind::Kind;
use crate::formats::RowForm;
use crate::metrics::Evidence;
use crate::spec::AnswerForm;

/// One of several labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// Label names as the data spells them, in the order of the classes.
    pub labels: Vec<String>,
}

impl Classification {
    pub(super) const NAME: &'static str = "classification";

    pub(super) fn new(keys: &Keys) -> Result<Self, &'static str> {
        let missing =
            "classification needs `labels`, the label names in the order of their classes";
        keys.labels(missing).map(|labels| Self { labels })
    }
}

impl Kind for Classification {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn rows(&self) -> &'static [RowForm] {
        &[RowForm::Cells, RowForm::Judgements]
    }

    fn answer(&self) -> AnswerForm {
        AnswerForm::Class
    }

    fn evidence(&self) -> &'static [Evidence] {
        &[Evidence::Decisions, Evidence::Classes, Evidence::Rows]
    }

    fn about(&self) -> String {
        format!("classification, {} labels", self.labels.len())
    }
}
