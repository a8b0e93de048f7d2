//! Gradients of the losses against finite differences.

use tch::Kind;

use crate::batch::*;
use crate::finite_differences;

/// For every kind of head.
#[test]
fn gradients_agree_with_finite_differences() {
    let model = model();
    let parameters = model.parameters();
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
        let weight = format!("decoders.{task}.model.weight");
        let of_head = parameters.grad(&weight).unwrap().unwrap();
        assert!(of_head.abs().max().double_value(&[]) > 1e-3, "task {task}");
        finite_differences::check(&model, loss, 3, 3, &format!("task {task}"));
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
