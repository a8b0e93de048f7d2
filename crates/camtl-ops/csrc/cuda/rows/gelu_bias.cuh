// Exact GELU with the bias of the product before it: y = u Phi(u), u = x + bias; and
// in the backward pass the bias's gradient, the column sums of dx.
#pragma once

#include "logarithm.cuh"
#include "rows/vectors.cuh"

namespace camtl {

constexpr int GELU_THREADS = 128;

// Rows one block walks down: few enough to fill the machine at a thousand rows, and
// enough that the partial sums stay small beside the data. Depends on the shape
// alone, so results do not depend on the device.
inline int gelu_rows_per_block(int rows) { return rows <= 16 * 256 ? 16 : (rows + 255) / 256; }

struct Normal {
  float distribution;  // Phi(u)
  float bell;          // exp(-u^2 / 2)
};

// Phi through the error function's approximation 7.1.26 of Abramowitz and Stegun, whose
// exponential is the one that the density needs: absolute error below 1e-7, a third of
// the instructions of erff, which would be what these kernels wait for.
__device__ __forceinline__ Normal normal_distribution(float u) {
  const float bell = exp2_fast(-0.5f * LOG2_E * u * u);
  const float t = reciprocal_fast(1.0f + 0.3275911f * 0.70710678118654752f * fabsf(u));
  const float polynomial =
      t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  const float tail = 0.5f * polynomial * bell;
  return {u < 0.0f ? tail : 1.0f - tail, bell};
}

// Each thread owns eight columns of the block's rows, so sums need no exchange.
template <typename T>
__global__ void __launch_bounds__(GELU_THREADS)
    gelu_bias_forward_kernel(const T* __restrict__ x, const float* __restrict__ bias, int rows, int columns,
                             int rows_per_block, T* __restrict__ y) {
  const int column = 8 * (block_x() * GELU_THREADS + thread_index());
  if (column >= columns) return;
  float b[8];
  load8_shared(b, bias + column);
  const int first = block_y() * rows_per_block;
  const int end = min(first + rows_per_block, rows);
#pragma unroll 2
  for (int row = first; row < end; ++row) {
    const int64_t at = static_cast<int64_t>(row) * columns + column;
    float u[8];
    load8(u, x + at);
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      u[e] += b[e];
      u[e] *= normal_distribution(u[e]).distribution;
    }
    store8(y + at, u);
  }
}

// partial: [ceil(rows / rows_per_block)][columns].
template <typename T>
__global__ void __launch_bounds__(GELU_THREADS)
    gelu_bias_backward_kernel(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ bias,
                              int rows, int columns, int rows_per_block, T* __restrict__ dx,
                              float* __restrict__ partial) {
  const int column = 8 * (block_x() * GELU_THREADS + thread_index());
  if (column >= columns) return;
  float b[8], sums[8];
  load8_shared(b, bias + column);
#pragma unroll
  for (int e = 0; e < 8; ++e) sums[e] = 0.0f;
  const int first = block_y() * rows_per_block;
  const int end = min(first + rows_per_block, rows);
#pragma unroll 2
  for (int row = first; row < end; ++row) {
    const int64_t at = static_cast<int64_t>(row) * columns + column;
    float u[8], d[8];
    load8(u, x + at);
    load8(d, dy + at);
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      u[e] += b[e];
      // gelu'(u) = Phi(u) + u phi(u)
      const Normal normal = normal_distribution(u[e]);
      d[e] *= normal.distribution + u[e] * 0.3989422804014327f * normal.bell;
      sums[e] += d[e];
    }
    store8(dx + at, d);
  }
  store8(partial + static_cast<int64_t>(block_y()) * columns + column, sums);
}

}  // namespace camtl
