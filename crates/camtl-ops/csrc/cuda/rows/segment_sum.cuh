// Second stage of every sum over rows: adds the partial sums of segments in a
// fixed order. No atomics, so two runs agree bit for bit.
#pragma once

#include "rows/segment_sum.h"

#include <platform.cuh>

namespace camtl {

constexpr int SEGMENT_SUM_COLUMNS = 32;
constexpr int SEGMENT_SUM_PARTS = 8;

// out[t, j] = sum of partial[s * stride + j] over s in offsets[t]..offsets[t + 1], or
// over all `count` if offsets is null (then t = 0). Grid: (columns / 32, tasks).
__global__ void __launch_bounds__(SEGMENT_SUM_COLUMNS* SEGMENT_SUM_PARTS)
    segment_sum_kernel(const float* __restrict__ partial, int64_t stride, const int* __restrict__ offsets, int count,
                       int columns, float* __restrict__ out) {
  float* const sums = reinterpret_cast<float*>(dynamic_shared());  // [PARTS][COLUMNS]
  const int task = block_y();
  const int in_block = thread_index() % SEGMENT_SUM_COLUMNS, part = thread_index() / SEGMENT_SUM_COLUMNS;
  const int column = block_x() * SEGMENT_SUM_COLUMNS + in_block;
  const int begin = offsets != nullptr ? offsets[task] : 0;
  const int end = offsets != nullptr ? offsets[task + 1] : count;
  float sum = 0.0f;
  if (column < columns) {
#pragma unroll 4
    for (int s = begin + part; s < end; s += SEGMENT_SUM_PARTS) sum += partial[s * stride + column];
  }
  sums[thread_index()] = sum;
  sync_block();
  if (part == 0 && column < columns) {
#pragma unroll
    for (int other = 1; other < SEGMENT_SUM_PARTS; ++other) sum += sums[other * SEGMENT_SUM_COLUMNS + in_block];
    out[static_cast<int64_t>(task) * columns + column] = sum;
  }
}

}  // namespace camtl
