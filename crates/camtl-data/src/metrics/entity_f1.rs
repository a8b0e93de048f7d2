//! Micro-averaged F1 of entities.

use super::entities::{entities, entity_scores};
use super::metric::{Compares, Metric};

pub(super) const METRIC: Metric = Metric {
    name: "entity_f1",
    spelling: "entity-f1",
    compares: &[Compares::Tags(|predicted, actual| {
        Ok(entity_scores(predicted, actual)?.micro.f1())
    })],
    labels_problem: Some(|labels| {
        match labels.first() {
        Some(first) if first != "O" => Some(format!(
            "`labels` begins with `{first}`; the tags of entities begin with `O`, which words cut off by truncation count as"
        )),
        _ => entities(labels).err().map(|_| {
            "`labels` holds a tag that is not of the BIO scheme; entities are tagged `O`, `B-TYPE` and `I-TYPE`".to_owned()
        }),
    }
    }),
};
