// Dropout by itself, under the same mask as the operations that contain one.
#pragma once

#include "rows/column_sums.cuh"
#include "rows/place.cuh"

namespace camtl {

template <typename T, int CHUNKS>
__global__ void __launch_bounds__(32 * ROW_WARPS)
    dropout_kernel(const T* __restrict__ x, DropoutCall dropout, RowLayout layout, int columns, T* __restrict__ y) {
  const int row = block_x() * ROW_WARPS + warp_index();
  if (row >= layout.rows) return;
  const int64_t offset = static_cast<int64_t>(row) * columns;
  const RowPlace place = row_place(layout, row);
  const DropoutKey key = dropout_key(dropout);
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int chunk = lane_index() + 32 * i;
    if (8 * chunk >= columns) continue;
    float v[8];
    load8(v, x + offset + 8 * chunk);
    drop8(v, key, dropout, place, chunk);
    store8(y + offset + 8 * chunk, v);
  }
}

}  // namespace camtl
