//! The modulation table is kept while parameters stay, and only then.

use camtl_model::{
    EncoderConfig, Freeze, MethodConfig, Model, ModelConfig, Preset, TaskHead, Variant,
};
use camtl_ops::{AdamWOptions, AdamWState, adamw_flat};
use tch::{Device, Kind, Tensor, no_grad};

fn model(freeze: Freeze) -> Model {
    let config = ModelConfig {
        encoder: EncoderConfig::bert(30, 24, 2, 2, 20, 12),
        method: MethodConfig::new(Preset::Released, Variant::Base),
        tasks: vec![TaskHead::classification("a", 3), TaskHead::regression("b")],
        max_length: 8,
        freeze,
    };
    Model::new(&config, Device::Cpu, 2).unwrap()
}

fn vectors(model: &Model) -> Tensor {
    model.modulation().unwrap().task_vectors().unwrap().copy()
}

#[test]
fn without_autograd_it_is_kept() {
    let model = model(Freeze::None);
    no_grad(|| {
        let first = model.modulation().unwrap();
        let second = model.modulation().unwrap();
        let data =
            |modulation: &camtl_model::Modulation| modulation.task_vectors().unwrap().data_ptr();
        assert_eq!(data(&first), data(&second));
    });
    // Training needs its own graph each time.
    let trained = model.modulation().unwrap();
    assert!(trained.task_vectors().unwrap().requires_grad());
}

/// An optimiser step through camtl-ops, a step by hand, and new values all renew it.
#[test]
fn it_follows_the_parameters() {
    let model = model(Freeze::None);
    let parameters = model.parameters();
    no_grad(|| {
        let before = vectors(&model);
        let _ = parameters.flat_grad().fill_(1.0);
        let mut flat = parameters.flat();
        let mut state = AdamWState::new(&flat).unwrap();
        let options = AdamWOptions {
            lr: 0.1,
            ..AdamWOptions::default()
        };
        adamw_flat(
            &mut state,
            &mut flat,
            &parameters.flat_grad(),
            &options,
            None,
        )
        .unwrap();
        let stepped = vectors(&model);
        assert_ne!(before, stepped);
        let _ = parameters.flat().g_mul_scalar_(0.5);
        assert_ne!(stepped, vectors(&model));
        let halved = vectors(&model);
        let name = "bert.encoder.task_transformation.bias";
        parameters
            .set(name, &Tensor::ones([24], (Kind::Float, Device::Cpu)))
            .unwrap();
        assert_ne!(halved, vectors(&model));
    });
}

/// Frozen parameters are outside the flat buffer; writing them renews the table as well.
#[test]
fn frozen_parameters_count_too() {
    let patterns = vec![
        "bert.encoder.*".to_string(),
        "bert.task*".to_string(),
        "bert.*".into(),
    ];
    let model = model(Freeze::Patterns(patterns));
    // Nothing in the table is trained: it is kept even while autograd records.
    let before = vectors(&model);
    assert!(!before.requires_grad());
    let name = "bert.encoder.task_transformation.bias";
    model
        .parameters()
        .set(name, &Tensor::ones([24], (Kind::Float, Device::Cpu)))
        .unwrap();
    assert_ne!(before, vectors(&model));
}
