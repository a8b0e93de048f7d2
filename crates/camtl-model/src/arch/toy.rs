//! A family that only tests know, added as any other is: pre-norm, with positions from 2.

use super::{Architecture, BlockOrder, Encoder, HeadNames, Meaning, bert};
use crate::config::{EncoderConfig, HeadKind};
use crate::parameters::build::{Builder, Offer};

pub(super) struct Toy;

impl Architecture for Toy {
    fn class(&self) -> &'static str {
        "Toy"
    }

    fn prefix(&self) -> &'static str {
        "toy."
    }

    fn defaults(&self) -> &'static [(&'static str, i64)] {
        &[("type_vocab_size", 1)]
    }

    fn position_offset(&self, _encoder: &EncoderConfig) -> i64 {
        2
    }

    fn declare(&self, list: &mut Builder<'_>, modules: &mut dyn Offer) -> Encoder {
        bert::declare(list, modules, BlockOrder::PreNorm)
    }

    fn meaning(&self, name: &str) -> Meaning {
        Meaning::Parameter(name.trim_start_matches("toy.").to_string())
    }

    fn head_names(&self, kind: HeadKind) -> HeadNames {
        bert::head_names(kind)
    }
}

mod tests {
    use camtl_ops::Packing;
    use tch::{Device, Kind, no_grad};

    use crate::{EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, ModelType, TaskHead};

    const CONFIG: &str = r#"{"model_type": "toy", "vocab_size": 50, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
        "max_position_embeddings": 18}"#;

    /// One file and one line make a family: its defaults are read, its block order is computed, its
    /// names are written and read.
    #[test]
    fn a_family_is_a_file_and_a_line_of_the_list() {
        let encoder = EncoderConfig::from_json(CONFIG, "config.json").unwrap();
        assert_eq!(encoder.model_type, ModelType::Toy);
        assert_eq!(
            (encoder.type_vocab_size, encoder.max_sequence_length()),
            (1, 16)
        );
        let config = ModelConfig {
            encoder,
            method: MethodConfig::plain(),
            tasks: vec![TaskHead::classification("rte", 2)],
            max_length: 16,
            freeze: "none".parse().unwrap(),
        };
        let model = Model::new(&config, Device::Cpu, 3).unwrap();
        let input = || {
            let packing = Packing::new(&[0, 3, 5], &[0, 0], Device::Cpu).unwrap();
            ModelInput::new(&[2, 7, 3, 2, 3], &[0; 5], &[0, 1, 2, 0, 1], packing).unwrap()
        };
        let before = model.forward_all(&input(), None).unwrap();
        let first = model.forward(&input(), None).unwrap().pooled;
        assert!((first - &before.pooled).abs().max().double_value(&[]) < 1e-6);
        before.pooled.sum(Kind::Float).backward();
        assert!(model.parameters().flat_grad().abs().max().double_value(&[]) > 0.0);

        // The folder that is written has the family's names, and they are found again.
        let dir = tempfile::tempdir().unwrap();
        model.save_encoder_as_hf(dir.path()).unwrap();
        let (again, report) = Model::from_pretrained(&config, dir.path(), Device::Cpu, 4).unwrap();
        assert!(report.renamed.is_empty() && !report.new_pooler);
        let after = again.forward_all(&input(), None).unwrap();
        assert_eq!(before.pooled, after.pooled);

        // Without what the sublayers add, embeddings reach the norm behind the last layer.
        let (_, trace) = model.forward_traced(&input()).unwrap();
        for layer in 0..2 {
            for part in ["attention.output.dense", "output.dense"] {
                let name = format!("bert.encoder.layer.{layer}.{part}.weight");
                let zeros = model.parameters().tensor(&name).unwrap().zeros_like();
                model.parameters().set(&name, &zeros).unwrap();
            }
        }
        let expected = no_grad(|| {
            let embeddings = trace.embedding_output.unwrap();
            let none: Option<tch::Tensor> = None;
            embeddings.layer_norm([32], none.as_ref(), none.as_ref(), 1e-12, false)
        });
        let found = model.forward_all(&input(), None).unwrap().sequence.unwrap();
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
    }
}
