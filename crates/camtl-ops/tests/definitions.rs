//! Every operation against plain loops in float64 that know nothing of packing
//! tricks: the equations of the documentation, written out.

mod support;

use camtl_ops::{Dropout, Packing, Qkv, Queries, dropout_mask, token_dropout_mask};
use support::{FORMS, Random, assert_close, packing, vec64};
use tch::{Device, Kind, Tensor};

const LENGTHS: [i64; 9] = [3, 0, 1, 17, 16, 40, 15, 1, 29];

/// Philox4x32-10 from its definition, on 64-bit integers.
fn philox(counter: [u32; 4], seed: u64) -> [u32; 4] {
    let mut c = counter.map(u64::from);
    let mut k = [seed & 0xffff_ffff, seed >> 32];
    for _ in 0..10 {
        let (a, b) = (0xD251_1F53 * c[0], 0xCD9E_8D57 * c[2]);
        c = [
            (b >> 32) ^ c[1] ^ k[0],
            b & 0xffff_ffff,
            (a >> 32) ^ c[3] ^ k[1],
            a & 0xffff_ffff,
        ];
        k = [
            (k[0] + 0x9E37_79B9) & 0xffff_ffff,
            (k[1] + 0xBB67_AE85) & 0xffff_ffff,
        ];
    }
    c.map(|word| word as u32)
}

fn kept(counter: [u32; 4], lane: usize, dropout: &Dropout) -> f64 {
    let threshold = (dropout.p * 4294967296.0).round() as u32;
    if philox(counter, dropout.seed)[lane] >= threshold {
        1.0 / (1.0 - dropout.p)
    } else {
        0.0
    }
}

#[test]
fn philox_gives_the_authors_known_answers() {
    // Random123's kat_vectors for philox4x32, 10 rounds.
    assert_eq!(
        philox([0; 4], 0),
        [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
    );
    assert_eq!(
        philox([0xffff_ffff; 4], u64::MAX),
        [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
    );
    let key = 0x299f_31d0_a409_3822;
    assert_eq!(
        philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], key),
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
    );
}

#[test]
fn masks_are_the_documented_function_of_place_and_seed() {
    for (p, seed) in [(0.1, 1), (0.5, u64::MAX - 3), (0.9, 0x1234_5678_9abc_def0)] {
        let dropout = Dropout { p, seed };
        let flat = vec64(&dropout_mask(&[7, 13], &dropout, Kind::Double, Device::Cpu).unwrap());
        for (e, got) in flat.iter().enumerate() {
            assert_eq!(*got, kept([e as u32 / 4, 0, 0, 0], e % 4, &dropout));
        }
        let layout = packing(&[2, 0, 3], &[0, 0, 1]);
        let rows = vec64(&token_dropout_mask(6, &dropout, &layout, Kind::Double).unwrap());
        let places = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)];
        for (row, (b, i)) in places.into_iter().enumerate() {
            for j in 0..6 {
                assert_eq!(
                    rows[row * 6 + j],
                    kept([j as u32 / 4, i, 0, b], j % 4, &dropout)
                );
            }
        }
    }
}

#[test]
fn dropped_fraction_is_p() {
    for p in [0.05, 0.1, 0.5] {
        let mask = dropout_mask(
            &[400_000],
            &Dropout { p, seed: 11 },
            Kind::Double,
            Device::Cpu,
        )
        .unwrap();
        let dropped = mask
            .eq(0.0)
            .to_kind(Kind::Double)
            .mean(None::<Kind>)
            .double_value(&[]);
        let deviation = (p * (1.0 - p) / 400_000.0f64).sqrt();
        assert!(
            (dropped - p).abs() < 5.0 * deviation,
            "{dropped} dropped for p = {p}"
        );
    }
}

/// Attention of one query row, keys and values of its sequence, one head.
#[allow(clippy::too_many_arguments)]
fn attend(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    columns: usize,
    head: (usize, usize),
    keys: std::ops::Range<usize>,
    bias: &dyn Fn(usize) -> f64,
    mask: &dyn Fn(usize) -> f64,
) -> Vec<f64> {
    let (h, dim) = head;
    let scores: Vec<f64> = keys
        .clone()
        .enumerate()
        .map(|(j, row)| {
            let dot: f64 = (0..dim)
                .map(|c| q[h * dim + c] * k[row * columns + h * dim + c])
                .sum();
            dot / (dim as f64).sqrt() + bias(j)
        })
        .collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
    (0..dim)
        .map(|c| {
            keys.clone()
                .enumerate()
                .map(|(j, row)| {
                    (scores[j] - top).exp() / total * mask(j) * v[row * columns + h * dim + c]
                })
                .sum()
        })
        .collect()
}

struct Bias {
    band: Vec<f64>,
    length: usize,
    width: usize,
}

impl Bias {
    fn at(&self, task: i64, i: usize, j: usize) -> f64 {
        let start = i / self.width * self.width;
        if j < start || j - start >= self.width {
            return 0.0;
        }
        self.band[(task as usize * self.length + i) * self.width + j - start]
    }
}

#[allow(clippy::too_many_arguments)]
fn attention_by_loops(
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    heads: usize,
    bias: Option<&Bias>,
    dropout: Option<&Dropout>,
    layout: &Packing,
    first_only: bool,
) -> Tensor {
    let columns = q.size()[1] as usize;
    let dim = columns / heads;
    let (q, k, v) = (vec64(q), vec64(k), vec64(v));
    let mut out = Vec::new();
    for b in 0..layout.tasks().len() {
        let start = layout.cu_seqlens()[b] as usize;
        let length = layout.length(b) as usize;
        let keys = start..start + layout.key_lengths()[b] as usize;
        let task = layout.tasks()[b];
        if first_only && length == 0 {
            out.extend(vec![0.0; columns]);
        }
        for i in 0..if first_only { length.min(1) } else { length } {
            for h in 0..heads {
                out.extend(attend(
                    &q[(start + i) * columns..(start + i + 1) * columns],
                    &k,
                    &v,
                    columns,
                    (h, dim),
                    keys.clone(),
                    &|j| bias.map_or(0.0, |bias| bias.at(task, i, j)),
                    &|j| {
                        dropout.map_or(1.0, |d| {
                            kept([j as u32 / 4, i as u32, h as u32, b as u32], j % 4, d)
                        })
                    },
                ));
            }
        }
    }
    Tensor::from_slice(&out).reshape([-1, columns as i64])
}

#[test]
fn attention_is_its_equation() {
    // Widths that divide nothing (22, 43), one block, single columns.
    for (case, (width, tasks, heads)) in
        [(22, 3, 2), (43, 1, 3), (16, 26, 1), (64, 2, 4), (1, 2, 6)]
            .into_iter()
            .enumerate()
    {
        let mut random = Random::new(case as u64);
        let layout = random.packing(&LENGTHS, tasks);
        let (n, d) = (layout.num_tokens(), 24);
        let length = 48;
        let qkv = random.tensor(&[n, 3 * d], 2.0, Kind::Double);
        let band = random.tensor(&[tasks, length, width], 1.0, Kind::Double);
        let bias = Bias {
            band: vec64(&band),
            length: length as usize,
            width: width as usize,
        };
        let parts = (
            qkv.narrow(1, 0, d),
            qkv.narrow(1, d, d),
            qkv.narrow(1, 2 * d, d),
        );
        let parts = (&parts.0, &parts.1, &parts.2);
        for dropout in [
            None,
            Some(Dropout {
                p: 0.3,
                seed: 5 + case as u64,
            }),
        ] {
            for (queries, first_only) in [(Queries::All, false), (Queries::FirstTokens, true)] {
                let want = attention_by_loops(
                    parts,
                    heads as usize,
                    Some(&bias),
                    dropout.as_ref(),
                    &layout,
                    first_only,
                );
                let plain = attention_by_loops(
                    parts,
                    heads as usize,
                    None,
                    dropout.as_ref(),
                    &layout,
                    first_only,
                );
                for form in FORMS {
                    let got = (form.attention)(
                        Qkv::Joint(&qkv),
                        heads,
                        Some(&band),
                        dropout,
                        &layout,
                        queries,
                    )
                    .unwrap();
                    assert_close(
                        &format!("{} w={width} {queries:?}", form.name),
                        &got,
                        &want,
                        1e-12,
                    );
                    let (q, k, v) = parts;
                    let got = (form.attention)(
                        Qkv::Separate { q, k, v },
                        heads,
                        None,
                        dropout,
                        &layout,
                        queries,
                    )
                    .unwrap();
                    assert_close(
                        &format!("{} no bias {queries:?}", form.name),
                        &got,
                        &plain,
                        1e-12,
                    );
                    if first_only {
                        let first = q.index_select(0, layout.first_rows());
                        let qkv = Qkv::Separate { q: &first, k, v };
                        let got =
                            (form.attention)(qkv, heads, Some(&band), dropout, &layout, queries)
                                .unwrap();
                        assert_close(
                            &format!("{} given first queries", form.name),
                            &got,
                            &want,
                            1e-12,
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn attention_at_full_length() {
    let mut random = Random::new(3);
    let layout = random.packing(&[128, 127, 2], 2);
    let (n, d) = (layout.num_tokens(), 32);
    let qkv = random.tensor(&[n, 3 * d], 1.0, Kind::Double);
    let band = random.tensor(&[2, 128, 22], 1.0, Kind::Double);
    let bias = Bias {
        band: vec64(&band),
        length: 128,
        width: 22,
    };
    let (q, k, v) = (
        qkv.narrow(1, 0, d),
        qkv.narrow(1, d, d),
        qkv.narrow(1, 2 * d, d),
    );
    let want = attention_by_loops((&q, &k, &v), 1, Some(&bias), None, &layout, false);
    for form in FORMS {
        let got = (form.attention)(
            Qkv::Joint(&qkv),
            1,
            Some(&band),
            None,
            &layout,
            Queries::All,
        )
        .unwrap();
        assert_close(form.name, &got, &want, 1e-12);
    }
}

#[test]
fn attention_survives_large_scores() {
    // exp of the raw scores would overflow; a row may put all weight on one key.
    let layout = packing(&[2, 3], &[0, 0]);
    for kind in [Kind::Float, Kind::Double] {
        let qkv = Random::new(1).tensor(&[5, 12], 300.0, kind);
        for form in FORMS {
            let y =
                (form.attention)(Qkv::Joint(&qkv), 1, None, None, &layout, Queries::All).unwrap();
            assert!(
                vec64(&y).iter().all(|x| x.is_finite()),
                "{}: {y:?}",
                form.name
            );
        }
    }
}

#[test]
fn layer_norm_and_film_are_their_equations() {
    let mut random = Random::new(4);
    for columns in [1, 5, 48, 100] {
        let layout = random.packing(&LENGTHS, 26);
        let n = layout.num_tokens();
        let x = random.tensor(&[n, columns], 2.0, Kind::Double);
        let residual = random.tensor(&[n, columns], 2.0, Kind::Double);
        let weight = random.tensor(&[26, columns], 1.0, Kind::Double);
        let bias = random.tensor(&[26, columns], 1.0, Kind::Double);
        let tasks = Vec::<i64>::try_from(layout.token_tasks()).unwrap();
        let dropout = Dropout { p: 0.2, seed: 8 };
        let mask = vec64(&token_dropout_mask(columns, &dropout, &layout, Kind::Double).unwrap());
        let (xs, rs, ws, bs) = (vec64(&x), vec64(&residual), vec64(&weight), vec64(&bias));
        let d = columns as usize;
        let (mut norm, mut modulated) = (Vec::new(), Vec::new());
        for (row, task) in tasks.iter().enumerate() {
            let t = *task as usize;
            let z: Vec<f64> = (0..d)
                .map(|c| xs[row * d + c] * mask[row * d + c] + rs[row * d + c])
                .collect();
            let mean = z.iter().sum::<f64>() / d as f64;
            let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / d as f64;
            for c in 0..d {
                norm.push((z[c] - mean) / (variance + 1e-5).sqrt() * ws[t * d + c] + bs[t * d + c]);
                modulated.push((1.0 + ws[t * d + c]) * xs[row * d + c] + bs[t * d + c]);
            }
        }
        let norm = Tensor::from_slice(&norm).reshape([n, columns]);
        let modulated = Tensor::from_slice(&modulated).reshape([n, columns]);
        for form in FORMS {
            let y = (form.layer_norm)(
                &x,
                Some(&residual),
                &weight,
                &bias,
                1e-5,
                Some(dropout),
                &layout,
            )
            .unwrap();
            assert_close(form.name, &y, &norm, 1e-11);
            let y = (form.film)(&x, &weight, &bias, &layout).unwrap();
            assert_close(form.name, &y, &modulated, 1e-14);
        }
    }
}

#[test]
fn layer_norm_of_a_large_offset_keeps_its_digits() {
    // mean 1e4, spread 1: a one-pass variance in float32 would lose everything.
    let layout = packing(&[4], &[0]);
    let x = Random::new(6).tensor(&[4, 96], 1.0, Kind::Double);
    let (weight, bias) = (
        Tensor::ones([96], (Kind::Float, Device::Cpu)),
        Tensor::zeros([96], (Kind::Float, Device::Cpu)),
    );
    let offset = (&x + 1e4).to_kind(Kind::Float);
    let want = offset
        .to_kind(Kind::Double)
        .layer_norm([96], None::<&Tensor>, None, 1e-12, false);
    for form in FORMS {
        let y = (form.layer_norm)(&offset, None, &weight, &bias, 1e-12, None, &layout).unwrap();
        assert_close(form.name, &y, &want, 3e-3);
    }
}

#[test]
fn band_is_its_equation() {
    let mut random = Random::new(5);
    for (length, width, tasks) in [(128, 22, 2), (128, 43, 1), (12, 12, 26), (7, 3, 3)] {
        let a = random.tensor(&[length, width], 1.0, Kind::Double);
        let values = vec64(&a);
        let w = width as usize;
        for per_element in [false, true] {
            let shape: &[i64] = if per_element {
                &[tasks, width, width]
            } else {
                &[tasks, width]
            };
            let (gamma, beta) = (
                random.tensor(shape, 1.0, Kind::Double),
                random.tensor(shape, 1.0, Kind::Double),
            );
            let (g, b) = (vec64(&gamma), vec64(&beta));
            let mut want = Vec::new();
            for t in 0..tasks as usize {
                for i in 0..length as usize {
                    for c in 0..w {
                        let at = if per_element {
                            (t * w + i % w) * w + c
                        } else {
                            t * w + c
                        };
                        want.push((1.0 + g[at]) * values[i * w + c] + b[at]);
                    }
                }
            }
            let want = Tensor::from_slice(&want).reshape([tasks, length, width]);
            for form in FORMS {
                assert_close(
                    form.name,
                    &(form.band)(&a, &gamma, &beta).unwrap(),
                    &want,
                    1e-14,
                );
                // Two layers at once are each layer's own.
                let twice = |x: &Tensor| Tensor::stack(&[x, &(x * 2.0)], 0);
                let both = (form.band)(&twice(&a), &twice(&gamma), &twice(&beta)).unwrap();
                let second = (form.band)(&(&a * 2.0), &(&gamma * 2.0), &(&beta * 2.0)).unwrap();
                assert_eq!(both, Tensor::stack(&[want.shallow_clone(), second], 0));
            }
        }
    }
}

#[test]
fn gelu_has_its_tabulated_values() {
    // x * Phi(x), Phi from tables of the normal distribution to 15 digits.
    let table = [
        (-6.0, -6.0 * 9.865_876_450_376_98e-10),
        (-2.0, -2.0 * 0.022_750_131_948_179_2),
        (-0.5, -0.5 * 0.308_537_538_725_987),
        (0.0, 0.0),
        (0.25, 0.25 * 0.598_706_325_682_924),
        (1.5, 1.5 * 0.933_192_798_731_142),
        (4.0, 4.0 * 0.999_968_328_758_167),
        (40.0, 40.0),
        (-40.0, 0.0),
    ];
    for kind in [Kind::Float, Kind::Double] {
        let x: Vec<f64> = table.iter().map(|(x, _)| x - 1.0).collect();
        let x = Tensor::from_slice(&x).reshape([1, -1]).to_kind(kind);
        let bias = Tensor::ones([table.len() as i64], (kind, Device::Cpu));
        for form in FORMS {
            let got = vec64(&(form.gelu)(&x, &bias).unwrap());
            for (got, (x, want)) in got.iter().zip(table) {
                let tolerance = if kind == Kind::Float { 2e-6 } else { 1e-14 };
                assert!(
                    (got - want).abs() <= tolerance * want.abs().max(0.02),
                    "{}: gelu({x}) = {got}",
                    form.name
                );
            }
        }
    }
}
