//! Gradients of every parameter, and the frozen list.

use std::collections::BTreeSet;

use camtl_model::{Freeze, Model, ModelConfig};
use tch::{Device, Kind, Tensor};

use crate::case::{Batch, Case};
use crate::compare::{GRADIENT_TOLERANCE, Report, largest};
use crate::execute::{Execution, Piece, loss_weights, pieces};

/// The batch loss's gradients, accumulated over pieces, once with first-token tails and once with
/// every row computed.
pub(crate) fn check(case: &Case, batch: &Batch, execution: Execution, report: &mut Report) {
    for tail in [true, false] {
        let model = case.model(Freeze::None);
        for piece in pieces(case, batch, execution) {
            backward(&model, batch, &piece, tail);
        }
        let rows = if tail { "first tokens" } else { "all rows" };
        compare(
            case,
            batch,
            &model,
            &format!("{execution:?}, {rows}"),
            report,
        );
        absent_parameters(case, batch, &model, report);
    }
}

fn backward(model: &Model, batch: &Batch, piece: &Piece, tail: bool) {
    let output = if tail {
        model.forward(&piece.input, None).unwrap()
    } else {
        model.forward_all(&piece.input, None).unwrap()
    };
    let heads = model.heads(&output, Some(&piece.targets), None).unwrap();
    let weights = loss_weights(batch);
    let weights: Vec<f32> = piece
        .samples
        .iter()
        .map(|&sample| weights[sample] as f32)
        .collect();
    (heads.loss.unwrap() * Tensor::from_slice(&weights))
        .sum(Kind::Float)
        .backward();
}

fn compare(case: &Case, batch: &Batch, model: &Model, how: &str, report: &mut Report) {
    let prefix = format!("{}.grad.", batch.prefix);
    let names: Vec<&str> = case
        .names()
        .filter_map(|name| name.strip_prefix(&*prefix))
        .collect();
    assert!(
        !names.is_empty(),
        "{} has no gradients for batch {}",
        case.name,
        batch.prefix
    );
    let theirs = |name: &str| case.expect(&format!("{prefix}{name}"));
    let top = names
        .iter()
        .map(|name| largest(theirs(name)))
        .fold(0.0, f64::max);
    let details = &case.json["batches"][&batch.prefix];
    let zero =
        Case::strings(&details["params_whose_exact_grad_is_zero (only rounding noise in float32)"]);
    for name in names {
        let Some(ours) = model.parameters().grad(name).unwrap() else {
            // A frozen parameter.
            continue;
        };
        let what = format!("{prefix}{name} {how}");
        if zero.iter().any(|other| other == name) {
            // Both are rounding noise around an exact zero.
            report.within(&what, &ours, theirs(name), 1e-6 * top.max(1.0), 1.0);
            continue;
        }
        let scale = largest(theirs(name)).max(1e-3 * top);
        report.within(&what, &ours, theirs(name), GRADIENT_TOLERANCE, scale);
    }
}

/// Decoders of tasks that are not in the batch get no gradient at all.
fn absent_parameters(case: &Case, batch: &Batch, model: &Model, report: &mut Report) {
    let details = &case.json["batches"][&batch.prefix];
    for name in Case::strings(&details["params_without_grad (None)"]) {
        let gradient = model.parameters().grad(&name).unwrap().unwrap();
        report.equal(
            &format!("gradient of absent {name}"),
            &largest(&gradient),
            &0.0,
        );
    }
}

/// The trainable list under the case's freezing argument, and the gradients that remain.
pub(crate) fn check_frozen(case: &Case, report: &mut Report) {
    let Some(frozen) = case
        .json
        .get("freeze_encoder_layers")
        .filter(|value| value.is_object())
    else {
        return;
    };
    let Some(argument) = frozen["argument"].as_str() else {
        return;
    };
    let freeze: Freeze = argument.parse().unwrap_or_else(|error| panic!("{error}"));
    let config = ModelConfig {
        freeze: freeze.clone(),
        ..case.config.clone()
    };
    let model = Model::new(&config, Device::Cpu, 0).unwrap_or_else(|error| panic!("{error}"));
    let names = |trainable: bool| -> BTreeSet<String> {
        let entries = model.parameters().entries().iter();
        entries
            .filter(|entry| entry.trainable == trainable)
            .map(|entry| entry.name.clone())
            .collect()
    };
    let listed = |field: &str| {
        Case::strings(&frozen[field])
            .into_iter()
            .collect::<BTreeSet<_>>()
    };
    report.equal("trainable list", &names(true), &listed("requires_grad"));
    report.equal("frozen list", &names(false), &listed("frozen"));

    for batch in case.batches() {
        let model = case.model(freeze.clone());
        for piece in pieces(case, &batch, Execution::Packed) {
            backward(&model, &batch, &piece, true);
        }
        compare(
            case,
            &batch,
            &model,
            &format!("layers {argument} frozen"),
            report,
        );
    }
}
