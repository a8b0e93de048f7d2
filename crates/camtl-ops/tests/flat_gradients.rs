//! Gradients that are views of one buffer: operations that add to them directly
//! give what autograd would have added.

mod support;

use camtl_ops::{Embedding, Packing, embed_norm_film, linear, set_grad_view};
use support::{Random, assert_close, vec64};
use tch::{Device, Kind, Tensor};

const ROWS: i64 = 37;
const INPUTS: i64 = 24;
const OUTPUTS: i64 = 40;

/// A leaf with the values of `start`, its gradient a part of `flat` from `offset` on.
fn leaf_in(flat: &Tensor, offset: i64, start: &Tensor) -> Tensor {
    let mut leaf = start.copy().set_requires_grad(true);
    let numel = i64::try_from(start.numel()).unwrap();
    let view = flat.narrow(0, offset, numel).view(&start.size()[..]);
    set_grad_view(&mut leaf, &view).unwrap();
    leaf
}

fn plain(start: &Tensor) -> Tensor {
    start.copy().set_requires_grad(true)
}

#[test]
fn linear_is_the_linear_map_and_its_gradients_add_up() {
    for kind in [Kind::Float, Kind::Double] {
        let mut random = Random::new(5);
        let x = random.tensor(&[ROWS, INPUTS], 1.0, kind);
        let w = random.tensor(&[OUTPUTS, INPUTS], 1.0, kind);
        let b = random.tensor(&[OUTPUTS], 1.0, kind);
        let dy = random.tensor(&[ROWS, OUTPUTS], 1.0, kind);
        for with_bias in [true, false] {
            // Two backward passes through libtorch's own form.
            let leaves = [plain(&x), plain(&w), plain(&b)];
            for _ in 0..2 {
                let y = leaves[0].linear(&leaves[1], with_bias.then_some(&leaves[2]));
                (y * &dy).sum(kind).backward();
            }
            let numel = OUTPUTS * INPUTS;
            let flat = Tensor::zeros([numel + 8], (kind, Device::Cpu));
            let ours = [plain(&x), leaf_in(&flat, 5, &w), plain(&b)];
            for _ in 0..2 {
                let y = linear(&ours[0], &ours[1], with_bias.then_some(&ours[2])).unwrap();
                assert_eq!(vec64(&y), vec64(&x.linear(&w, with_bias.then_some(&b))));
                (y * &dy).sum(kind).backward();
            }
            let tolerance = if kind == Kind::Float { 1e-5 } else { 1e-12 };
            let used = if with_bias { 3 } else { 2 };
            for (got, want) in ours.iter().zip(&leaves).take(used) {
                assert_close("gradient", &got.grad(), &want.grad(), tolerance);
            }
            // Nothing beside the weight's own part of the buffer.
            let all = vec64(&flat);
            assert!(
                all[..5]
                    .iter()
                    .chain(&all[5 + numel as usize..])
                    .all(|v| *v == 0.0)
            );
            assert_eq!(
                &all[5..5 + numel as usize],
                &vec64(&ours[1].grad().view(-1))[..]
            );
        }
    }
}

#[test]
fn a_weight_without_a_view_gets_its_gradient_from_autograd() {
    let mut random = Random::new(6);
    let x = random.tensor(&[ROWS, INPUTS], 1.0, Kind::Double);
    let w = plain(&random.tensor(&[OUTPUTS, INPUTS], 1.0, Kind::Double));
    let y = linear(&x, &w, None).unwrap();
    let returned = Tensor::run_backward(&[y.sum(Kind::Double)], &[&w], false, false);
    let want = Tensor::ones([OUTPUTS, ROWS], (Kind::Double, Device::Cpu)).matmul(&x);
    assert_close("returned", &returned[0], &want, 1e-12);
    assert!(!w.grad().defined());
}

#[test]
fn word_rows_are_added_where_the_gradient_lies() {
    let kind = Kind::Double;
    let mut random = Random::new(7);
    // Words, token types, positions.
    let tables = [50, 2, 12].map(|rows| random.tensor(&[rows, INPUTS], 1.0, kind));
    let (weight, bias) = (
        random.tensor(&[INPUTS], 1.0, kind),
        random.tensor(&[INPUTS], 1.0, kind),
    );
    let dy = random.tensor(&[9, INPUTS], 1.0, kind);
    // Word 4 comes three times.
    let ids = Tensor::from_slice(&[4i64, 7, 4, 0, 49, 1, 4, 7, 9]);
    let types = Tensor::from_slice(&[0i64, 0, 1, 1, 1, 0, 0, 0, 1]);
    let positions = Tensor::from_slice(&[0i64, 1, 2, 3, 4, 0, 1, 2, 3]);
    let packing = Packing::new(&[0, 5, 9], &[0, 1], Device::Cpu).unwrap();
    let run = |leaves: &[Tensor; 3]| {
        for _ in 0..2 {
            let embedding = Embedding {
                input_ids: &ids,
                token_type_ids: &types,
                position_ids: &positions,
                word: &leaves[0],
                token_type: &leaves[1],
                position: &leaves[2],
                weight: &weight,
                bias: &bias,
                eps: 1e-12,
            };
            let y = embed_norm_film(&embedding, None, None, &packing).unwrap();
            (y * &dy).sum(kind).backward();
        }
    };
    let returned = tables.each_ref().map(plain);
    run(&returned);
    let flat = Tensor::zeros([64 * INPUTS], (kind, Device::Cpu));
    let offsets = [0, 50 * INPUTS, 52 * INPUTS];
    let direct = [0, 1, 2].map(|n| leaf_in(&flat, offsets[n], &tables[n]));
    run(&direct);
    for (got, want) in direct.iter().zip(&returned) {
        assert_close("table", &got.grad(), &want.grad(), 1e-12);
        assert!(want.grad().abs().max().double_value(&[]) > 0.0);
    }
}
