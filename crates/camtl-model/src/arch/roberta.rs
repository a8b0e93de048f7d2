//! RoBERTa: BERT whose positions start behind the padding token's id.

use super::{Architecture, BlockOrder, Encoder, HeadNames, Meaning, bert};
use crate::config::{EncoderConfig, HeadKind};
use crate::parameters::build::{Builder, Offer};

pub(super) struct Roberta;

impl Architecture for Roberta {
    fn class(&self) -> &'static str {
        "Roberta"
    }

    fn prefix(&self) -> &'static str {
        "roberta."
    }

    fn defaults(&self) -> &'static [(&'static str, i64)] {
        &[("pad_token_id", 1)]
    }

    fn position_offset(&self, encoder: &EncoderConfig) -> i64 {
        encoder.pad_token_id + 1
    }

    fn declare(&self, list: &mut Builder<'_>, modules: &mut dyn Offer) -> Encoder {
        bert::declare(list, modules, BlockOrder::PostNorm)
    }

    fn meaning(&self, name: &str) -> Meaning {
        bert::meaning(name)
    }

    fn head_names(&self, kind: HeadKind) -> HeadNames {
        let names = bert::head_names(kind);
        match kind {
            HeadKind::Classification | HeadKind::Regression => HeadNames {
                pooler: Some("classifier.dense"),
                decoder: Some("classifier.out_proj"),
                ..names
            },
            HeadKind::MultipleChoice
            | HeadKind::Tagging
            | HeadKind::Span { .. }
            | HeadKind::SpanPair => names,
        }
    }
}
