// Gradient of a gathered table: rows that gathered the same table row are added in
// the order of a host-made sort, in pieces so that frequent tokens do not wait for
// one warp. No atomics.
#pragma once

#include "rows/column_sums.cuh"

namespace camtl {

struct RowGroups {
  const int* order;         // [N]: row numbers, those of one group together
  const int* pieces;        // [P + 1]: where each piece starts in order
  const int* group_pieces;  // [G + 1]: where each group starts in pieces
  const int* ids;           // [G]: table row of each group
  int num_pieces, num_groups;
};

// partial[piece] = sum of its rows. One warp per piece; grid (pieces / ROW_WARPS).
template <int CHUNKS>
__global__ void __launch_bounds__(32 * ROW_WARPS)
    table_gradient_pieces_kernel(const float* __restrict__ rows, RowGroups groups, int columns,
                                 float* __restrict__ partial) {
  const int piece = block_x() * ROW_WARPS + warp_index();
  if (piece >= groups.num_pieces) return;
  float sums[CHUNKS][8];
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
#pragma unroll
    for (int e = 0; e < 8; ++e) sums[i][e] = 0.0f;
  }
  const int end = groups.pieces[piece + 1];
  for (int k = groups.pieces[piece]; k < end; ++k) {
    const float* const row = rows + static_cast<int64_t>(load_readonly(groups.order + k)) * columns;
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
      const int column = 8 * (lane_index() + 32 * i);
      if (column >= columns) continue;
      float v[8];
      load8(v, row + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) sums[i][e] += v[e];
    }
  }
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int column = 8 * (lane_index() + 32 * i);
    if (column < columns) store8(partial + static_cast<int64_t>(piece) * columns + column, sums[i]);
  }
}

// table[ids[group]] += sum of the group's pieces. One warp per group.
template <int CHUNKS>
__global__ void __launch_bounds__(32 * ROW_WARPS)
    table_gradient_groups_kernel(const float* __restrict__ partial, RowGroups groups, int columns,
                                 float* __restrict__ table) {
  const int group = block_x() * ROW_WARPS + warp_index();
  if (group >= groups.num_groups) return;
  float* const to = table + static_cast<int64_t>(groups.ids[group]) * columns;
  const int end = groups.group_pieces[group + 1];
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int column = 8 * (lane_index() + 32 * i);
    if (column >= columns) continue;
    float sums[8];
    load8(sums, to + column);
    for (int piece = groups.group_pieces[group]; piece < end; ++piece) {
      float v[8];
      load8(v, partial + static_cast<int64_t>(piece) * columns + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) sums[e] += v[e];
    }
    store8(to + column, sums);
  }
}

}  // namespace camtl
