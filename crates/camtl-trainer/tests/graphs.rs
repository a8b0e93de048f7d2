//! `train.cuda_graphs`: what it trains, and where it is refused.

mod support;

use camtl_model::Model;
use camtl_trainer::set_device_options;
use support::*;

/// Batches filled up as graphs need them train the same model, in scoring and in updates; on a CPU
/// nothing is captured.
#[test]
fn filled_up_batches_train_the_same_model() {
    let run = |cuda_graphs| {
        let mut config = config();
        config.train.max_steps = Some(25);
        config.train.learning_rate = 3e-3;
        config.train.cuda_graphs = cuda_graphs;
        let mut trainer = trainer(&config, None);
        let (summary, events) = finish(&mut trainer);
        (summary, losses(&events), trainer.into_model())
    };
    let (plain, plain_losses, plain_model) = run(false);
    let (filled, filled_losses, filled_model) = run(true);
    assert_eq!(plain.data, filled.data, "the same examples are chosen");
    for (plain, filled) in plain_losses.iter().zip(&filled_losses) {
        assert!((plain - filled).abs() < 1e-3 * plain, "{plain}, {filled}");
    }
    let weights = |model: &Model| model.parameters().flat();
    let distance =
        (weights(&plain_model) - weights(&filled_model)).norm() / weights(&plain_model).norm();
    assert!(distance.double_value(&[]) < 1e-3);
    let (_, again_losses, again_model) = run(true);
    assert_eq!(filled_losses, again_losses);
    assert_eq!(weights(&filled_model), weights(&again_model));
}

#[test]
fn graphs_are_refused_on_a_cpu() {
    let mut config = config();
    config.train.cuda_graphs = true;
    let mut model = model(&config, &datasets());
    let error = set_device_options(&mut model, &config.train).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("train.cuda_graphs = true is for GPUs"),
        "{error}"
    );
}
