//! Two tasks with one attention block, from the operations alone: the tasks see
//! the same tokens and differ only in their modulation.
//!
//! Run with `cargo run -p camtl-ops --example modulated_attention`.

use camtl_ops::{
    AdamWOptions, AdamWState, DropoutStream, Head, Packing, Qkv, Queries, Targets, adamw_flat,
    band_bias, clip_coefficient, cond_attention, cond_layer_norm, grad_norm, heads_entropy_loss,
    set_grad_view,
};
use tch::{Device, Kind, Tensor};

const D: i64 = 16;
const LENGTH: i64 = 8;
const SHAPES: [(&str, &[i64]); 9] = [
    ("embedding", &[4, D]),
    ("qkv", &[3 * D, D]),
    ("a", &[LENGTH, 4]),
    ("gamma", &[2, 4]),
    ("beta", &[2, 4]),
    ("norm_weight", &[2, D]),
    ("norm_bias", &[2, D]),
    ("head_weight", &[2, D]),
    ("head_bias", &[2]),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tch::manual_seed(1);
    // All parameters in one flat buffer, all gradients in another.
    let size: i64 = SHAPES
        .iter()
        .map(|(_, shape)| shape.iter().product::<i64>())
        .sum();
    let options = (Kind::Float, Device::Cpu);
    let (mut flat, grads) = (
        Tensor::randn([size], options) * 0.2,
        Tensor::zeros([size], options),
    );
    let mut parameters = Vec::new();
    let mut start = 0;
    for (_, shape) in SHAPES {
        let count = shape.iter().product();
        let mut parameter = flat
            .narrow(0, start, count)
            .view(shape)
            .detach()
            .set_requires_grad(true);
        set_grad_view(&mut parameter, &grads.narrow(0, start, count).view(shape))?;
        parameters.push(parameter);
        start += count;
    }
    let [
        embedding,
        qkv,
        a,
        gamma,
        beta,
        norm_weight,
        norm_bias,
        head_weight,
        head_bias,
    ] = &parameters[..]
    else {
        return Err("nine parameters".into());
    };

    // Task 0: does the sequence hold token 3? Task 1: does it hold token 2?
    let ids: Vec<i64> = (0..40 * LENGTH)
        .map(|n| (n * n * 7 + n * 3 + n / 5) % 11 % 4)
        .collect();
    let starts: Vec<i64> = (0..=40).map(|b| b * LENGTH).collect();
    let tasks: Vec<i64> = (0..40).map(|b| b / 20).collect();
    let classes: Vec<i64> = tasks
        .iter()
        .enumerate()
        .map(|(b, task)| {
            ids[b * LENGTH as usize..][..LENGTH as usize]
                .contains(&(3 - task))
                .into()
        })
        .collect();
    let packing = Packing::new(&starts, &tasks, Device::Cpu)?;
    let ids = Tensor::from_slice(&ids);
    let targets = Targets::new(&classes, &[0.0; 40], Device::Cpu)?;

    let mut state = AdamWState::new(&flat)?;
    let adamw = AdamWOptions {
        lr: 0.02,
        weight_decay: 0.01,
        ..AdamWOptions::default()
    };
    let mut dropout = DropoutStream::new(0.1, 7);
    let tail = packing.first_only()?;
    for step in 0..=120 {
        let x = embedding.f_index_select(0, &ids)?;
        let band = band_bias(a, gamma, beta)?;
        let projected = x.f_linear(qkv, None::<&Tensor>)?;
        // Only the first token is read, so only it asks.
        let y = cond_attention(
            Qkv::Joint(&projected),
            2,
            Some(&band),
            dropout.next(),
            &packing,
            Queries::FirstTokens,
        )?;
        let first = x.f_index_select(0, packing.first_rows())?;
        let y = cond_layer_norm(&y, Some(&first), norm_weight, norm_bias, 1e-12, None, &tail)?;
        let head = Head {
            weight: head_weight,
            bias: head_bias,
            regression: false,
        };
        let output = heads_entropy_loss(&y, &[head, head], &packing, Some(&targets))?;
        let loss = output.loss.ok_or("no loss")?.f_mean(None::<Kind>)?;
        if step % 20 == 0 {
            let entropy = f64::try_from(output.entropy.f_mean(None::<Kind>)?)?;
            println!(
                "step {step:3}  loss {:.4}  entropy {entropy:.4}",
                f64::try_from(&loss)?
            );
        }
        let _ = grads.shallow_clone().f_zero_()?;
        loss.f_backward()?;
        let clip = clip_coefficient(&grad_norm(&grads)?, 1.0)?;
        adamw_flat(&mut state, &mut flat, &grads, &adamw, Some(&clip))?;
    }
    Ok(())
}
