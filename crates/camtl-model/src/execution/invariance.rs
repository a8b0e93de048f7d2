//! Matrix products whose rows do not depend on how many there are.
//!
//! A library picks its way of multiplying by the shapes: the same row of `x W'` differs in its last
//! bits between a product of 3 rows and one of 300, while it is the same at every place of a product
//! with a fixed number of rows. Products in tiles of fixed height, the last filled up with zeros,
//! therefore give each row the same bits whatever stands beside it.

use camtl_ops::linear as product;
use tch::Tensor;

use crate::error::ModelError;

/// Tasks in one tile of the modulation table: always, so that one more task changes no other's row.
pub(crate) const TASKS: i64 = 8;
/// Rows in one tile of a batch-invariant pass: few enough for a single short text, enough to be worth
/// a product.
pub(crate) const ROWS: i64 = 32;

/// `x W' + b` for `x` [N, K] and `weight` [M, K]; with `tile`, in tiles of that many rows.
pub(crate) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    tile: Option<i64>,
) -> Result<Tensor, ModelError> {
    in_tiles(x, tile, |rows| Ok(product(rows, weight, bias)?))
}

/// `of` for all rows of `x`; with `tile`, for that many rows at a time.
pub(crate) fn in_tiles(
    x: &Tensor,
    tile: Option<i64>,
    of: impl Fn(&Tensor) -> Result<Tensor, ModelError>,
) -> Result<Tensor, ModelError> {
    let rows = x.size().first().copied().unwrap_or(0);
    let Some(tile) = tile.filter(|_| rows > 0) else {
        return of(x);
    };
    let mut parts = Vec::new();
    let mut start = 0;
    while start < rows {
        let count = tile.min(rows - start);
        let part = x.f_narrow(0, start, count)?;
        parts.push(if count == tile {
            of(&part)?
        } else {
            let padded = part.f_constant_pad_nd([0, 0, 0, tile - count])?;
            of(&padded)?.f_narrow(0, 0, count)?
        });
        start += tile;
    }
    match parts.as_slice() {
        [only] => Ok(only.shallow_clone()),
        _ => Ok(Tensor::f_cat(&parts, 0)?),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn bits(tensor: &Tensor) -> Vec<u32> {
        let values = Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap();
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn a_row_has_the_same_bits_whatever_stands_beside_it() {
        let options = (Kind::Float, Device::Cpu);
        // Among them shapes whose plain products are known to differ.
        for (inputs, outputs) in [(32, 32), (128, 128), (384, 1536), (1536, 384)] {
            let wave = |rows: i64, shift: f64| {
                let numbers = Tensor::arange(rows * inputs, options) * 0.37 + shift;
                numbers.sin().view([rows, inputs])
            };
            let (x, weight) = (wave(150, 0.0), wave(outputs, 0.5));
            let bias = Tensor::arange(outputs, options).cos();
            for tile in [TASKS, ROWS] {
                let whole = linear(&x, &weight, Some(&bias), Some(tile)).unwrap();
                let plain = x.linear(&weight, Some(&bias));
                let difference = (&whole - plain).abs().max().double_value(&[]);
                assert!(difference < 1e-3, "{difference}");
                for (start, count) in [(0, 1), (149, 1), (3, 7), (40, 65), (0, 149)] {
                    let part = x.narrow(0, start, count);
                    let part = linear(&part, &weight, Some(&bias), Some(tile)).unwrap();
                    assert_eq!(bits(&part), bits(&whole.narrow(0, start, count)));
                }
            }
        }
    }

    #[test]
    fn no_rows_give_no_rows() {
        let options = (Kind::Float, Device::Cpu);
        let (x, weight) = (
            Tensor::zeros([0, 4], options),
            Tensor::zeros([3, 4], options),
        );
        let y = linear(&x, &weight, None, Some(8)).unwrap();
        assert_eq!(y.size(), [0, 3]);
    }
}
