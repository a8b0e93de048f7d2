//! A tiny model with a head of every kind, and batches for it.

use camtl_model::{
    EncoderConfig, ExampleHeads, ExampleLayout, MethodConfig, Model, ModelConfig, ModelInput,
    Preset, TaskHead, Variant,
};
use camtl_ops::{DropoutStream, Packing, Targets};
use tch::{Device, Tensor};

pub(crate) const CLASSIFICATION: i64 = 0;
pub(crate) const REGRESSION: i64 = 1;
pub(crate) const CHOICE: i64 = 2;
pub(crate) const TAGGING: i64 = 3;
pub(crate) const SPAN: i64 = 4;
pub(crate) const SPAN_OR_NONE: i64 = 5;
pub(crate) const PAIR: i64 = 6;

pub(crate) fn config(method: MethodConfig) -> ModelConfig {
    let mut encoder = EncoderConfig::bert(30, 24, 2, 2, 20, 12);
    // Larger starts than a real model's, so that every module matters.
    encoder.initializer_range = 0.2;
    ModelConfig {
        encoder,
        method,
        tasks: vec![
            TaskHead::classification("class", 3),
            TaskHead::regression("score"),
            TaskHead::multiple_choice("choice"),
            TaskHead::tagging("tags", 4),
            TaskHead::span("span", false),
            TaskHead::span("span-or-none", true),
            TaskHead::span_pair("pair", 2),
        ],
        max_length: 12,
        freeze: Default::default(),
    }
}

pub(crate) fn model() -> Model {
    // Tensors this small only lose by being shared out.
    camtl_ops::set_num_threads(1).unwrap();
    let method = MethodConfig::new(Preset::Released, Variant::Base);
    Model::new(&config(method), Device::Cpu, 6).unwrap()
}

/// One example: its task, its sequences, its numbers, its truth.
#[derive(Debug, Clone)]
pub(crate) struct Example {
    pub(crate) task: i64,
    pub(crate) sequences: Vec<Vec<i64>>,
    pub(crate) extra: Vec<i64>,
    pub(crate) class: i64,
    pub(crate) score: f32,
}

/// An example of one sequence.
pub(crate) fn example(task: i64, tokens: &[i64], extra: &[i64], class: i64) -> Example {
    Example {
        task,
        sequences: vec![tokens.to_vec()],
        extra: extra.to_vec(),
        class,
        score: 0.0,
    }
}

/// One or two examples of every task, in an order that is not the tasks'.
pub(crate) fn mixed() -> Vec<Example> {
    vec![
        example(
            TAGGING,
            &[2, 9, 8, 7, 6, 3],
            &[-100, 1, -100, 3, 0, -100],
            0,
        ),
        example(CLASSIFICATION, &[2, 5, 3], &[], 2),
        Example {
            task: CHOICE,
            sequences: vec![vec![2, 9, 9, 3], vec![2, 10, 3]],
            extra: vec![4, 3],
            class: 1,
            score: 0.0,
        },
        Example {
            score: 2.5,
            ..example(REGRESSION, &[2, 14, 15, 3], &[], 0)
        },
        example(SPAN, &[2, 4, 3, 11, 12, 13, 14, 3], &[4, 5, 3, 6], 0),
        example(SPAN, &[2, 4, 3, 15, 16, 3], &[0, 0, 3, 4], 0),
        example(SPAN_OR_NONE, &[2, 4, 3, 15, 16, 17, 3], &[3, 3, 3, 5], 0),
        example(PAIR, &[2, 4, 20, 21, 22, 3, 23, 3], &[1, 3, 6, 7], 1),
        // Marked to be tagged, the classes not known.
        example(TAGGING, &[2, 6, 3], &[-100, -1, -100], 0),
        Example {
            task: CHOICE,
            sequences: vec![vec![2, 3], vec![2, 25, 26, 27, 3]],
            extra: vec![2, 5],
            class: -100,
            score: 0.0,
        },
        example(PAIR, &[2, 4, 5, 3], &[0, 4, 1, 2], -100),
        example(SPAN_OR_NONE, &[2, 4, 5, 3], &[-1, -1, 1, 2], 0),
    ]
}

pub(crate) fn input(examples: &[Example]) -> ModelInput {
    let (mut ids, mut positions, mut tasks, mut starts) = (vec![], vec![], vec![], vec![0]);
    for example in examples {
        for sequence in &example.sequences {
            ids.extend(sequence);
            positions.extend(0..sequence.len() as i64);
            starts.push(ids.len() as i64);
            tasks.push(example.task);
        }
    }
    let packing = Packing::new(&starts, &tasks, Device::Cpu).unwrap();
    ModelInput::new(&ids, &vec![0; ids.len()], &positions, packing).unwrap()
}

pub(crate) fn layout(examples: &[Example]) -> ExampleLayout {
    let (mut cu_examples, mut cu_extra, mut extra) = (vec![0], vec![0], vec![]);
    for example in examples {
        cu_examples.push(cu_examples.last().unwrap() + example.sequences.len() as i64);
        extra.extend(&example.extra);
        cu_extra.push(extra.len() as i64);
    }
    ExampleLayout::new(&cu_examples, &extra, &cu_extra).unwrap()
}

pub(crate) fn targets(examples: &[Example]) -> Targets {
    let classes: Vec<i64> = examples.iter().map(|example| example.class).collect();
    let scores: Vec<f32> = examples.iter().map(|example| example.score).collect();
    Targets::new(&classes, &scores, Device::Cpu).unwrap()
}

pub(crate) fn heads(
    model: &Model,
    examples: &[Example],
    mut dropout: Option<DropoutStream>,
) -> ExampleHeads {
    let input = input(examples);
    let output = model.forward(&input, dropout.as_mut()).unwrap();
    let targets = targets(examples);
    model
        .heads_of(
            &input,
            &output,
            &layout(examples),
            Some(&targets),
            dropout.as_mut(),
        )
        .unwrap()
}

pub(crate) fn vector(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(&tensor.to_kind(tch::Kind::Double).reshape([-1])).unwrap()
}
