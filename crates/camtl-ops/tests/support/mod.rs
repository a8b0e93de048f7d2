//! What the tests of the operations share: both forms of every operation under
//! one name, random batches, finite differences.
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

use camtl_ops::{
    Dropout, Embedding, Head, HeadsOutput, Packing, Qkv, Queries, Result, Targets, band_bias,
    cond_attention, cond_layer_norm, embed_norm_film, film, gelu_bias, heads_entropy_loss, slow,
};
use tch::{Device, Kind, Tensor};

pub type Attention =
    for<'a> fn(Qkv<'a>, i64, Option<&Tensor>, Option<Dropout>, &Packing, Queries) -> Result<Tensor>;
pub type LayerNorm = fn(
    &Tensor,
    Option<&Tensor>,
    &Tensor,
    &Tensor,
    f64,
    Option<Dropout>,
    &Packing,
) -> Result<Tensor>;
pub type Embed = for<'a> fn(
    &Embedding<'a>,
    Option<(&Tensor, &Tensor)>,
    Option<Dropout>,
    &Packing,
) -> Result<Tensor>;
pub type Heads =
    for<'a> fn(&Tensor, &[Head<'a>], &Packing, Option<&Targets>) -> Result<HeadsOutput>;

/// One implementation of all operations.
pub struct Form {
    pub name: &'static str,
    pub film: fn(&Tensor, &Tensor, &Tensor, &Packing) -> Result<Tensor>,
    pub layer_norm: LayerNorm,
    pub band: fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>,
    pub attention: Attention,
    pub gelu: fn(&Tensor, &Tensor) -> Result<Tensor>,
    pub embed: Embed,
    pub heads: Heads,
}

/// The default path, fused where it is built.
pub const DEFAULT: Form = Form {
    name: "default",
    film,
    layer_norm: cond_layer_norm,
    band: band_bias,
    attention: cond_attention,
    gelu: gelu_bias,
    embed: embed_norm_film,
    heads: heads_entropy_loss,
};

/// The definitions.
pub const SLOW: Form = Form {
    name: "slow",
    film: slow::film,
    layer_norm: slow::cond_layer_norm,
    band: slow::band_bias,
    attention: slow::cond_attention,
    gelu: slow::gelu_bias,
    embed: slow::embed_norm_film,
    heads: slow::heads_entropy_loss,
};

pub const FORMS: [Form; 2] = [DEFAULT, SLOW];

/// A small generator of test data with a seed of its own, so that tests running
/// side by side do not share libtorch's.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: i64) -> i64 {
        (self.next() % n as u64) as i64
    }

    /// Uniform in [-1, 1].
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn values(&mut self, count: i64, scale: f64) -> Vec<f64> {
        (0..count).map(|_| self.unit() * scale).collect()
    }

    /// A tensor of `kind` with values in [-scale, scale].
    pub fn tensor(&mut self, shape: &[i64], scale: f64, kind: Kind) -> Tensor {
        let count = shape.iter().product();
        Tensor::from_slice(&self.values(count, scale))
            .reshape(shape)
            .to_kind(kind)
    }

    pub fn ids(&mut self, count: i64, below: i64) -> Tensor {
        let ids: Vec<i64> = (0..count).map(|_| self.below(below)).collect();
        Tensor::from_slice(&ids)
    }

    /// Sequences of the given lengths with tasks spread over `0..tasks`, sorted.
    pub fn packing(&mut self, lengths: &[i64], tasks: i64) -> Packing {
        let mut of: Vec<i64> = lengths.iter().map(|_| self.below(tasks)).collect();
        of.sort_unstable();
        packing(lengths, &of)
    }
}

pub fn packing(lengths: &[i64], tasks: &[i64]) -> Packing {
    let mut starts = vec![0];
    for length in lengths {
        starts.push(starts[starts.len() - 1] + length);
    }
    Packing::new(&starts, tasks, Device::Cpu).unwrap()
}

pub fn vec64(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.detach().to_kind(Kind::Double).contiguous().view(-1)).unwrap()
}

/// Largest difference over the largest magnitude of the reference (or 1e-3).
pub fn difference(got: &Tensor, want: &Tensor) -> f64 {
    difference_on(largest(want), got, want)
}

/// Largest magnitude in `tensor`.
pub fn largest(tensor: &Tensor) -> f64 {
    vec64(tensor).iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Largest difference over `scale` (or 1e-3).
pub fn difference_on(scale: f64, got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    let (got, want) = (vec64(got), vec64(want));
    let scale = scale.max(1e-3);
    got.iter().zip(&want).fold(0.0f64, |worst, (g, w)| {
        // NaN is a difference.
        let d = (g - w).abs();
        if d.is_nan() {
            f64::INFINITY
        } else {
            worst.max(d)
        }
    }) / scale
}

#[track_caller]
pub fn assert_close(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
    let d = difference(got, want);
    assert!(
        d <= tolerance,
        "{what}: relative difference {d:.3e} above {tolerance:.1e}"
    );
}

/// The seed of the weights of [`gradients`].
const WEIGHTS: u64 = 99;

/// Gradients of `sum(f(inputs) * weights)` for fixed random weights.
pub fn gradients(inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Tensor) -> (Tensor, Vec<Tensor>) {
    weighted_gradients(inputs, WEIGHTS, f)
}

/// How large the gradient of each input is: the largest magnitude under several weightings of the
/// outputs. Under one of them alone the terms of a gradient may cancel, and what rounding leaves
/// of it is then no measure.
pub fn gradient_scales(inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Tensor) -> Vec<f64> {
    let mut scales = vec![0.0f64; inputs.len()];
    for seed in WEIGHTS..WEIGHTS + 4 {
        let (_, grads) = weighted_gradients(inputs, seed, f);
        for (scale, grad) in scales.iter_mut().zip(&grads) {
            *scale = scale.max(largest(grad));
        }
    }
    scales
}

fn weighted_gradients(
    inputs: &[Tensor],
    seed: u64,
    f: &dyn Fn(&[Tensor]) -> Tensor,
) -> (Tensor, Vec<Tensor>) {
    let leaves: Vec<Tensor> = inputs
        .iter()
        .map(|x| x.detach().copy().set_requires_grad(true))
        .collect();
    let y = f(&leaves);
    let weights = Random::new(seed).tensor(&y.size(), 1.0, y.kind());
    if y.requires_grad() {
        (&y * weights).sum(None::<Kind>).backward();
    } else {
        // A batch of empty sequences: a constant, which must be zero.
        assert!(vec64(&y).iter().all(|y| *y == 0.0), "no gradient for {y:?}");
    }
    let grads = leaves
        .iter()
        .map(|leaf| {
            if leaf.grad().defined() {
                leaf.grad()
            } else {
                leaf.zeros_like().detach()
            }
        })
        .collect();
    (y.detach(), grads)
}

/// Compares the gradient of every input with central differences in float64, at
/// up to `probes` random elements of each input.
#[track_caller]
pub fn gradcheck(what: &str, inputs: &[Tensor], probes: i64, f: &dyn Fn(&[Tensor]) -> Tensor) {
    let (y, grads) = gradients(inputs, f);
    assert_eq!(
        y.kind(),
        Kind::Double,
        "{what}: finite differences need float64"
    );
    let weights = Random::new(WEIGHTS).tensor(&y.size(), 1.0, Kind::Double);
    let mut random = Random::new(7);
    for (n, (input, grad)) in inputs.iter().zip(&grads).enumerate() {
        let values = vec64(input);
        let grad = vec64(grad);
        let count = values.len() as i64;
        let places: Vec<i64> = if count <= probes {
            (0..count).collect()
        } else {
            (0..probes).map(|_| random.below(count)).collect()
        };
        let step = 1e-5;
        for place in places {
            let at = |delta: f64| {
                let mut moved = values.clone();
                moved[place as usize] += delta;
                let moved = Tensor::from_slice(&moved).reshape(input.size());
                let args: Vec<Tensor> = inputs
                    .iter()
                    .enumerate()
                    .map(|(m, x)| {
                        if m == n {
                            moved.shallow_clone()
                        } else {
                            x.shallow_clone()
                        }
                    })
                    .collect();
                (f(&args) * &weights).sum(None::<Kind>).double_value(&[])
            };
            let numeric = (at(step) - at(-step)) / (2.0 * step);
            let analytic = grad[place as usize];
            assert!(
                (numeric - analytic).abs() <= 1e-7 + 1e-6 * numeric.abs().max(analytic.abs()),
                "{what}: input {n}, element {place}: finite difference {numeric}, gradient {analytic}"
            );
        }
    }
}
