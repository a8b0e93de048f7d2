//! Shapes of well-known encoders, for counting parameters without their files.

use std::path::Path;

use camtl_model::{EncoderConfig, ModelType};
use camtl_trainer::RunConfig;

use crate::failure::Failure;

/// The names that [`shapes`] knows.
pub(crate) const BUILT_IN: [&str; 7] = [
    "bert-base-cased",
    "bert-base-uncased",
    "bert-large-cased",
    "bert-large-uncased",
    "all-MiniLM-L6-v2",
    "roberta-base",
    "roberta-large",
];

/// The shapes of the encoder called `name`, with or without an organisation before it
/// (`google-bert/bert-base-cased`).
pub(crate) fn shapes(name: &str) -> Option<EncoderConfig> {
    let roberta = |hidden, layers, heads, intermediate| EncoderConfig {
        model_type: ModelType::Roberta,
        type_vocab_size: 1,
        layer_norm_eps: 1e-5,
        pad_token_id: 1,
        ..EncoderConfig::bert(50_265, hidden, layers, heads, intermediate, 514)
    };
    Some(match name.rsplit('/').next()? {
        "bert-base-cased" => EncoderConfig::bert_base_cased(),
        "bert-base-uncased" => EncoderConfig::bert(30_522, 768, 12, 12, 3_072, 512),
        "bert-large-cased" => EncoderConfig::bert_large_cased(),
        "bert-large-uncased" => EncoderConfig::bert(30_522, 1_024, 24, 16, 4_096, 512),
        "all-MiniLM-L6-v2" => EncoderConfig::bert(30_522, 384, 6, 12, 1_536, 512),
        "roberta-base" => roberta(768, 12, 12, 3_072),
        "roberta-large" => roberta(1_024, 24, 16, 4_096),
        _ => return None,
    })
}

/// The shapes of a configuration's encoder: its `config.json` if it is there, else a built-in one.
///
/// # Errors
/// Neither is known; a `config.json` that cannot be used.
pub(crate) fn shapes_of(config: &RunConfig) -> Result<EncoderConfig, Failure> {
    let name = &config.model.encoder;
    match config.encoder_dir() {
        Ok(dir) => EncoderConfig::from_dir(&dir).map_err(Failure::usage),
        Err(error) => shapes(name).ok_or_else(|| {
            Failure::usage(error).hint(format!(
                "give a folder with a config.json ({}), or one of {}{}",
                Path::new("models").join(name).display(),
                BUILT_IN.join(", "),
                camtl_files::did_you_mean(name, BUILT_IN)
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_name_has_sound_shapes() {
        for name in BUILT_IN {
            let config = shapes(name).unwrap();
            config.check(name).unwrap();
            assert_eq!(shapes(&format!("someone/{name}")), Some(config));
        }
        assert_eq!(shapes("bert"), None);
    }
}
