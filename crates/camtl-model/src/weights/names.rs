//! Names of a plain encoder's tensors, in all spellings that occur.

/// What a name in a file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// This parameter, named without the model's prefix.
    Parameter(String),
    /// Something a plain encoder does not need, and why.
    Ignorable(&'static str),
}

/// Prefixes of models that hold the encoder under a name.
const PREFIXES: [&str; 2] = ["bert.", "roberta."];

/// Heads of models that were trained or exported with the encoder.
const HEADS: [&str; 4] = ["cls.", "lm_head.", "classifier.", "qa_outputs."];

/// Buffers that old versions stored beside the embeddings; they can be computed.
const BUFFERS: [&str; 2] = ["embeddings.position_ids", "embeddings.token_type_ids"];

/// What `name` means.
pub(crate) fn meaning(name: &str) -> Meaning {
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
    let renamed = match (
        name.strip_suffix("LayerNorm.gamma"),
        name.strip_suffix("LayerNorm.beta"),
    ) {
        (Some(stem), _) => format!("{stem}LayerNorm.weight"),
        (_, Some(stem)) => format!("{stem}LayerNorm.bias"),
        _ => name.to_string(),
    };
    Meaning::Parameter(renamed)
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
