//! Gradients of every operation with respect to every floating-point input, by
//! central differences in float64, dropout included.

mod support;

use camtl_ops::{Dropout, Embedding, Head, Qkv, Queries, Targets};
use support::{FORMS, Random, gradcheck, packing};
use tch::{Device, Kind, Tensor};

const DROPOUTS: [Option<Dropout>; 2] = [None, Some(Dropout { p: 0.25, seed: 77 })];

#[test]
fn film() {
    let mut random = Random::new(1);
    for tasks in [1, 3, 26] {
        let layout = random.packing(&[3, 0, 1, 5], tasks);
        let inputs = [
            random.tensor(&[9, 5], 1.0, Kind::Double),
            random.tensor(&[tasks, 5], 1.0, Kind::Double),
            random.tensor(&[tasks, 5], 1.0, Kind::Double),
        ];
        for form in FORMS {
            gradcheck(form.name, &inputs, 30, &|x| {
                (form.film)(&x[0], &x[1], &x[2], &layout).unwrap()
            });
        }
    }
}

#[test]
fn layer_norm() {
    let mut random = Random::new(2);
    for (tasks, tables) in [(1, false), (3, true), (26, true)] {
        let layout = random.packing(&[3, 0, 1, 5], tasks);
        let table = if tables { vec![tasks, 7] } else { vec![7] };
        let inputs = [
            random.tensor(&[9, 7], 1.0, Kind::Double),
            random.tensor(&[9, 7], 1.0, Kind::Double),
            random.tensor(&table, 1.0, Kind::Double),
            random.tensor(&[7], 1.0, Kind::Double),
            random.tensor(&table, 1.0, Kind::Double),
        ];
        for dropout in DROPOUTS {
            for form in FORMS {
                let what = format!("{} {dropout:?}", form.name);
                gradcheck(&what, &inputs, 25, &|x| {
                    (form.layer_norm)(&x[0], Some(&x[1]), &x[2], &x[3], 1e-5, dropout, &layout)
                        .unwrap()
                });
                gradcheck(&what, &inputs, 25, &|x| {
                    (form.layer_norm)(&x[0], None, &x[3], &x[4], 1e-5, dropout, &layout).unwrap()
                });
            }
        }
    }
}

#[test]
fn attention() {
    let mut random = Random::new(3);
    for (tasks, width, heads) in [(1, 4, 1), (3, 7, 2), (26, 22, 4)] {
        let layout = random.packing(&[3, 0, 1, 17, 6], tasks);
        let (n, d) = (layout.num_tokens(), 8);
        let inputs = [
            random.tensor(&[n, 3 * d], 1.0, Kind::Double),
            random.tensor(&[tasks, 24, width], 1.0, Kind::Double),
        ];
        let separate = [
            random.tensor(&[5, d], 1.0, Kind::Double),
            random.tensor(&[n, d], 1.0, Kind::Double),
            random.tensor(&[n, d], 1.0, Kind::Double),
            random.tensor(&[tasks, 24, width], 1.0, Kind::Double),
        ];
        for dropout in DROPOUTS {
            for form in FORMS {
                for queries in [Queries::All, Queries::FirstTokens] {
                    let what = format!("{} {queries:?} {dropout:?}", form.name);
                    gradcheck(&what, &inputs, 40, &|x| {
                        (form.attention)(
                            Qkv::Joint(&x[0]),
                            heads,
                            Some(&x[1]),
                            dropout,
                            &layout,
                            queries,
                        )
                        .unwrap()
                    });
                    gradcheck(&what, &inputs[..1], 20, &|x| {
                        (form.attention)(Qkv::Joint(&x[0]), heads, None, dropout, &layout, queries)
                            .unwrap()
                    });
                }
                gradcheck(form.name, &separate, 30, &|x| {
                    let qkv = Qkv::Separate {
                        q: &x[0],
                        k: &x[1],
                        v: &x[2],
                    };
                    (form.attention)(
                        qkv,
                        heads,
                        Some(&x[3]),
                        dropout,
                        &layout,
                        Queries::FirstTokens,
                    )
                    .unwrap()
                });
            }
        }
    }
}

#[test]
fn attention_through_the_band_to_its_generators() {
    let mut random = Random::new(4);
    let layout = random.packing(&[5, 11, 2], 2);
    for per_element in [false, true] {
        let table: &[i64] = if per_element { &[2, 5, 5] } else { &[2, 5] };
        let inputs = [
            random.tensor(&[18, 12], 1.0, Kind::Double),
            random.tensor(&[13, 5], 1.0, Kind::Double),
            random.tensor(table, 1.0, Kind::Double),
            random.tensor(table, 1.0, Kind::Double),
        ];
        for form in FORMS {
            gradcheck(form.name, &inputs, 40, &|x| {
                let band = (form.band)(&x[1], &x[2], &x[3]).unwrap();
                (form.attention)(
                    Qkv::Joint(&x[0]),
                    2,
                    Some(&band),
                    None,
                    &layout,
                    Queries::All,
                )
                .unwrap()
            });
        }
    }
}

#[test]
fn padded_rows_pass_no_gradient_to_others() {
    let layout = packing(&[6, 6], &[0, 1]).with_key_lengths(&[4, 6]).unwrap();
    let mut random = Random::new(5);
    let inputs = [
        random.tensor(&[12, 12], 1.0, Kind::Double),
        random.tensor(&[2, 8, 3], 1.0, Kind::Double),
    ];
    for form in FORMS {
        gradcheck(form.name, &inputs, 80, &|x| {
            (form.attention)(
                Qkv::Joint(&x[0]),
                2,
                Some(&x[1]),
                None,
                &layout,
                Queries::All,
            )
            .unwrap()
        });
    }
}

#[test]
fn gelu() {
    let mut random = Random::new(6);
    let inputs = [
        random.tensor(&[9, 5], 3.0, Kind::Double),
        random.tensor(&[5], 1.0, Kind::Double),
    ];
    for form in FORMS {
        gradcheck(form.name, &inputs, 50, &|x| {
            (form.gelu)(&x[0], &x[1]).unwrap()
        });
    }
}

#[test]
fn embedding() {
    let mut random = Random::new(7);
    let layout = random.packing(&[4, 1, 6], 3);
    let n = layout.num_tokens();
    // Ids repeat, so that rows of the tables collect several gradients.
    let (ids, types, positions) = (random.ids(n, 6), random.ids(n, 2), random.ids(n, 7));
    let inputs = [
        random.tensor(&[6, 5], 1.0, Kind::Double),
        random.tensor(&[2, 5], 1.0, Kind::Double),
        random.tensor(&[7, 5], 1.0, Kind::Double),
        random.tensor(&[5], 1.0, Kind::Double),
        random.tensor(&[5], 1.0, Kind::Double),
        random.tensor(&[3, 5], 1.0, Kind::Double),
        random.tensor(&[3, 5], 1.0, Kind::Double),
    ];
    for dropout in DROPOUTS {
        for form in FORMS {
            for modulated in [false, true] {
                gradcheck(form.name, &inputs, 30, &|x| {
                    let embedding = Embedding {
                        input_ids: &ids,
                        token_type_ids: &types,
                        position_ids: &positions,
                        word: &x[0],
                        token_type: &x[1],
                        position: &x[2],
                        weight: &x[3],
                        bias: &x[4],
                        eps: 1e-5,
                    };
                    let film = modulated.then_some((&x[5], &x[6]));
                    (form.embed)(&embedding, film, dropout, &layout).unwrap()
                });
            }
        }
    }
}

#[test]
fn heads() {
    let mut random = Random::new(8);
    let layout = packing(&[1, 1, 1, 1, 1, 1], &[0, 0, 1, 2, 2, 2]);
    let targets = Targets::new(
        &[2, 0, 0, 1, -100, 0],
        &[0., 0., 1.5, 0., 0., 0.],
        Device::Cpu,
    )
    .unwrap();
    let inputs = [
        random.tensor(&[6, 4], 1.0, Kind::Double),
        random.tensor(&[3, 4], 1.0, Kind::Double),
        random.tensor(&[3], 1.0, Kind::Double),
        random.tensor(&[1, 4], 1.0, Kind::Double),
        random.tensor(&[1], 1.0, Kind::Double),
        random.tensor(&[2, 4], 1.0, Kind::Double),
        random.tensor(&[2], 1.0, Kind::Double),
    ];
    for form in FORMS {
        let run = |x: &[Tensor]| {
            let heads = [
                Head {
                    weight: &x[1],
                    bias: &x[2],
                    regression: false,
                },
                Head {
                    weight: &x[3],
                    bias: &x[4],
                    regression: true,
                },
                Head {
                    weight: &x[5],
                    bias: &x[6],
                    regression: false,
                },
            ];
            (form.heads)(&x[0], &heads, &layout, Some(&targets)).unwrap()
        };
        gradcheck(form.name, &inputs, 24, &|x| run(x).loss.unwrap());
        gradcheck(form.name, &inputs, 24, &|x| {
            let parts: Vec<Tensor> = run(x)
                .logits
                .into_iter()
                .map(|(_, logits)| logits.reshape(-1))
                .collect();
            Tensor::cat(&parts, 0)
        });
        assert!(!run(&inputs).entropy.requires_grad());
    }
}
