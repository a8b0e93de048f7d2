//! A batch-invariant model gives a sequence the same bits alone and in any company.

use camtl_model::heads::{NOT_TAGGED, UNKNOWN};
use camtl_model::{
    EncoderConfig, ExampleLayout, MethodConfig, Model, ModelConfig, ModelInput, Preset, TaskHead,
    Variant,
};
use camtl_ops::Packing;
use tch::{Device, no_grad};

/// Ids and task of the sequence `number`.
fn sequence(number: usize) -> (Vec<i64>, i64) {
    let length = 2 + (number * 7) % 40;
    let ids = (0..length).map(|at| ((number * 31 + at * 17) % 90 + 5) as i64);
    (ids.collect(), (number % 6) as i64)
}

fn heads() -> Vec<TaskHead> {
    vec![
        TaskHead::classification("a", 2),
        TaskHead::classification("b", 3),
        TaskHead::regression("c"),
        TaskHead::tagging("d", 5),
        TaskHead::span("e", true),
        TaskHead::span_pair("f", 2),
    ]
}

/// What the example of a sequence brings along for its task's head.
fn extra(task: i64, length: i64) -> Vec<i64> {
    match task {
        3 => (0..length)
            .map(|at| if at % 3 == 0 { UNKNOWN } else { NOT_TAGGED })
            .collect(),
        4 => vec![UNKNOWN, UNKNOWN, 1, length - 1],
        5 => vec![0, 1, length / 2, length],
        _ => Vec::new(),
    }
}

/// Bits of each sequence's logits, in the order of `numbers`.
fn logits(model: &Model, numbers: &[usize]) -> Vec<Vec<u32>> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by_key(|&at| sequence(numbers[at]).1);
    let (mut ids, mut positions, mut starts, mut tasks) = (vec![], vec![], vec![0], vec![]);
    let (mut extras, mut extra_starts) = (vec![], vec![0]);
    for &at in &order {
        let (tokens, task) = sequence(numbers[at]);
        extras.extend(extra(task, tokens.len() as i64));
        extra_starts.push(extras.len() as i64);
        positions.extend(0..tokens.len() as i64);
        ids.extend(tokens);
        starts.push(ids.len() as i64);
        tasks.push(task);
    }
    let packing = Packing::new(&starts, &tasks, Device::Cpu).unwrap();
    let input = ModelInput::new(&ids, &vec![0; ids.len()], &positions, packing).unwrap();
    let sequences: Vec<i64> = (0..=order.len() as i64).collect();
    let examples = ExampleLayout::new(&sequences, &extras, &extra_starts).unwrap();
    let said = no_grad(|| {
        let output = model.forward(&input, None).unwrap();
        model
            .heads_of(&input, &output, &examples, None, None)
            .unwrap()
    });
    let mut bits = vec![Vec::new(); numbers.len()];
    for task in &said.logits {
        let mut first = 0;
        for (&example, &count) in task.examples.iter().zip(&task.counts) {
            let rows = task.logits.narrow(0, first, count as i64);
            first += count as i64;
            let values = Vec::<f32>::try_from(rows.flatten(0, -1)).unwrap();
            bits[order[example]] = values.iter().map(|value| value.to_bits()).collect();
        }
    }
    bits
}

#[test]
fn outputs_do_not_depend_on_the_batch() {
    for (method, hidden) in [
        (MethodConfig::new(Preset::Recommended, Variant::Base), 192),
        (MethodConfig::new(Preset::Paper, Variant::Large), 96),
        (MethodConfig::plain(), 48),
    ] {
        let config = ModelConfig {
            encoder: EncoderConfig::bert(100, hidden, 3, 4, 4 * hidden, 64),
            method,
            tasks: heads(),
            max_length: 48,
            freeze: Default::default(),
        };
        let mut model = Model::new(&config, Device::Cpu, 3).unwrap();
        model.set_batch_invariant(true);
        let all: Vec<usize> = (0..30).collect();
        let expected = logits(&model, &all);
        for size in [1, 3, 16, 29] {
            for part in all.chunks(size) {
                let found = logits(&model, part);
                for (number, found) in part.iter().zip(found) {
                    assert_eq!(found, expected[*number], "batches of {size}: {number}");
                }
            }
        }
        let reversed: Vec<usize> = all.iter().rev().copied().collect();
        let mut found = logits(&model, &reversed);
        found.reverse();
        assert_eq!(found, expected);
    }
}
