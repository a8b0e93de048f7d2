//! Gradients of the losses against finite differences.

use tch::{Kind, Tensor, no_grad};

use crate::batch::*;

/// For every kind of head: along directions near the gradient of all parameters, the loss changes as
/// the gradient says. A float32 model is differentiated, so directions hug the gradient.
#[test]
fn gradients_agree_with_finite_differences() {
    let model = model();
    let parameters = model.parameters();
    let flat = parameters.flat();
    let start = flat.copy();
    for task in CLASSIFICATION..=PAIR {
        let examples: Vec<Example> = mixed()
            .into_iter()
            .filter(|example| example.task == task)
            .collect();
        let loss = || {
            heads(&model, &examples, None)
                .loss
                .unwrap()
                .sum(Kind::Double)
        };
        parameters.zero_grad().unwrap();
        loss().backward();
        let gradient = parameters.flat_grad().to_kind(Kind::Double);
        let weight = format!("decoders.{task}.model.weight");
        let of_head = parameters.grad(&weight).unwrap().unwrap();
        assert!(of_head.abs().max().double_value(&[]) > 1e-3, "task {task}");
        tch::manual_seed(3);
        for _ in 0..3 {
            let noise = Tensor::randn_like(&gradient);
            let direction = &gradient / gradient.norm() + &noise / noise.norm() * 0.5;
            let step = 1e-3;
            let at = |sign: f64| {
                no_grad(|| {
                    let moved = &start + (&direction * (sign * step)).to_kind(Kind::Float);
                    flat.shallow_clone().copy_(&moved);
                    loss().double_value(&[])
                })
            };
            let numeric = (at(1.0) - at(-1.0)) / (2.0 * step);
            flat.shallow_clone().copy_(&start);
            let exact = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
            let error = (numeric - exact).abs() / exact.abs().max(1e-3);
            assert!(error < 1e-2, "task {task}: {numeric} against {exact}");
        }
    }
}

/// The gradient of a batch is the sum of its examples' gradients.
#[test]
fn gradients_of_examples_add_up() {
    let model = model();
    let parameters = model.parameters();
    let backward = |examples: &[Example]| {
        heads(&model, examples, None)
            .loss
            .unwrap()
            .sum(Kind::Float)
            .backward();
    };
    backward(&mixed());
    let whole = parameters.flat_grad().copy();
    parameters.zero_grad().unwrap();
    for example in mixed() {
        backward(&[example]);
    }
    let worst = (parameters.flat_grad() - &whole)
        .abs()
        .max()
        .double_value(&[]);
    assert!(
        worst < 1e-4 * whole.abs().max().double_value(&[]).max(1.0),
        "{worst:.2e}"
    );
}
