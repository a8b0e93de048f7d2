//! Bad arguments: the error names the operation, the tensor, what was expected
//! and what came.

#![allow(clippy::single_range_in_vec_init)] // One range is one range to decay.

mod support;

use camtl_ops::{
    AdamWOptions, AdamWState, AutocastGuard, Dropout, Embedding, Head, OpsError, Packing, Qkv,
    Queries, Targets, adamw_flat, band_bias, clip_coefficient, cond_attention, cond_layer_norm,
    dropout_mask, embed_norm_film, film, gelu_bias, grad_norm, heads_entropy_loss, set_grad_view,
    set_num_threads, set_rng_state,
};
use support::packing;
use tch::{Device, Kind, Tensor};

fn zeros(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, Device::Cpu))
}

#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T, OpsError>, parts: &[&str]) {
    let text = result.unwrap_err().to_string();
    for part in parts {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
    assert!(!text.contains('\n'), "more than one line: {text}");
}

#[test]
fn layouts() {
    let new = |starts: &[i64], tasks: &[i64]| Packing::new(starts, tasks, Device::Cpu);
    says(new(&[], &[]), &["cu_seqlens is empty"]);
    says(new(&[1, 2], &[0]), &["cu_seqlens[0] is 1, expected 0"]);
    says(new(&[0, 2], &[0, 1]), &["2 entries for 2 tasks"]);
    says(
        new(&[0, 2, 1], &[0, 1]),
        &["cu_seqlens[2] is 1, below cu_seqlens[1] = 2"],
    );
    says(new(&[0, 2], &[-1]), &["tasks[0] is -1"]);
    says(
        packing(&[3, 2], &[0, 0]).with_key_lengths(&[3]),
        &["1 key lengths for 2 sequences"],
    );
    says(
        packing(&[3, 2], &[0, 0]).with_key_lengths(&[3, 3]),
        &["key length 3 of sequence 1", "1..=2"],
    );
    says(
        packing(&[3, 2], &[0, 0]).with_key_lengths(&[0, 2]),
        &["key length 0 of sequence 0"],
    );
}

#[test]
fn row_operations() {
    let layout = packing(&[2, 1], &[0, 1]);
    let (x, table) = (zeros(&[3, 4]), zeros(&[2, 4]));
    says(
        film(&zeros(&[2, 4]), &table, &table, &layout),
        &["film: `x`", "[2, 4]", "[N=3, D]"],
    );
    says(
        film(&x, &zeros(&[1, 4]), &table, &layout),
        &["film: `gamma`", "[1, 4]", "[T>=2, 4]"],
    );
    says(
        film(&x, &table, &zeros(&[2, 5]), &layout),
        &["film: `beta`"],
    );
    says(
        film(&x.to_kind(Kind::Int64), &table, &table, &layout),
        &["`x` holds Int64"],
    );
    let norm = |residual: &Tensor, weight: &Tensor, eps: f64, p: f64| {
        let dropout = Some(Dropout { p, seed: 0 });
        cond_layer_norm(
            &x,
            Some(residual),
            weight,
            &zeros(&[4]),
            eps,
            dropout,
            &layout,
        )
    };
    says(
        norm(&zeros(&[3, 5]), &table, 0.1, 0.1),
        &["cond_layer_norm: `residual`", "[N=3, D=4]", "[3, 5]"],
    );
    says(
        norm(&x, &zeros(&[3]), 0.1, 0.1),
        &["`weight`", "[4] or [T>=2, 4]"],
    );
    says(norm(&x, &table, -1.0, 0.1), &["eps -1"]);
    says(
        norm(&x, &table, 0.1, 1.0),
        &["dropout probability 1 is outside [0, 1)"],
    );
    says(
        norm(&x, &table, 0.1, f64::NAN),
        &["dropout probability NaN"],
    );
    says(
        gelu_bias(&x, &zeros(&[3])),
        &["gelu_bias: `bias`", "[D=4]", "[3]"],
    );
    says(
        gelu_bias(&zeros(&[3]), &zeros(&[3])),
        &["gelu_bias: `x`", "[N, D]"],
    );
    says(
        band_bias(&x, &zeros(&[2, 3]), &zeros(&[2, 3])),
        &["band_bias: `gamma`", "[T, 4] or [T, 4, 4]"],
    );
    says(
        band_bias(&x, &table, &zeros(&[1, 4])),
        &["band_bias: `beta`", "[2, 4]"],
    );
    let dropout = Dropout { p: 0.5, seed: 0 };
    says(
        dropout_mask(&[-1], &dropout, Kind::Float, Device::Cpu),
        &["dropout_mask", "-1"],
    );
}

#[test]
fn attention() {
    let layout = packing(&[2, 3], &[0, 1]);
    let run = |qkv: &Tensor, heads: i64, band: &Tensor| {
        cond_attention(
            Qkv::Joint(qkv),
            heads,
            Some(band),
            None,
            &layout,
            Queries::All,
        )
    };
    let band = zeros(&[2, 4, 2]);
    says(
        run(&zeros(&[5, 13]), 1, &band),
        &["cond_attention: `qkv`", "3 D", "[5, 13]"],
    );
    says(
        run(&zeros(&[5, 12]), 3, &band),
        &["4 columns do not divide into 3 heads"],
    );
    says(run(&zeros(&[5, 12]), 0, &band), &["0 heads"]);
    says(
        run(&zeros(&[5, 12]), 2, &zeros(&[1, 4, 2])),
        &["`band`", "[T>=2, L, w]"],
    );
    says(
        run(&zeros(&[5, 12]), 2, &zeros(&[2, 2, 2])),
        &["a sequence of 3 tokens", "made for 2"],
    );
    let (q, k) = (zeros(&[2, 4]), zeros(&[5, 4]));
    let separate = Qkv::Separate {
        q: &q,
        k: &k,
        v: &k,
    };
    says(
        cond_attention(separate, 2, None, None, &layout, Queries::All),
        &["`q`", "[2, 4]", "[N=5, D=4]"],
    );
}

#[test]
fn embedding() {
    let layout = packing(&[2], &[0]);
    let (word, other, vector) = (zeros(&[10, 4]), zeros(&[3, 4]), zeros(&[4]));
    let run = |ids: &[i64], word: &Tensor| {
        let embedding = Embedding {
            input_ids: &Tensor::from_slice(ids),
            token_type_ids: &Tensor::from_slice(&[0i64, 1]),
            position_ids: &Tensor::from_slice(&[0i64, 1]),
            word,
            token_type: &other,
            position: &other,
            weight: &vector,
            bias: &vector,
            eps: 0.1,
        };
        embed_norm_film(&embedding, None, None, &layout)
    };
    says(
        run(&[1, 10], &word),
        &[
            "embed_norm_film",
            "`input_ids` holds 10",
            "`word` has rows 0..10",
        ],
    );
    says(run(&[-3, 1], &word), &["`input_ids` holds -3"]);
    says(run(&[1], &word), &["`input_ids`", "[N=2]", "[1]"]);
    says(
        run(&[1, 2], &zeros(&[10, 5])),
        &["`token_type`", "[rows, 5]", "[3, 4]"],
    );
}

#[test]
fn heads() {
    let layout = packing(&[1, 1], &[0, 1]);
    let (pooled, weight, bias) = (zeros(&[2, 4]), zeros(&[3, 4]), zeros(&[3]));
    let head = Head {
        weight: &weight,
        bias: &bias,
        regression: false,
    };
    says(
        heads_entropy_loss(&pooled, &[head], &layout, None),
        &["the batch has task 1", "1 heads"],
    );
    let bad = Head {
        regression: true,
        ..head
    };
    says(
        heads_entropy_loss(&pooled, &[head, bad], &layout, None),
        &["`heads[1].weight`", "[1, D=4]"],
    );
    let targets = Targets::new(&[0, 3], &[0., 0.], Device::Cpu).unwrap();
    let run = heads_entropy_loss(&pooled, &[head, head], &layout, Some(&targets));
    says(run, &["sequence 1 has class 3", "task 1 has classes 0..3"]);
    says(
        Targets::new(&[0], &[], Device::Cpu),
        &["1 classes and 0 scores"],
    );
}

#[test]
fn optimiser_and_clipping() {
    let mut param = zeros(&[4]);
    let mut state = AdamWState::new(&param).unwrap();
    let mut step = |grad: &Tensor, options: &AdamWOptions| {
        adamw_flat(&mut state, &mut param, grad, options, None)
    };
    let ok = AdamWOptions::default();
    says(
        step(&zeros(&[5]), &ok),
        &["adamw_flat: `grad`", "[n=4]", "[5]"],
    );
    says(
        step(&zeros(&[4]).to_kind(Kind::Double), &ok),
        &["`grad` holds Double"],
    );
    says(
        step(
            &zeros(&[4]),
            &AdamWOptions {
                beta2: 1.0,
                ..ok.clone()
            },
        ),
        &["beta2 = 1 is outside [0, 1)"],
    );
    says(
        step(
            &zeros(&[4]),
            &AdamWOptions {
                lr: f64::NAN,
                ..ok.clone()
            },
        ),
        &["lr = NaN"],
    );
    let overlap = AdamWOptions {
        decay: Some(vec![0..2, 1..3]),
        ..ok.clone()
    };
    says(step(&zeros(&[4]), &overlap), &["decay range 1..3"]);
    let beyond = AdamWOptions {
        decay: Some(vec![0..5]),
        ..ok
    };
    says(step(&zeros(&[4]), &beyond), &["decay range 0..5", "0..4"]);
    assert_eq!(state.step, 0);
    says(grad_norm(&zeros(&[2, 2])), &["grad_norm: `flat`", "[n]"]);
    says(
        clip_coefficient(&zeros(&[]), 0.0),
        &["max_norm 0 is not above 0"],
    );
}

#[test]
fn run_time() {
    let mut param = zeros(&[2]);
    says(
        set_grad_view(&mut param, &zeros(&[2])),
        &["set_grad_view", "no leaf that requires a gradient"],
    );
    says(
        set_grad_view(&mut param, &zeros(&[3])),
        &["set_grad_view: `grad`", "[2]", "[3]"],
    );
    says(set_rng_state(&zeros(&[3])), &["set_rng_state", "libtorch"]);
    says(set_num_threads(0), &["0 threads"]);
    says(
        AutocastGuard::new(Device::Cpu, Kind::Float),
        &["kind Float", "BFloat16"],
    );
    says(AutocastGuard::new(Device::Mps, Kind::Half), &["device Mps"]);
}
