// Norm of a flat gradient in two stages of fixed shape: the result does not depend
// on the device or on the order in which blocks run.
#pragma once

#include "rows/vectors.cuh"

namespace camtl {

constexpr int NORM_THREADS = 256;
constexpr int NORM_BLOCKS = 512;

// Sum over the block's threads in a fixed order; valid in thread 0.
__device__ __forceinline__ double block_sum(double value, double* shared) {
  shared[thread_index()] = value;
  sync_block();
  for (int half = block_threads() / 2; half > 0; half /= 2) {
    if (thread_index() < half) shared[thread_index()] += shared[thread_index() + half];
    sync_block();
  }
  return shared[0];
}

// partial[block] = sum of squares of the block's share.
__global__ void __launch_bounds__(NORM_THREADS)
    square_sum_kernel(const float* __restrict__ gradient, int64_t count, double* __restrict__ partial) {
  const int64_t first = static_cast<int64_t>(block_x()) * NORM_THREADS + thread_index();
  const int64_t step = static_cast<int64_t>(grid_x()) * NORM_THREADS;
  const int64_t vectors = count / 4;
  double sum = 0.0;
#pragma unroll 4
  for (int64_t i = first; i < vectors; i += step) {
    const float4 g = load_streaming(reinterpret_cast<const float4*>(gradient) + i);
    // Four squares in float, their sum in double: 2^-24 relative, and NaN and
    // infinity stay visible.
    sum += static_cast<double>((g.x * g.x + g.y * g.y) + (g.z * g.z + g.w * g.w));
  }
  const int64_t tail = 4 * vectors + first;
  if (tail < count) sum += static_cast<double>(gradient[tail]) * static_cast<double>(gradient[tail]);
  sum = block_sum(sum, reinterpret_cast<double*>(dynamic_shared()));
  if (thread_index() == 0) partial[block_x()] = sum;
}

// norm = sqrt of the sum; coefficient (or null) = min(1, max_norm / (norm + 1e-6)).
__global__ void __launch_bounds__(NORM_THREADS)
    norm_kernel(const double* __restrict__ partial, int blocks, float max_norm, float* __restrict__ norm,
                float* __restrict__ coefficient) {
  double sum = 0.0;
  for (int i = thread_index(); i < blocks; i += NORM_THREADS) sum += partial[i];
  sum = block_sum(sum, reinterpret_cast<double*>(dynamic_shared()));
  if (thread_index() == 0) {
    const float root = static_cast<float>(sqrt(sum));
    *norm = root;
    if (coefficient != nullptr) {
      const float ratio = max_norm / (root + 1e-6f);
      // Written so that a NaN norm gives a NaN coefficient, as torch's clamp does.
      *coefficient = ratio > 1.0f ? 1.0f : ratio;
    }
  }
}

}  // namespace camtl
