//! Rows of a tensor gathered into a padded block, one line per example.
//!
//! Sums over a block's lines read no row of another example and add in a fixed order, so an example's
//! loss is the same in every batch, and one that is not finite spoils no other.

use camtl_ops::upload;
use tch::{Device, Tensor};

use crate::error::ModelError;

/// `n` lines of up to `m` rows.
pub(crate) struct Block {
    /// Row of each place, `[n · m]`; places without one hold row 0.
    index: Tensor,
    /// Places without a row, `[n, m]`.
    pad: Tensor,
    /// Rows of each line.
    counts: Vec<i64>,
    width: i64,
    device: Device,
}

impl Block {
    pub(crate) fn new(lines: &[Vec<i64>], device: Device) -> Result<Self, ModelError> {
        let counts: Vec<i64> = lines.iter().map(|line| line.len() as i64).collect();
        let width = counts.iter().copied().max().unwrap_or(0);
        let size = lines.len() * width as usize;
        let (mut index, mut pad) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for line in lines {
            for place in 0..width as usize {
                index.push(line.get(place).copied().unwrap_or(0));
                pad.push(place >= line.len());
            }
        }
        Ok(Block {
            index: upload(&index, device)?,
            pad: upload(&pad, device)?.f_view([lines.len() as i64, width])?,
            counts,
            width,
            device,
        })
    }

    fn lines(&self) -> i64 {
        self.counts.len() as i64
    }

    /// The rows of `values` [R, ...] in their places, `fill` elsewhere: [n, m, ...].
    pub(crate) fn gather(&self, values: &Tensor, fill: f64) -> Result<Tensor, ModelError> {
        let mut shape = values.size();
        let mut mask = vec![self.lines(), self.width];
        mask.resize(shape.len() + 1, 1);
        shape.splice(..1, [self.lines(), self.width]);
        Ok(values
            .f_index_select(0, &self.index)?
            .f_view(&shape[..])?
            .f_masked_fill(&self.pad.f_view(&mask[..])?, fill)?)
    }

    /// The mean of each line's rows of `values` [R, ...]: [n, ...]; 0 for a line without rows.
    pub(crate) fn mean(&self, values: &Tensor) -> Result<Tensor, ModelError> {
        let rows = self.gather(values, 0.0)?;
        // How a reduction groups its terms depends on the width, which is that of the longest line.
        // Running sums go from row to row.
        let sums = if self.width > 0 {
            rows.f_cumsum(1, values.kind())?.f_select(1, -1)?
        } else {
            rows.f_sum_dim_intlist(1, false, values.kind())?
        };
        let shares: Vec<f64> = self
            .counts
            .iter()
            .map(|&count| 1.0 / count.max(1) as f64)
            .collect();
        let mut shape = vec![1; sums.dim()];
        shape[0] = self.lines();
        let shares = upload(&shares, self.device)?
            .f_to_kind(values.kind())?
            .f_view(&shape[..])?;
        Ok(sums.f_mul(&shares)?)
    }
}
