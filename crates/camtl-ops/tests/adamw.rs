//! AdamW and clipping against values of torch.optim.AdamW and of transformers
//! 2.11's formula, stored by fixtures/make_adamw.py.

mod support;

use camtl_ops::{
    AdamWForm, AdamWOptions, AdamWState, Result, adamw_flat, clip_coefficient, grad_norm, slow,
};
use serde_json::Value;
use support::{Random, assert_close, vec64};
use tch::{Kind, Tensor};

type Step = fn(&mut AdamWState, &mut Tensor, &Tensor, &AdamWOptions, Option<&Tensor>) -> Result<()>;
const FORMS: [(&str, Step); 2] = [("default", adamw_flat), ("slow", slow::adamw_flat)];

fn numbers(value: &Value) -> Tensor {
    let values: Vec<f64> = value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect();
    Tensor::from_slice(&values)
}

#[test]
fn equals_the_reference_optimisers() {
    let file: Value = serde_json::from_str(include_str!("fixtures/adamw.json")).unwrap();
    let bounds = numbers(&file["decayed"]);
    let decayed = bounds.int64_value(&[0])..bounds.int64_value(&[1]);
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let options = AdamWOptions {
            lr: case["lr"].as_f64().unwrap(),
            beta1: case["betas"][0].as_f64().unwrap(),
            beta2: case["betas"][1].as_f64().unwrap(),
            eps: case["eps"].as_f64().unwrap(),
            weight_decay: case["weight_decay"].as_f64().unwrap(),
            decay: Some(vec![decayed.clone()]),
            lr_scales: Vec::new(),
            form: if case["form"] == "torch" {
                AdamWForm::Torch
            } else {
                AdamWForm::HuggingFace
            },
        };
        for (name, step) in FORMS {
            for (kind, tolerance) in [(Kind::Double, 1e-7), (Kind::Float, 3e-6)] {
                let mut param = numbers(&file["start"]).to_kind(kind);
                let mut state = AdamWState::new(&param).unwrap();
                for grad in file["gradients"].as_array().unwrap() {
                    let grad = numbers(grad).to_kind(kind);
                    let clip = case["max_norm"]
                        .as_f64()
                        .map(|max| clip_coefficient(&grad_norm(&grad).unwrap(), max).unwrap());
                    step(&mut state, &mut param, &grad, &options, clip.as_ref()).unwrap();
                }
                assert_eq!(state.step, 7);
                let what = format!("{name} {kind:?} {options:?}");
                assert_close(&what, &param, &numbers(&case["result"]), tolerance);
            }
        }
    }
}

#[test]
fn forms_agree_on_large_odd_buffers() {
    // Longer than a thread's block, not a multiple of any vector width.
    let n = 100_003;
    for form in [AdamWForm::Torch, AdamWForm::HuggingFace] {
        let options = AdamWOptions {
            lr: 0.1,
            weight_decay: 0.5,
            decay: Some(vec![0..1, 7..50_001, 50_001..50_001, 99_999..n]),
            form,
            ..AdamWOptions::default()
        };
        let results: Vec<Vec<Tensor>> = FORMS
            .iter()
            .map(|(_, step)| {
                let mut random = Random::new(1);
                let mut param = random.tensor(&[n], 1.0, Kind::Float);
                let mut state = AdamWState::new(&param).unwrap();
                for _ in 0..3 {
                    let grad = random.tensor(&[n], 2.0, Kind::Float);
                    let clip = clip_coefficient(&grad_norm(&grad).unwrap(), 5.0).unwrap();
                    step(&mut state, &mut param, &grad, &options, Some(&clip)).unwrap();
                }
                vec![param, state.exp_avg, state.exp_avg_sq]
            })
            .collect();
        for (got, want) in results[0].iter().zip(&results[1]) {
            assert_close("default against slow", got, want, 1e-6);
        }
    }
}

#[test]
fn ranges_take_their_own_learning_rates() {
    // Two threads' blocks and more; decay begins and ends within ranges of other rates.
    let n = 40_005;
    let decay = vec![3..1_000, 9_000..39_999];
    let scales = vec![(16..4_096, 10.0), (4_096..4_096, 3.0), (8_192..n, 0.5)];
    for form in [AdamWForm::Torch, AdamWForm::HuggingFace] {
        for (name, step) in FORMS {
            let run = |lr: f64, lr_scales: Vec<(std::ops::Range<i64>, f64)>| {
                let options = AdamWOptions {
                    lr,
                    weight_decay: 0.5,
                    decay: Some(decay.clone()),
                    lr_scales,
                    form,
                    ..AdamWOptions::default()
                };
                let mut random = Random::new(3);
                let mut param = random.tensor(&[n], 1.0, Kind::Float);
                let mut state = AdamWState::new(&param).unwrap();
                for _ in 0..3 {
                    let grad = random.tensor(&[n], 2.0, Kind::Float);
                    step(&mut state, &mut param, &grad, &options, None).unwrap();
                }
                assert_eq!(state.step, 3);
                [param, state.exp_avg, state.exp_avg_sq]
            };
            let scaled = run(0.125, scales.clone());
            for (range, rate) in [
                (0..16, 0.125),
                (16..4_096, 1.25),
                (4_096..8_192, 0.125),
                (8_192..n, 0.0625),
            ] {
                let whole = run(rate, Vec::new());
                for (got, want) in scaled.iter().zip(&whole) {
                    let part = |t: &Tensor| t.narrow(0, range.start, range.end - range.start);
                    assert_eq!(
                        vec64(&part(got)),
                        vec64(&part(want)),
                        "{name} {form:?} {range:?}"
                    );
                }
            }
            // Factors of 1 change no bit.
            let ones = run(0.125, vec![(32..64, 1.0), (8_192..n, 1.0)]);
            for (got, want) in ones.iter().zip(&run(0.125, Vec::new())) {
                assert_eq!(vec64(got), vec64(want), "{name} {form:?}");
            }
        }
    }
}

#[test]
fn resuming_from_saved_moments_changes_nothing() {
    let mut random = Random::new(2);
    let start = random.tensor(&[33], 1.0, Kind::Float);
    let grads: Vec<Tensor> = (0..6)
        .map(|_| random.tensor(&[33], 1.0, Kind::Float))
        .collect();
    let options = AdamWOptions::default();
    for (name, step) in FORMS {
        let mut param = start.copy();
        let mut state = AdamWState::new(&param).unwrap();
        for grad in &grads {
            step(&mut state, &mut param, grad, &options, None).unwrap();
        }
        let mut half = start.copy();
        let mut first = AdamWState::new(&half).unwrap();
        for grad in &grads[..3] {
            step(&mut first, &mut half, grad, &options, None).unwrap();
        }
        let mut second = AdamWState {
            exp_avg: first.exp_avg.copy(),
            exp_avg_sq: first.exp_avg_sq.copy(),
            step: first.step,
        };
        for grad in &grads[3..] {
            step(&mut second, &mut half, grad, &options, None).unwrap();
        }
        assert_eq!(vec64(&param), vec64(&half), "{name}");
    }
}

#[test]
fn norm_is_exact_enough_and_repeats() {
    let values = Random::new(3).tensor(&[1_000_001], 3.0, Kind::Float);
    let want = vec64(&values).iter().map(|x| x * x).sum::<f64>().sqrt();
    let first = f64::try_from(grad_norm(&values).unwrap()).unwrap();
    assert!((first - want).abs() < 1e-6 * want, "{first} for {want}");
    assert_eq!(first, f64::try_from(grad_norm(&values).unwrap()).unwrap());
}

#[test]
fn non_finite_gradients_show_in_the_norm() {
    for bad in [f32::NAN, f32::INFINITY] {
        let norm = grad_norm(&Tensor::from_slice(&[1.0, bad, 2.0])).unwrap();
        assert!(!f64::try_from(&norm).unwrap().is_finite());
    }
    let coefficient = clip_coefficient(&Tensor::from(f32::NAN), 1.0).unwrap();
    assert!(f64::try_from(coefficient).unwrap().is_nan());
}

#[test]
fn elements_without_gradient_and_moments_stay_or_only_decay() {
    // Long stretches without a gradient, as in the rows of words that do not
    // occur; in the second half of them there was one once.
    let n = 4_096;
    let mut random = Random::new(4);
    let start = random.tensor(&[n], 1.0, Kind::Float);
    let once = random.tensor(&[n], 1.0, Kind::Float);
    let _ = once.narrow(0, 0, n / 2).zero_();
    let silent = Tensor::zeros([n], (Kind::Float, tch::Device::Cpu));
    for form in [AdamWForm::Torch, AdamWForm::HuggingFace] {
        for weight_decay in [0.0, 0.1] {
            let options = AdamWOptions {
                lr: 0.01,
                weight_decay,
                form,
                ..AdamWOptions::default()
            };
            let results = FORMS.map(|(_, step)| {
                let mut param = start.copy();
                let mut state = AdamWState::new(&param).unwrap();
                for grad in [&once, &silent, &silent, &silent] {
                    step(&mut state, &mut param, grad, &options, None).unwrap();
                }
                [param, state.exp_avg, state.exp_avg_sq]
            });
            for (got, want) in results[0].iter().zip(&results[1]) {
                assert_close("default against slow", got, want, 1e-6);
            }
            let untouched = vec64(&results[0][0].narrow(0, 0, n / 2));
            assert_eq!(
                untouched == vec64(&start.narrow(0, 0, n / 2)),
                weight_decay == 0.0
            );
        }
    }
}

// Elsewhere the processor keeps numbers below the normal ones.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_moment_that_has_faded_below_the_normal_numbers_is_gone() {
    let mut param = Tensor::from_slice(&vec![1f32; 64]);
    let mut state = AdamWState::new(&param).unwrap();
    let _ = state.exp_avg.fill_(1.2e-38);
    let _ = state.exp_avg_sq.fill_(1.0);
    let grad = param.zeros_like();
    for _ in 0..3 {
        adamw_flat(
            &mut state,
            &mut param,
            &grad,
            &AdamWOptions::default(),
            None,
        )
        .unwrap();
    }
    assert_eq!(vec64(&state.exp_avg), vec![0.0; 64]);
    assert_eq!(vec64(&param), vec![1.0; 64]);
}

#[test]
fn a_clip_factor_that_is_no_number_reaches_every_element() {
    let mut param = Tensor::from_slice(&vec![1f32; 600]);
    let mut state = AdamWState::new(&param).unwrap();
    let clip = Tensor::from(f32::NAN);
    let grad = param.zeros_like();
    let options = AdamWOptions::default();
    adamw_flat(&mut state, &mut param, &grad, &options, Some(&clip)).unwrap();
    assert!(vec64(&param).iter().all(|p| p.is_nan()));
}
