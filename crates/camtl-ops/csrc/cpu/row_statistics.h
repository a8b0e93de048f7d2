// Mean and deviation of a row, and room to hold one.
#pragma once
#include "simd.h"

namespace camtl {
namespace CAMTL_ISA {

// Rows are short enough for the stack at any model size in use; longer ones
// take blocks from the heap.
constexpr int64_t kStackColumns = 4096;

template <typename T>
struct RowBuffer {
  T on_stack[kStackColumns + 64] __attribute__((aligned(64)));
  T* data;

  explicit RowBuffer(int64_t columns) {
    data = columns <= kStackColumns ? on_stack : static_cast<T*>(__builtin_malloc((columns + 64) * sizeof(T)));
  }
  ~RowBuffer() {
    if (data != on_stack) __builtin_free(data);
  }
};

// Mean and 1/sqrt(variance + eps) of a row.
template <typename T>
CAMTL_INLINE void statistics(const T* z, int64_t columns, double eps, T* mean, T* rstd) {
  constexpr int width = Simd<T>::width;
  Vec<T> sum[4] = {};
  int64_t j = 0;
  for (; j + 4 * width <= columns; j += 4 * width) {
    for (int u = 0; u < 4; ++u) sum[u] += load<T>(z + j + u * width);
  }
  T rest = total<T>((sum[0] + sum[1]) + (sum[2] + sum[3]));
  for (; j < columns; ++j) rest += z[j];
  const T center = rest / T(columns);
  Vec<T> square[4] = {};
  for (j = 0; j + 4 * width <= columns; j += 4 * width) {
    for (int u = 0; u < 4; ++u) {
      const Vec<T> d = load<T>(z + j + u * width) - center;
      square[u] += d * d;
    }
  }
  rest = total<T>((square[0] + square[1]) + (square[2] + square[3]));
  for (; j < columns; ++j) rest += (z[j] - center) * (z[j] - center);
  *mean = center;
  *rstd = T(1.0 / __builtin_sqrt(double(rest) / double(columns) + eps));
}

}  // namespace CAMTL_ISA
}  // namespace camtl
