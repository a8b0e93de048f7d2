//! BERT: post-norm layers, learned absolute positions from 0, segments, a pooler on the first token.

use super::{Architecture, BlockOrder, Encoder, HeadNames, Layer, Meaning};
use crate::config::{BaseTopLayer, EncoderConfig, HeadKind};
use crate::parameters::build::{Builder, Map, NormPlace, Offer, Site};
use crate::parameters::spec::{Block, LinearId, Module, NormId};

pub(super) struct Bert;

impl Architecture for Bert {
    fn class(&self) -> &'static str {
        "Bert"
    }

    fn prefix(&self) -> &'static str {
        "bert."
    }

    fn defaults(&self) -> &'static [(&'static str, i64)] {
        &[]
    }

    fn position_offset(&self, _encoder: &EncoderConfig) -> i64 {
        0
    }

    fn declare(&self, list: &mut Builder<'_>, modules: &mut dyn Offer) -> Encoder {
        declare(list, modules, BlockOrder::PostNorm)
    }

    fn meaning(&self, name: &str) -> Meaning {
        meaning(name)
    }

    fn head_names(&self, kind: HeadKind) -> HeadNames {
        head_names(kind)
    }
}

/// The model's name in parameter names, those of every family: released checkpoints call it so.
const MODEL: &str = "bert";

/// Prefixes of models that hold the encoder under a name.
const PREFIXES: [&str; 2] = ["bert.", "roberta."];

/// Heads of models that were trained or exported with the encoder.
const HEADS: [&str; 4] = ["cls.", "lm_head.", "classifier.", "qa_outputs."];

/// Buffers that old versions stored beside the embeddings; they can be computed.
const BUFFERS: [&str; 2] = ["embeddings.position_ids", "embeddings.token_type_ids"];

pub(super) fn meaning(name: &str) -> Meaning {
    if HEADS.iter().any(|head| name.starts_with(head)) {
        return Meaning::Ignorable("head of another task");
    }
    let name = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    if BUFFERS.contains(&name) {
        return Meaning::Ignorable("buffer that is computed");
    }
    // How TensorFlow's weights were called.
    Meaning::Parameter(
        match (
            name.strip_suffix("LayerNorm.gamma"),
            name.strip_suffix("LayerNorm.beta"),
        ) {
            (Some(stem), _) => format!("{stem}LayerNorm.weight"),
            (_, Some(stem)) => format!("{stem}LayerNorm.bias"),
            _ => name.to_string(),
        },
    )
}

pub(super) fn head_names(kind: HeadKind) -> HeadNames {
    let (pooler, classifier) = (Some("pooler.dense"), Some("classifier"));
    let names = |class, pooler, decoder| HeadNames {
        class,
        pooler,
        decoder,
    };
    match kind {
        HeadKind::Classification | HeadKind::Regression => {
            names("ForSequenceClassification", pooler, classifier)
        }
        HeadKind::MultipleChoice => names("ForMultipleChoice", pooler, classifier),
        HeadKind::Tagging => names("ForTokenClassification", None, classifier),
        HeadKind::Span { .. } => names("ForQuestionAnswering", None, Some("qa_outputs")),
        HeadKind::SpanPair => names("Model", pooler, None),
    }
}

/// The parameters of an encoder with BERT's names. The top layer of CA-MTL base has names of its own
/// when it starts from scratch.
pub(super) fn declare(
    list: &mut Builder<'_>,
    modules: &mut dyn Offer,
    order: BlockOrder,
) -> Encoder {
    let encoder = list.config.encoder.clone();
    let width = encoder.hidden_size;
    let normal = list.normal();
    modules.offer(Site::Start { name: MODEL }, list);
    let [word, position, token_type] = [
        ("word", encoder.vocab_size),
        ("position", encoder.max_position_embeddings),
        ("token_type", encoder.type_vocab_size),
    ]
    .map(|(part, rows)| {
        let name = format!("{MODEL}.embeddings.{part}_embeddings.weight");
        list.push(name, &[rows, width], Module::Embeddings, normal)
    });
    let name = format!("{MODEL}.embeddings.LayerNorm");
    let embedding_norm = list.norm(&name, Module::Embeddings);
    let stack = format!("{MODEL}.encoder");
    modules.offer(Site::EncoderStart { name: &stack }, list);
    let layers = (0..encoder.num_hidden_layers)
        .map(|at| layer(at, &format!("{stack}.layer.{at}"), list, modules))
        .collect();
    modules.offer(Site::EncoderEnd { name: &stack }, list);
    let final_norm = match order {
        BlockOrder::PostNorm => None,
        BlockOrder::PreNorm => Some(list.norm(&format!("{stack}.LayerNorm"), Module::Layers)),
    };
    let name = format!("{MODEL}.pooler.dense");
    let pooler = list.linear(&name, [width, width], Module::Pooler, normal);
    for spec in list.backbone_mut() {
        let name = spec.name.trim_start_matches("bert.");
        spec.from_scratch = name.contains(".new_");
        spec.plain = Some(name.replace(".new_", "."));
    }
    Encoder {
        order,
        word,
        position,
        token_type,
        embedding_norm,
        layers,
        final_norm,
        pooler,
    }
}

fn layer(at: i64, name: &str, list: &mut Builder<'_>, modules: &mut dyn Offer) -> Layer {
    let (encoder, method) = (list.config.encoder.clone(), &list.config.method);
    let (width, inner) = (encoder.hidden_size, encoder.intermediate_size);
    let last = at + 1 == encoder.num_hidden_layers;
    let scratch =
        method.base_top_layer == BaseTopLayer::Scratch && method.has_base_bottleneck(&encoder, at);
    let new = if scratch { "new_" } else { "" };
    let normal = list.normal();
    list.enter_layer(Some(at));
    let dense = |list: &mut Builder<'_>, modules: &mut dyn Offer, name: &str, shape, map| {
        let id: LinearId = list.linear(name, shape, Module::Layers, normal);
        modules.offer(
            Site::Linear {
                layer: at,
                map,
                id,
                name,
            },
            list,
        );
        id
    };
    let norm = |list: &mut Builder<'_>, modules: &mut dyn Offer, name: &str, place| {
        let id: NormId = list.norm(name, Module::Layers);
        modules.offer(
            Site::Norm {
                layer: at,
                place,
                id,
                name,
            },
            list,
        );
        id
    };

    let attention = format!("{name}.{new}attention");
    let own = format!("{attention}.self");
    let site = Site::Attention {
        layer: at,
        name: &own,
    };
    modules.offer(site, list);
    let [query, _, _] = [
        ("query", Map::Query),
        ("key", Map::Key),
        ("value", Map::Value),
    ]
    .map(|(part, map)| {
        let id = dense(list, modules, &format!("{own}.{part}"), [width, width], map);
        if map != Map::Query || !last {
            list.spec_mut(id.weight).block = Some(Block::QkvWeight(at));
            list.spec_mut(id.bias).block = Some(Block::QkvBias(at));
        }
        id
    });
    let layer = Layer {
        query,
        attention_output: dense(
            list,
            modules,
            &format!("{attention}.output.dense"),
            [width, width],
            Map::AttentionOutput,
        ),
        attention_norm: norm(
            list,
            modules,
            &format!("{attention}.output.LayerNorm"),
            NormPlace::Attention,
        ),
        intermediate: dense(
            list,
            modules,
            &format!("{name}.{new}intermediate.dense"),
            [inner, width],
            Map::Intermediate,
        ),
        output: dense(
            list,
            modules,
            &format!("{name}.{new}output.dense"),
            [width, inner],
            Map::Output,
        ),
        output_norm: norm(
            list,
            modules,
            &format!("{name}.{new}output.LayerNorm"),
            NormPlace::Output,
        ),
    };
    modules.offer(Site::LayerEnd { layer: at, name }, list);
    list.enter_layer(None);
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_mean_the_new_ones() {
        for (name, expected) in [
            (
                "bert.embeddings.LayerNorm.gamma",
                "embeddings.LayerNorm.weight",
            ),
            ("embeddings.LayerNorm.beta", "embeddings.LayerNorm.bias"),
            (
                "roberta.encoder.layer.0.output.dense.weight",
                "encoder.layer.0.output.dense.weight",
            ),
            ("pooler.dense.bias", "pooler.dense.bias"),
        ] {
            assert_eq!(meaning(name), Meaning::Parameter(expected.into()));
        }
        for name in [
            "cls.predictions.bias",
            "bert.embeddings.position_ids",
            "classifier.weight",
        ] {
            assert!(matches!(meaning(name), Meaning::Ignorable(_)), "{name}");
        }
    }
}
