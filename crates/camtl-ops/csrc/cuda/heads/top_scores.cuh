// Selection of the b largest scores, in falling order, ties to the lower index.
#pragma once

#include <platform.cuh>

namespace camtl {

constexpr int TOP_THREADS = 128;

// A NaN score ranks below every number.
__device__ __forceinline__ bool ranks_before(float a, int i, float b, int j) {
  const bool a_nan = a != a, b_nan = b != b;
  if (a_nan || b_nan) return a_nan == b_nan ? i < j : b_nan;
  return a > b || (a == b && i < j);
}

// Every candidate counts those before it: its rank is its place in the output. A
// few thousand candidates are read from the cache; nothing is sorted.
__global__ void __launch_bounds__(TOP_THREADS)
    top_scores_kernel(const float* __restrict__ scores, int count, int wanted, int* __restrict__ indices) {
  float* const run = reinterpret_cast<float*>(dynamic_shared());  // [TOP_THREADS]
  const int i = block_x() * TOP_THREADS + thread_index();
  const float mine = i < count ? scores[i] : 0.0f;
  int rank = 0;
  for (int first = 0; first < count; first += TOP_THREADS) {
    if (first + thread_index() < count) run[thread_index()] = scores[first + thread_index()];
    sync_block();
    const int size = min(count - first, TOP_THREADS);
    for (int j = 0; j < size; ++j) rank += ranks_before(run[j], first + j, mine, i) ? 1 : 0;
    sync_block();
  }
  if (i < count && rank < wanted) indices[rank] = i;
}

}  // namespace camtl
