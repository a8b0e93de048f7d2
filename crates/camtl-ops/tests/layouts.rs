//! One batch laid out three ways gives the same rows: packed, sequence by
//! sequence, and padded with key lengths. With dropout too, where the layouts
//! number the sequences alike.

mod support;

use camtl_ops::{Dropout, Packing, Qkv, Queries};
use support::{FORMS, Form, Random, assert_close, packing};
use tch::{Device, Kind, Tensor};

const LENGTHS: [i64; 8] = [16, 1, 0, 17, 43, 15, 2, 22];
const TASKS: [i64; 8] = [0, 0, 1, 1, 1, 2, 2, 2];
const D: i64 = 24;

struct Batch {
    qkv: Tensor,
    band: Tensor,
    weight: Tensor,
    bias: Tensor,
}

fn batch(rows: i64) -> Batch {
    let mut random = Random::new(21);
    Batch {
        qkv: random.tensor(&[rows, 3 * D], 1.0, Kind::Double),
        band: random.tensor(&[3, 64, 22], 1.0, Kind::Double),
        weight: random.tensor(&[3, D], 1.0, Kind::Double),
        bias: random.tensor(&[3, D], 1.0, Kind::Double),
    }
}

/// Attention, then a conditional norm of it with the queries as residual.
fn block(
    form: &Form,
    qkv: &Tensor,
    b: &Batch,
    dropout: Option<Dropout>,
    layout: &Packing,
) -> Tensor {
    let y = (form.attention)(
        Qkv::Joint(qkv),
        3,
        Some(&b.band),
        dropout,
        layout,
        Queries::All,
    )
    .unwrap();
    let residual = qkv.narrow(1, 0, D);
    (form.layer_norm)(
        &y,
        Some(&residual),
        &b.weight,
        &b.bias,
        1e-12,
        dropout,
        layout,
    )
    .unwrap()
}

#[test]
fn packed_equals_one_by_one() {
    let layout = packing(&LENGTHS, &TASKS);
    let b = batch(layout.num_tokens());
    for form in FORMS {
        let packed = block(&form, &b.qkv, &b, None, &layout);
        for (s, (length, task)) in LENGTHS.into_iter().zip(TASKS).enumerate() {
            let start = layout.cu_seqlens()[s];
            let alone = packing(&[length], &[task]);
            let y = block(&form, &b.qkv.narrow(0, start, length), &b, None, &alone);
            if length > 0 {
                assert_close(form.name, &packed.narrow(0, start, length), &y, 1e-13);
            }
        }
    }
}

#[test]
fn packed_equals_padded() {
    let layout = packing(&LENGTHS, &TASKS);
    let b = batch(layout.num_tokens());
    let size = 50;
    // Padding holds numbers that would show if they were attended to.
    let places: Vec<i64> = LENGTHS
        .into_iter()
        .enumerate()
        .flat_map(|(s, length)| (0..length).map(move |i| s as i64 * size + i))
        .collect();
    let places = Tensor::from_slice(&places);
    let filler = Tensor::full([8 * size, 3 * D], 1e3, (Kind::Double, Device::Cpu));
    let padded_qkv = filler.index_copy(0, &places, &b.qkv);
    let keys = LENGTHS.map(|length| length.max(1));
    let padded = packing(&[size; 8], &TASKS).with_key_lengths(&keys).unwrap();
    for form in FORMS {
        for dropout in [None, Some(Dropout { p: 0.2, seed: 3 })] {
            let want = block(&form, &b.qkv, &b, dropout, &layout);
            let got = block(&form, &padded_qkv, &b, dropout, &padded).index_select(0, &places);
            assert_close(form.name, &got, &want, 1e-13);
        }
    }
}

#[test]
fn first_rows_alone_equal_first_rows_of_the_batch() {
    // The tail of which only pooled outputs are read, with the same dropout masks.
    let lengths = LENGTHS.map(|length| length.max(1));
    let layout = packing(&lengths, &TASKS);
    let b = batch(layout.num_tokens());
    let dropout = Some(Dropout { p: 0.2, seed: 3 });
    for form in FORMS {
        let full = block(&form, &b.qkv, &b, dropout, &layout).index_select(0, layout.first_rows());
        let y = (form.attention)(
            Qkv::Joint(&b.qkv),
            3,
            Some(&b.band),
            dropout,
            &layout,
            Queries::FirstTokens,
        )
        .unwrap();
        let residual = b.qkv.narrow(1, 0, D).index_select(0, layout.first_rows());
        let tail = layout.first_only().unwrap();
        let first = (form.layer_norm)(
            &y,
            Some(&residual),
            &b.weight,
            &b.bias,
            1e-12,
            dropout,
            &tail,
        )
        .unwrap();
        assert_close(form.name, &first, &full, 1e-13);
    }
}

#[test]
fn empty_batches_have_empty_results() {
    let layout = packing(&[0, 0], &[0, 1]);
    let b = batch(0);
    for form in FORMS {
        assert_eq!(block(&form, &b.qkv, &b, None, &layout).size(), [0, D]);
        let y = (form.attention)(
            Qkv::Joint(&b.qkv),
            3,
            Some(&b.band),
            None,
            &layout,
            Queries::FirstTokens,
        )
        .unwrap();
        assert_eq!(y.size(), [2, D]);
        assert_eq!(f64::try_from(y.abs().sum(Kind::Double)).unwrap(), 0.0);
    }
    let none = packing(&[], &[]);
    assert_eq!(block(&FORMS[0], &b.qkv, &b, None, &none).size(), [0, D]);
}

#[test]
fn a_layout_knows_its_runs() {
    let layout = packing(&[2, 0, 3], &[0, 0, 2]);
    assert_eq!(layout.num_tasks(), 3);
    assert_eq!(layout.cu_seqlens(), [0, 2, 2, 5]);
    assert_eq!(
        Vec::<i64>::try_from(layout.sequence_tasks()).unwrap(),
        [0, 0, 2]
    );
    let first = layout.first_only().unwrap();
    assert_eq!((first.num_tokens(), first.max_len()), (3, 1));
}
