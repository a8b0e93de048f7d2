// Feature-wise linear modulation by the row's task: y = (1 + gamma_t) x + beta_t.
#pragma once

#include "rows/column_sums.cuh"
#include "rows/place.cuh"

namespace camtl {

template <typename T, int CHUNKS>
__global__ void __launch_bounds__(32 * ROW_WARPS)
    film_forward_kernel(const T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta,
                        RowLayout layout, int columns, T* __restrict__ y) {
  const int row = block_x() * ROW_WARPS + warp_index();
  if (row >= layout.rows) return;
  const int64_t offset = static_cast<int64_t>(row) * columns;
  const RowPlace place = row_place(layout, row);
  const int64_t table = static_cast<int64_t>(place.task) * columns;
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int column = 8 * (lane_index() + 32 * i);
    if (column >= columns) continue;
    float v[8], g[8], b[8];
    load8(v, x + offset + column);
    load8_shared(g, gamma + table + column);
    load8_shared(b, beta + table + column);
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] = place.exists() ? (1.0f + g[e]) * v[e] + b[e] : 0.0f;
    store8(y + offset + column, v);
  }
}

// partial: [S][2][columns], dgamma and dbeta of each segment.
template <typename T, int CHUNKS>
__global__ void __launch_bounds__(32 * ROW_WARPS, resident_blocks<CHUNKS>())
    film_backward_kernel(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ gamma,
                         Segments segments, int columns, T* __restrict__ dx, float* __restrict__ partial) {
  const int* const segment = segments.list + 4 * block_x();
  const int end = segment[1];
  const float* const gain = gamma + static_cast<int64_t>(segment[2]) * columns;
  ColumnSums<2, CHUNKS> sums;
  sums.clear();
  for (int row = segment[0] + warp_index(); row < end; row += ROW_WARPS) {
    const int64_t offset = static_cast<int64_t>(row) * columns;
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
      const int column = 8 * (lane_index() + 32 * i);
      if (column >= columns) continue;
      float d[8], v[8], g[8];
      load8(d, dy + offset + column);
      load8(v, x + offset + column);
      load8_shared(g, gain + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        sums.values[0][i][e] += d[e] * v[e];
        sums.values[1][i][e] += d[e];
        d[e] *= 1.0f + g[e];
      }
      store8(dx + offset + column, d);
    }
  }
  sums.flush(reinterpret_cast<float*>(dynamic_shared()), partial + static_cast<int64_t>(block_x()) * 2 * columns,
             columns, ROW_WARPS);
}

}  // namespace camtl
