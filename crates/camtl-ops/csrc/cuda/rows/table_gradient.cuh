// Gradient of a gathered table: rows that gathered the same table row are added in
// the order of a stable sort by id, in pieces so that frequent tokens do not wait for
// one warp. No atomics, and nothing about the ids is known when a launch is made.
#pragma once

#include "rows/column_sums.cuh"

namespace camtl {

// Rows of one piece: long enough that most tokens need one piece, short enough that a
// frequent token is shared among warps.
constexpr int TABLE_PIECE = 64;

struct SortedIds {
  const int* ids;        // [N], ascending
  const int64_t* order;  // [N]: the row that each id belongs to
  int count;
};

// First place in begin..end whose id is at least `id`; end if there is none.
__device__ __forceinline__ int first_not_below(const SortedIds& sorted, int begin, int end, int id) {
  while (begin < end) {
    const int middle = (begin + end) / 2;
    if (load_readonly(sorted.ids + middle) < id) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

__device__ __forceinline__ bool has_id(const SortedIds& sorted, int place, int id) {
  return place >= 0 && place < sorted.count && load_readonly(sorted.ids + place) == id;
}

// Where a piece's sum is kept. Only tokens of more than one piece need a place, so at
// most one of them begins and one goes on within any TABLE_PIECE places of the order.
__device__ __forceinline__ int64_t table_slot(int place, bool begins) {
  return 2 * (place / TABLE_PIECE) + (begins ? 1 : 0);
}

// table[id] += sum of its rows, for ids of one piece; otherwise partial[slot] = sum of
// the piece's rows. One warp per place of the order; the places where no piece begins
// have nothing to do.
template <int CHUNKS>
__global__ void __launch_bounds__(32 * ROW_WARPS)
    table_gradient_pieces_kernel(const float* __restrict__ rows, SortedIds sorted, int columns,
                                 float* __restrict__ partial, float* __restrict__ table) {
  const int place = block_x() * ROW_WARPS + warp_index();
  if (place >= sorted.count) return;
  const int id = load_readonly(sorted.ids + place);
  const bool begins = !has_id(sorted, place - 1, id);
  if (!begins) {
    // The search is left to the few that may begin a later piece.
    if (!has_id(sorted, place - TABLE_PIECE, id)) return;
    if ((place - first_not_below(sorted, 0, place, id)) % TABLE_PIECE != 0) return;
  }
  const int end = first_not_below(sorted, place, min(place + TABLE_PIECE, sorted.count), id + 1);
  float sums[CHUNKS][8];
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
#pragma unroll
    for (int e = 0; e < 8; ++e) sums[i][e] = 0.0f;
  }
  for (int k = place; k < end; ++k) {
    const float* const row = rows + load_readonly(sorted.order + k) * columns;
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
  const bool alone = begins && !has_id(sorted, place + TABLE_PIECE, id);
  float* const to = alone ? table + static_cast<int64_t>(id) * columns : partial + table_slot(place, begins) * columns;
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int column = 8 * (lane_index() + 32 * i);
    if (column >= columns) continue;
    if (alone) {
      float before[8];
      load8(before, to + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) sums[i][e] += before[e];
    }
    store8(to + column, sums[i]);
  }
}

// table[id] += sum of the id's pieces, for ids of several. One warp per place of the
// order; only those where such an id begins have something to do.
template <int CHUNKS>
__global__ void __launch_bounds__(32 * ROW_WARPS)
    table_gradient_ids_kernel(const float* __restrict__ partial, SortedIds sorted, int columns,
                              float* __restrict__ table) {
  const int place = block_x() * ROW_WARPS + warp_index();
  if (place >= sorted.count) return;
  const int id = load_readonly(sorted.ids + place);
  if (has_id(sorted, place - 1, id) || !has_id(sorted, place + TABLE_PIECE, id)) return;
  float* const to = table + static_cast<int64_t>(id) * columns;
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int column = 8 * (lane_index() + 32 * i);
    if (column >= columns) continue;
    float sums[8];
    load8(sums, to + column);
    for (int piece = place; has_id(sorted, piece, id); piece += TABLE_PIECE) {
      float v[8];
      load8(v, partial + table_slot(piece, piece == place) * columns + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) sums[e] += v[e];
    }
    store8(to + column, sums);
  }
}

}  // namespace camtl
