//! Named, portable random streams.
//!
//! Every random choice of the project is drawn from a [`Stream`] that is identified by the run's seed and a name
//! (`"sampler/loader/mnli"`, `"synthetic/sentiment"`). Two streams with different names are independent, so adding a
//! draw in one place never shifts the draws of another. The generator is ChaCha8, and the integer, float and shuffle
//! algorithms on top of it are written out here, on raw 64-bit words: the same seed gives the same numbers on every
//! platform and with every version of the dependencies (the tests compare with stored values).
//!
//! ```
//! use camtl_data::random::Stream;
//!
//! let mut stream = Stream::new(12, "example");
//! let first = stream.next_u64();
//! let saved = stream.state();
//! let after = stream.next_u64();
//!
//! let mut resumed = Stream::from_state(&saved)?;
//! assert_eq!(resumed.next_u64(), after);
//! assert_ne!(first, after);
//! # Ok::<(), camtl_data::random::StreamStateError>(())
//! ```

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Derives a 64-bit seed for item `index` of the stream `name` from the run's `seed`.
///
/// The value is the first eight bytes (little endian) of a SHA-256 over all three arguments, so it is the same on
/// every platform and unrelated for any two different arguments.
///
/// ```
/// use camtl_data::random::derive_seed;
/// assert_eq!(derive_seed(12, "dropout", 3), derive_seed(12, "dropout", 3));
/// assert_ne!(derive_seed(12, "dropout", 3), derive_seed(12, "dropout", 4));
/// ```
pub fn derive_seed(seed: u64, name: &str, index: u64) -> u64 {
    let digest = digest(b"camtl seed 1", seed, name, index);
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

/// SHA-256 over a purpose tag and the three identifying values. The name is preceded by its length so that no two
/// different argument lists give the same bytes.
fn digest(purpose: &[u8; 12], seed: u64, name: &str, index: u64) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(purpose);
    hasher.update(seed.to_le_bytes());
    hasher.update((name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(index.to_le_bytes());
    hasher.finalize().into()
}

/// A reproducible stream of random numbers: ChaCha8 under a key derived from a seed and a name.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u8; 32],
    generator: ChaCha8Rng,
    draws: u64,
}

/// The exact position of a [`Stream`], small enough to be stored in every checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    /// The 256-bit ChaCha8 key as 64 hexadecimal digits.
    pub key: String,
    /// How many 64-bit words have been drawn.
    pub draws: u64,
}

/// A stored [`StreamState`] that no stream can have produced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "random stream state: the key `{key}` is not 64 hexadecimal digits; the saved state is damaged, resume from an earlier one"
)]
pub struct StreamStateError {
    /// The offending key.
    pub key: String,
}

impl Stream {
    /// The stream called `name` of the run with this `seed`, at its start.
    pub fn new(seed: u64, name: &str) -> Self {
        Self::from_key(digest(b"camtl stream", seed, name, 0))
    }

    fn from_key(key: [u8; 32]) -> Self {
        Self {
            key,
            generator: ChaCha8Rng::from_seed(key),
            draws: 0,
        }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.draws = self.draws.wrapping_add(1);
        self.generator.next_u64()
    }

    /// A uniform integer in `0..n`, without modulo bias; 0 if `n` is 0 or 1.
    ///
    /// Lemire's method: the high word of a 128-bit product, with the few low words that would make some results more
    /// likely than others rejected.
    pub fn below(&mut self, n: u64) -> u64 {
        if n <= 1 {
            return 0;
        }
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if (product as u64) >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform `f64` in `[0, 1)` with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// `true` with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Shuffles `items` so that every order is equally likely (Fisher-Yates, from the end).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// The position of this stream; [`Stream::from_state`] continues from it.
    pub fn state(&self) -> StreamState {
        StreamState {
            key: to_hex(&self.key),
            draws: self.draws,
        }
    }

    /// A stream that continues exactly where `state` was taken.
    ///
    /// # Errors
    /// If the stored key is not 64 hexadecimal digits.
    pub fn from_state(state: &StreamState) -> Result<Self, StreamStateError> {
        let error = || StreamStateError {
            key: state.key.clone(),
        };
        let bytes = from_hex(&state.key).ok_or_else(error)?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| error())?;
        let mut stream = Self::from_key(key);
        // The generator counts 32-bit words.
        stream.generator.set_word_pos(u128::from(state.draws) * 2);
        stream.draws = state.draws;
        Ok(stream)
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes that `text` spells in hexadecimal digits, or `None` if it does not.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|character| character.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
