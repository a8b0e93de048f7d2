//! Extending a trained model by a task.

use camtl_model::adapt::{TaskStart, freeze_shared};
use camtl_model::{
    EncoderConfig, Freeze, MethodConfig, Model, ModelConfig, ModelInput, Preset, TaskHead, Variant,
};
use camtl_ops::{Packing, Targets};
use tch::{Device, Kind, Tensor, no_grad};

const WIDTH: i64 = 48;

fn config(method: MethodConfig, tasks: usize) -> ModelConfig {
    ModelConfig {
        encoder: EncoderConfig::bert(60, WIDTH, 3, 4, 96, 32),
        method,
        tasks: (0..tasks)
            .map(|task| TaskHead::classification(&format!("task{task}"), 2 + task % 2))
            .collect(),
        max_length: 16,
        freeze: Freeze::None,
    }
}

fn methods() -> Vec<MethodConfig> {
    vec![
        MethodConfig::new(Preset::Recommended, Variant::Base),
        MethodConfig::new(Preset::Released, Variant::Base),
        MethodConfig::new(Preset::Paper, Variant::Large),
        MethodConfig::plain(),
    ]
}

/// A model as if trained: every parameter away from its start.
fn trained(config: &ModelConfig) -> Model {
    let model = Model::new(config, Device::Cpu, 3).unwrap();
    for (at, entry) in model.parameters().entries().iter().enumerate() {
        let value = model.parameters().tensor(&entry.name).unwrap();
        let numel = value.numel() as i64;
        let wave =
            (Tensor::arange(numel, (Kind::Float, Device::Cpu)) * 0.7 + at as f64).sin() * 0.05;
        let moved = value + wave.view(&entry.shape[..]);
        model.parameters().set(&entry.name, &moved).unwrap();
    }
    model
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    Vec::<f32>::try_from(tensor.flatten(0, -1))
        .unwrap()
        .iter()
        .map(|value| value.to_bits())
        .collect()
}

/// Logits of each of the first `tasks` tasks on some sequences, as bits.
fn logits(model: &Model, tasks: usize) -> Vec<Vec<u32>> {
    let (mut ids, mut positions, mut starts, mut numbers) = (vec![], vec![], vec![0], vec![]);
    for sequence in 0..3 * tasks as i64 {
        let length = 3 + (sequence * 5) % 12;
        ids.extend((0..length).map(|at| 5 + (sequence * 13 + at * 7) % 50));
        positions.extend(0..length);
        starts.push(ids.len() as i64);
        numbers.push(sequence / 3);
    }
    let packing = Packing::new(&starts, &numbers, Device::Cpu).unwrap();
    let input = ModelInput::new(&ids, &vec![0; ids.len()], &positions, packing).unwrap();
    no_grad(|| {
        let output = model.forward(&input, None).unwrap();
        let heads = model.heads(&output, None, None).unwrap();
        heads
            .logits
            .iter()
            .map(|(_, logits)| bits(logits))
            .collect()
    })
}

/// Some gradient steps on the only task of `model`.
fn train(model: &Model) {
    let packing = Packing::new(&[0, 4, 9], &[0, 0], Device::Cpu).unwrap();
    let ids = [5, 6, 7, 8, 9, 10, 11, 12, 13];
    let positions = [0, 1, 2, 3, 0, 1, 2, 3, 4];
    let input = ModelInput::new(&ids, &[0; 9], &positions, packing).unwrap();
    let targets = Targets::new(&[0, 1], &[0.0; 2], Device::Cpu).unwrap();
    for _ in 0..3 {
        model.parameters().zero_grad().unwrap();
        let output = model.forward(&input, None).unwrap();
        let heads = model.heads(&output, Some(&targets), None).unwrap();
        heads.loss.unwrap().mean(Kind::Float).backward();
        no_grad(|| {
            let _ = model
                .parameters()
                .flat()
                .g_sub_(&(model.parameters().flat_grad() * 0.5));
        });
    }
}

#[test]
fn with_shared_parameters_frozen_the_old_tasks_keep_every_bit() {
    // One more task makes the table of modulations longer, so several lengths are tried.
    for method in methods() {
        for tasks in [1, 3, 8] {
            let config = config(method.clone(), tasks);
            let model = trained(&config);
            let before = logits(&model, tasks);
            let head = TaskHead::classification("new", 3);
            let freeze = freeze_shared(&config).unwrap();
            let alone = model
                .for_new_task(&head, &TaskStart::Mean, freeze, 5)
                .unwrap();
            let row = if method.is_conditional() { WIDTH } else { 0 };
            assert_eq!(alone.parameters().num_trained(), row + 3 * WIDTH + 3);
            let fresh = logits(&model.joined(&alone).unwrap(), tasks + 1);
            train(&alone);
            let joined = model.joined(&alone).unwrap();
            assert_eq!(joined.config().tasks.len(), tasks + 1);
            assert!(joined.shares_parameters_with(&model).unwrap());
            let after = logits(&joined, tasks + 1);
            assert_ne!(after[tasks], fresh[tasks], "the new task has learned");
            assert_eq!(logits(&joined, tasks), before, "{method:?}, {tasks} tasks");
        }
    }
}

#[test]
fn shared_parameters_that_are_trained_are_those_of_the_adapted_model() {
    let config = config(MethodConfig::new(Preset::Recommended, Variant::Base), 2);
    let model = trained(&config);
    let head = TaskHead::regression("new");
    let alone = model
        .for_new_task(&head, &TaskStart::Random, Freeze::None, 5)
        .unwrap();
    train(&alone);
    let joined = model.joined(&alone).unwrap();
    let value = |model: &Model, name: &str| bits(&model.parameters().tensor(name).unwrap());
    let name = "bert.encoder.layer.1.output.dense.weight";
    assert_eq!(value(&joined, name), value(&alone, name));
    assert_ne!(value(&joined, name), value(&model, name));
    let name = "decoders.1.model.weight";
    assert_eq!(value(&joined, name), value(&model, name));
    assert_ne!(logits(&joined, 2), logits(&model, 2));
    assert!(!joined.shares_parameters_with(&model).unwrap());
    assert!(joined.shares_parameters_with(&alone).unwrap());
}

#[test]
fn rows_start_where_they_are_told_to() {
    let config = config(MethodConfig::new(Preset::Recommended, Variant::Base), 3);
    let model = trained(&config);
    let name = "bert.task_type_embeddings.weight";
    let rows = model.parameters().tensor(name).unwrap();
    let row = |start: &TaskStart| {
        let head = TaskHead::classification("new", 2);
        let freeze = freeze_shared(&config).unwrap();
        let alone = model.for_new_task(&head, start, freeze, 5).unwrap();
        alone.parameters().tensor(name).unwrap()
    };
    let second = row(&TaskStart::Task("task1".into()));
    assert_eq!(bits(&second), bits(&rows.narrow(0, 1, 1)));
    let mean = row(&TaskStart::Mean);
    let expected = (rows.get(0) + rows.get(1) + rows.get(2)) / 3.0;
    let difference = (mean.squeeze() - expected).abs().max();
    assert!(difference.double_value(&[]) < 1e-7);
    // As a model of four tasks would have started.
    let mut four = config.clone();
    four.tasks.push(TaskHead::classification("new", 2));
    let start = Model::new(&four, Device::Cpu, 5).unwrap();
    let start = start.parameters().tensor(name).unwrap();
    assert_eq!(bits(&row(&TaskStart::Random)), bits(&start.narrow(0, 3, 1)));
}

#[test]
fn what_cannot_be_is_named() {
    for method in methods() {
        let config = config(method, 2);
        let model = trained(&config);
        let fail = |name: &str, start: TaskStart| {
            let head = TaskHead::classification(name, 2);
            let freeze = freeze_shared(&config).unwrap();
            model
                .for_new_task(&head, &start, freeze, 5)
                .unwrap_err()
                .to_string()
        };
        let error = fail("task1", TaskStart::Mean);
        assert!(error.contains("has a task `task1` already"), "{error}");
        let error = fail("new", TaskStart::Task("tsak1".into()));
        assert!(error.contains("no task `tsak1`"), "{error}");
        assert!(error.contains("task1"), "{error}");
        let error = model.joined(&model).unwrap_err().to_string();
        assert!(error.contains("2 tasks"), "{error}");
    }
}
