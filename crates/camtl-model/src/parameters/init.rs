//! Where parameters start: one random stream per parameter.
//!
//! The stream is ChaCha8 keyed by SHA-256 of the seed and the parameter's name, so a parameter has
//! the same bytes whatever else the model contains. Normals come from Marsaglia's polar method with
//! a logarithm made of additions, products and divisions only: no platform's math library takes
//! part, and the bytes are the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use crate::parameters::spec::Init;

/// The `numel` starting values of the parameter `name`.
pub(crate) fn values(seed: u64, name: &str, numel: usize, init: Init) -> Vec<f32> {
    match init {
        Init::Zeros => vec![0.0; numel],
        Init::Ones => vec![1.0; numel],
        Init::Normal(std) => normals(seed, name, numel, std),
        Init::Identity => {
            let width = numel.isqrt();
            let one = |at| f32::from(u8::from(at % (width + 1) == 0));
            (0..numel).map(one).collect()
        }
    }
}

fn normals(seed: u64, name: &str, numel: usize, std: f64) -> Vec<f32> {
    let mut hash = Sha256::new();
    hash.update(b"camtl parameter\0");
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    let mut stream = ChaCha8Rng::from_seed(hash.finalize().into());
    let mut values = Vec::with_capacity(numel);
    while values.len() < numel {
        let u = symmetric(&mut stream);
        let v = symmetric(&mut stream);
        let s = u * u + v * v;
        if s >= 1.0 || s == 0.0 {
            continue;
        }
        let scale = std * (-2.0 * ln(s) / s).sqrt();
        values.push((u * scale) as f32);
        if values.len() < numel {
            values.push((v * scale) as f32);
        }
    }
    values
}

/// Uniform in [-1, 1) with 53 bits.
fn symmetric(stream: &mut ChaCha8Rng) -> f64 {
    (stream.next_u64() >> 11) as f64 * (2.0 / (1u64 << 53) as f64) - 1.0
}

/// Natural logarithm of a normal positive number: `e·ln 2 + 2·artanh((m-1)/(m+1))` with
/// `x = m·2^e` and m in [√½, √2).
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for k in (0..12).rev() {
        sum = sum * square + 1.0 / f64::from(2 * k + 1);
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * s * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_agrees_with_the_math_library() {
        for x in [1e-30, 1e-9, 0.1, 0.5, 0.7, 0.99, 1.0, 1.5, 2.0, 1e10] {
            assert!(
                (ln(x) - f64::ln(x)).abs() <= 2e-15 * f64::ln(x).abs().max(1.0),
                "{x}"
            );
        }
    }

    #[test]
    fn normals_have_their_moments_and_their_own_stream() {
        let a = values(7, "a", 40_000, Init::Normal(0.02));
        let mean = a.iter().map(|&x| f64::from(x)).sum::<f64>() / 40_000.0;
        let var = a.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 40_000.0;
        let fourth = a.iter().map(|&x| f64::from(x).powi(4)).sum::<f64>() / 40_000.0;
        assert!(mean.abs() < 4.0 * 0.02 / 200.0, "{mean}");
        assert!((var.sqrt() / 0.02 - 1.0).abs() < 0.02, "{var}");
        assert!((fourth / (var * var) - 3.0).abs() < 0.15, "{fourth}");
        assert_eq!(a, values(7, "a", 40_000, Init::Normal(0.02)));
        // A shorter parameter of the same name starts with the same numbers.
        assert_eq!(a[..11], values(7, "a", 11, Init::Normal(0.02)));
        assert_ne!(a[..8], values(8, "a", 8, Init::Normal(0.02)));
        assert_ne!(a[..8], values(7, "b", 8, Init::Normal(0.02)));
    }

    #[test]
    fn bytes_are_pinned() {
        let bits: Vec<u32> = values(1, "x", 3, Init::Normal(1.0))
            .iter()
            .map(|x| x.to_bits())
            .collect();
        // Written down from the first run; a change would silently change every seeded model.
        assert_eq!(bits, PINNED);
    }

    const PINNED: [u32; 3] = [3_218_772_078, 3_204_046_804, 1_062_110_774];
}
