// Gradient of the scores of 16 queries, and what follows from it for the queries:
// the row-wise half of the attention's backward pass.
#pragma once

#include "attention/gradients.cuh"
#include "attention/scores.cuh"

namespace camtl {

// Writes the band part of the score gradients of one run of key columns. `start_*`
// are the band starts of this lane's two rows; null pointers for rows that are no queries.
template <int COLUMN_TILES>
__device__ __forceinline__ void store_band_gradient(const float (&ds)[COLUMN_TILES][4], float* upper, float* lower,
                                                    int start_upper, int start_lower, int width, const BandSpan& span,
                                                    int first_column, int keys, int lane) {
#pragma unroll
  for (int n = 0; n < COLUMN_TILES; ++n) {
    if (!span.touches(first_column + 8 * n, 8)) continue;
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int column = first_column + 8 * n + 2 * (lane & 3) + e;
      if (column >= keys) continue;
      const int c_upper = column - start_upper, c_lower = column - start_lower;
      if (upper != nullptr && static_cast<unsigned>(c_upper) < static_cast<unsigned>(width)) upper[c_upper] = ds[n][e];
      if (lower != nullptr && static_cast<unsigned>(c_lower) < static_cast<unsigned>(width)) {
        lower[c_lower] = ds[n][2 + e];
      }
    }
  }
}

// dq += ds times the rows of `tile_k`, for the column tiles below `padded_keys`.
template <int HEAD_DIM, int COLUMN_TILES>
__device__ __forceinline__ void multiply_columns(float (&dq)[HEAD_DIM / 8][4], const float (&ds)[COLUMN_TILES][4],
                                                 const bf16* tile_k, int padded_keys, int lane) {
#pragma unroll
  for (int step = 0; step < COLUMN_TILES / 2; ++step) {
    if (16 * step < padded_keys) {
      uint32_t a[4];
      accumulators_to_a(a, ds[2 * step], ds[2 * step + 1]);
#pragma unroll
      for (int pair = 0; pair < HEAD_DIM / 16; ++pair) {
        uint32_t b[4];
        load_b_columns<HEAD_DIM>(b, tile_k, 16 * step, pair, lane);
        multiply_accumulate(dq[2 * pair], a, b[0], b[1]);
        multiply_accumulate(dq[2 * pair + 1], a, b[2], b[3]);
      }
    }
  }
}

}  // namespace camtl
