//! A conditional encoder that learns two toy tasks at once: which of two tokens comes first, and
//! how many tokens there are. Run with `cargo run --example train_two_tasks -p camtl-model`.

use camtl_model::{
    EncoderConfig, MethodConfig, Model, ModelConfig, ModelInput, Preset, TaskHead, Variant,
};
use camtl_ops::{
    AdamWOptions, AdamWState, DropoutStream, Packing, Targets, clip_coefficient, grad_norm,
};
use tch::{Device, Kind};

/// One packed batch: eight sequences of each task, sorted by task.
fn batch(step: u64) -> Result<(ModelInput, Targets), Box<dyn std::error::Error>> {
    let (mut ids, mut positions, mut starts) = (Vec::new(), Vec::new(), vec![0]);
    let (mut tasks, mut classes, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    let mut state = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % n
    };
    for example in 0..16 {
        let task = example / 8;
        let length = 3 + random(6) as i64;
        let first = random(2) as i64;
        for position in 0..length {
            let filler = 6 + random(4) as i64;
            let token = if position == 0 {
                1
            } else if position == 1 {
                2 + first
            } else {
                filler
            };
            ids.push(token);
            positions.push(position);
        }
        starts.push(ids.len() as i64);
        tasks.push(task);
        classes.push(first);
        scores.push(length as f32 / 8.0);
    }
    let packing = Packing::new(&starts, &tasks, Device::Cpu)?;
    let input = ModelInput::new(&ids, &vec![0; ids.len()], &positions, packing)?;
    Ok((input, Targets::new(&classes, &scores, Device::Cpu)?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ModelConfig {
        encoder: EncoderConfig::bert(10, 32, 2, 4, 64, 16),
        method: MethodConfig::new(Preset::Recommended, Variant::Base),
        tasks: vec![
            TaskHead::classification("first", 2),
            TaskHead::regression("length"),
        ],
        max_length: 16,
        freeze: Default::default(),
    };
    let model = Model::new(&config, Device::Cpu, 7)?;
    let parameters = model.parameters();
    println!(
        "{} parameters, {} trained",
        parameters.num_total(),
        parameters.num_trained()
    );

    let mut optimiser = AdamWState::new(&parameters.flat())?;
    let options = AdamWOptions {
        lr: 2e-3,
        ..AdamWOptions::default()
    };
    let mut dropout = DropoutStream::new(0.1, 7);
    for step in 0..=200 {
        let (input, targets) = batch(step)?;
        let output = model.forward(&input, Some(&mut dropout))?;
        let heads = model.heads(&output, Some(&targets), Some(&mut dropout))?;
        let loss = heads.loss.ok_or("no loss")?.mean(Kind::Float);
        loss.backward();
        if step % 50 == 0 {
            println!("step {step:3}  loss {:.4}", loss.double_value(&[]));
        }
        let norm = grad_norm(&parameters.flat_grad())?;
        let clip = clip_coefficient(&norm, 1.0)?;
        parameters.adamw(&mut optimiser, &options, Some(&clip))?;
        parameters.zero_grad()?;
    }
    Ok(())
}
