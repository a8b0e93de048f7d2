//! The fused kernels against the definitions: values and gradients of every
//! input, in float64 and float32, at random shapes, with the same dropout masks,
//! in every instruction set this processor has.

mod support;

use camtl_ops::{
    CpuIsa, Dropout, Embedding, Head, Qkv, Queries, Targets, cpu_isa, limit_cpu_isa,
    set_num_threads,
};
use proptest::prelude::*;
use support::{DEFAULT, Form, Random, SLOW, difference, difference_on, gradient_scales, gradients};
use tch::{Device, Kind, Tensor};

/// Lengths around what kernels and vectors divide by.
fn lengths() -> impl Strategy<Value = Vec<i64>> {
    let length = prop_oneof![
        prop_oneof![
            Just(0i64),
            Just(1),
            Just(15),
            Just(16),
            Just(17),
            Just(127),
            Just(128)
        ],
        0i64..60,
    ];
    prop::collection::vec(length, 1..7)
}

fn dropouts() -> impl Strategy<Value = Option<Dropout>> {
    prop_oneof![
        Just(None),
        (0.05f64..0.6, any::<u64>()).prop_map(|(p, seed)| Some(Dropout { p, seed }))
    ]
}

/// Task counts, widths (22 and 43 divide nothing), rows.
fn tasks() -> impl Strategy<Value = i64> {
    prop_oneof![Just(1i64), Just(2), Just(26)]
}

const BOTH: [(Kind, f64); 2] = [(Kind::Double, 1e-12), (Kind::Float, 2e-5)];

/// Both forms agree in `f`'s value and in the gradient of every input.
fn agree(inputs: &[Tensor], f: &dyn Fn(&Form, &[Tensor]) -> Tensor) -> Result<(), TestCaseError> {
    agree_in(&BOTH, inputs, f)
}

fn agree_in(
    kinds: &[(Kind, f64)],
    inputs: &[Tensor],
    f: &dyn Fn(&Form, &[Tensor]) -> Tensor,
) -> Result<(), TestCaseError> {
    let scales = gradient_scales(inputs, &|x| f(&SLOW, x));
    for &(kind, tolerance) in kinds {
        let inputs: Vec<Tensor> = inputs.iter().map(|x| x.to_kind(kind)).collect();
        let (want, want_grads) = gradients(&inputs, &|x| f(&SLOW, x));
        let (got, got_grads) = gradients(&inputs, &|x| f(&DEFAULT, x));
        let d = difference(&got, &want);
        prop_assert!(d <= tolerance, "values differ by {d:.2e} in {kind:?}");
        for (n, (got, want)) in got_grads.iter().zip(&want_grads).enumerate() {
            let d = difference_on(scales[n], got, want);
            // Sums over all rows of a batch, in another order.
            prop_assert!(
                d <= 4.0 * tolerance,
                "gradients of input {n} differ by {d:.2e} in {kind:?}"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn attention(
        lengths in lengths(),
        tasks in tasks(),
        width in prop_oneof![Just(1i64), Just(16), Just(22), Just(43), Just(128)],
        heads in 1i64..4,
        head_dim in prop_oneof![Just(3i64), Just(8), Just(32), Just(64)],
        dropout in dropouts(),
        first_only: bool,
        biased: bool,
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let layout = random.packing(&lengths, tasks);
        let queries = if first_only { Queries::FirstTokens } else { Queries::All };
        let mut inputs = vec![random.tensor(&[layout.num_tokens(), 3 * heads * head_dim], 1.5, Kind::Double)];
        if biased {
            inputs.push(random.tensor(&[tasks, 128, width], 1.0, Kind::Double));
        }
        agree(&inputs, &|form, x| {
            (form.attention)(Qkv::Joint(&x[0]), heads, x.get(1), dropout, &layout, queries).unwrap()
        })?;
    }

    #[test]
    fn padded_attention(keys in prop::collection::vec(1i64..20, 1..5), heads in 1i64..3, seed: u64) {
        let mut random = Random::new(seed);
        let layout = random.packing(&vec![20; keys.len()], 2).with_key_lengths(&keys).unwrap();
        let inputs = [
            random.tensor(&[layout.num_tokens(), 3 * heads * 16], 1.0, Kind::Double),
            random.tensor(&[2, 24, 7], 1.0, Kind::Double),
        ];
        agree(&inputs, &|form, x| {
            (form.attention)(Qkv::Joint(&x[0]), heads, Some(&x[1]), None, &layout, Queries::All).unwrap()
        })?;
    }

    #[test]
    fn layer_norm(
        lengths in lengths(),
        tasks in tasks(),
        columns in prop_oneof![Just(2i64), Just(17), Just(64), Just(341), Just(384)],
        dropout in dropouts(),
        (weight_table, bias_table, with_residual) in any::<(bool, bool, bool)>(),
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let layout = random.packing(&lengths, tasks);
        let rows = layout.num_tokens();
        let table = |yes: bool| if yes { vec![tasks, columns] } else { vec![columns] };
        let inputs = [
            random.tensor(&[rows, columns], 1.0, Kind::Double),
            random.tensor(&[rows, columns], 1.0, Kind::Double),
            random.tensor(&table(weight_table), 1.0, Kind::Double),
            random.tensor(&table(bias_table), 1.0, Kind::Double),
        ];
        agree(&inputs, &|form, x| {
            let residual = with_residual.then_some(&x[1]);
            // Two columns may be nearly equal: eps keeps their norm's condition sane.
            (form.layer_norm)(&x[0], residual, &x[2], &x[3], 1e-2, dropout, &layout).unwrap()
        })?;
    }

    #[test]
    fn film_and_gelu(
        lengths in lengths(),
        tasks in tasks(),
        columns in prop_oneof![Just(1i64), Just(17), Just(64), Just(100)],
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let layout = random.packing(&lengths, tasks);
        let inputs = [
            random.tensor(&[layout.num_tokens(), columns], 4.0, Kind::Double),
            random.tensor(&[tasks, columns], 1.0, Kind::Double),
            random.tensor(&[tasks, columns], 1.0, Kind::Double),
            random.tensor(&[columns], 1.0, Kind::Double),
        ];
        agree(&inputs, &|form, x| (form.film)(&x[0], &x[1], &x[2], &layout).unwrap())?;
        agree(&inputs, &|form, x| (form.gelu)(&x[0], &x[3]).unwrap())?;
    }

    #[test]
    fn embedding(
        lengths in lengths(),
        tasks in tasks(),
        columns in prop_oneof![Just(17i64), Just(64)],
        dropout in dropouts(),
        modulated: bool,
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let layout = random.packing(&lengths, tasks);
        let rows = layout.num_tokens();
        let (ids, types, positions) = (random.ids(rows, 30), random.ids(rows, 2), random.ids(rows, 128));
        let inputs = [
            random.tensor(&[30, columns], 1.0, Kind::Double),
            random.tensor(&[2, columns], 1.0, Kind::Double),
            random.tensor(&[128, columns], 1.0, Kind::Double),
            random.tensor(&[columns], 1.0, Kind::Double),
            random.tensor(&[columns], 1.0, Kind::Double),
            random.tensor(&[tasks, columns], 1.0, Kind::Double),
            random.tensor(&[tasks, columns], 1.0, Kind::Double),
        ];
        agree(&inputs, &|form, x| {
            let embedding = Embedding {
                input_ids: &ids,
                token_type_ids: &types,
                position_ids: &positions,
                word: &x[0],
                token_type: &x[1],
                position: &x[2],
                weight: &x[3],
                bias: &x[4],
                eps: 1e-12,
            };
            (form.embed)(&embedding, modulated.then_some((&x[5], &x[6])), dropout, &layout).unwrap()
        })?;
    }

    /// Few distinct values, so that there are ties; a tenth is NaN.
    #[test]
    fn top_scores(values in prop::collection::vec(-4i8..5, 0..60), share in 0f64..=1.0, double: bool) {
        let kind = if double { Kind::Double } else { Kind::Float };
        let value = |v: &i8| match *v {
            -4 => f64::NAN,
            4 => f64::INFINITY,
            -3 => f64::NEG_INFINITY,
            v => f64::from(v) / 2.0,
        };
        let scores = Tensor::from_slice(&values.iter().map(value).collect::<Vec<_>>()).to_kind(kind);
        let wanted = (values.len() as f64 * share) as i64;
        let fused = camtl_ops::top_scores(&scores, wanted).unwrap();
        prop_assert_eq!(fused, camtl_ops::slow::top_scores(&scores, wanted).unwrap());
    }

    #[test]
    fn heads(
        of in prop::collection::vec(0usize..3, 1..20),
        columns in prop_oneof![Just(5i64), Just(64)],
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let tasks: Vec<i64> = of.iter().map(|task| *task as i64).collect();
        let layout = support::packing(&vec![1; tasks.len()], &tasks);
        let outputs = [4i64, 1, 2];
        let classes: Vec<i64> = of.iter().map(|task| random.below(outputs[*task])).collect();
        // Scores that no prediction comes near.
        let scores: Vec<f32> = of.iter().map(|_| 3.0 + random.unit() as f32).collect();
        let targets = Targets::new(&classes, &scores, Device::Cpu).unwrap();
        let pooled = random.tensor(&[tasks.len() as i64, columns], 1.0, Kind::Double);
        let mut inputs = vec![&pooled * (0.3 / (columns as f64).sqrt())];
        for outputs in outputs {
            inputs.push(random.tensor(&[outputs, columns], 1.0, Kind::Double));
            inputs.push(random.tensor(&[outputs], 0.3, Kind::Double));
        }
        let run = |form: &Form, x: &[Tensor]| {
            let heads: Vec<Head<'_>> = (0..3)
                .map(|t| Head { weight: &x[1 + 2 * t], bias: &x[2 + 2 * t], regression: t == 1 })
                .collect();
            (form.heads)(&x[0], &heads, &layout, Some(&targets)).unwrap()
        };
        agree(&inputs, &|form, x| run(form, x).loss.unwrap())?;
        // Nearly certain classes: their losses are differences of large numbers, for which float32
        // has too few digits to compare by.
        let mut certain: Vec<Tensor> = inputs.iter().map(Tensor::shallow_clone).collect();
        certain[0] = pooled * 2.0;
        agree_in(&BOTH[..1], &certain, &|form, x| run(form, x).loss.unwrap())?;
        agree(&inputs, &|form, x| {
            let output = run(form, x);
            let mut parts: Vec<Tensor> = output.logits.iter().map(|(_, z)| z.reshape([-1])).collect();
            parts.push(output.loss.unwrap());
            Tensor::cat(&parts, 0)
        })?;
        let entropies = [&DEFAULT, &SLOW].map(|form| run(form, &inputs).entropy);
        prop_assert!(difference(&entropies[0], &entropies[1]) < 1e-12);
    }
}

/// A pass through all kernels of a row and of attention, and its gradients.
fn everything(form: &Form, kind: Kind) -> Vec<Tensor> {
    let mut random = Random::new(5);
    // Enough rows that the kernels do share them out.
    let layout = random.packing(&[40, 0, 17, 128, 1, 33, 128, 99], 3);
    let rows = layout.num_tokens();
    let dropout = Some(Dropout { p: 0.1, seed: 9 });
    let inputs = [
        random.tensor(&[rows, 3 * 64], 1.0, kind),
        random.tensor(&[3, 128, 22], 1.0, kind),
        random.tensor(&[3, 64], 1.0, kind),
        random.tensor(&[64], 1.0, kind),
    ];
    let (y, mut grads) = gradients(&inputs, &|x| {
        let band = Some(&x[1]);
        let y =
            (form.attention)(Qkv::Joint(&x[0]), 2, band, dropout, &layout, Queries::All).unwrap();
        let y = (form.layer_norm)(&y, None, &x[2], &x[3], 1e-12, dropout, &layout).unwrap();
        let y = (form.gelu)(&y, &x[3]).unwrap();
        (form.film)(&y, &x[2], &x[2], &layout).unwrap()
    });
    grads.push(y);
    grads
}

#[test]
fn every_instruction_set_agrees_and_threads_change_no_bit() {
    let best = cpu_isa();
    let want = everything(&SLOW, Kind::Float);
    for isa in [CpuIsa::Baseline, CpuIsa::Avx2, CpuIsa::Avx512] {
        let used = limit_cpu_isa(isa);
        if used != isa {
            eprintln!("this processor has no {isa:?}: not tested");
            continue;
        }
        let got = everything(&DEFAULT, Kind::Float);
        for (got, want) in got.iter().zip(&want) {
            assert!(difference(got, want) < 2e-5, "{isa:?}");
        }
        for threads in [1, 2, 3, 7] {
            set_num_threads(threads).unwrap();
            for (again, first) in everything(&DEFAULT, Kind::Float).iter().zip(&got) {
                assert_eq!(again, first, "{isa:?} with {threads} threads");
            }
        }
    }
    limit_cpu_isa(best);
}

#[test]
fn values_that_are_not_read_do_not_matter() {
    // NaN in one sequence stays there.
    let layout = support::packing(&[3, 20, 5], &[0, 0, 1]);
    let mut random = Random::new(6);
    let qkv = random.tensor(&[28, 96], 1.0, Kind::Float);
    let band = random.tensor(&[2, 32, 22], 1.0, Kind::Float);
    let _ = qkv.narrow(0, 3, 20).fill_(f64::NAN);
    for form in [DEFAULT, SLOW] {
        let y = (form.attention)(
            Qkv::Joint(&qkv),
            2,
            Some(&band),
            None,
            &layout,
            Queries::All,
        )
        .unwrap();
        let finite = Vec::<bool>::try_from(y.isfinite().all_dim(1, false)).unwrap();
        let want: Vec<bool> = (0..28).map(|row| !(3..23).contains(&row)).collect();
        assert_eq!(finite, want, "{}", form.name);
    }
}
