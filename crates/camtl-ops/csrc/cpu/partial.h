// Per-task gradients: each row segment sums its rows into a part of its own,
// then the parts of a task are added in order. Columns go in parallel in the
// second step, so neither step depends on the number of threads.
#pragma once
#include "../kernels.h"
#include "simd.h"

namespace camtl {
namespace CAMTL_ISA {

// dtable[task][column] = sum over segments of that task of partial[segment].
// `stride` elements lie between the parts of consecutive segments. A table with
// one row takes all segments.
template <typename T>
static void add_parts(const CamtlLayout& layout, const T* partial, int64_t stride, int64_t columns, int64_t tasks,
                      T* dtable) {
#pragma omp for schedule(static)
  for (int64_t block = 0; block < (columns + 63) / 64; ++block) {
    const int64_t from = block * 64, to = from + 64 < columns ? from + 64 : columns;
    for (int64_t t = 0; t < tasks; ++t) {
      for (int64_t c = from; c < to; ++c) dtable[t * columns + c] = T(0);
    }
    for (int64_t s = 0; s < layout.row_segments; ++s) {
      const int64_t task = tasks == 1 ? 0 : layout.row_segment[3 * s + 2];
      T* row = dtable + task * columns;
      const T* part = partial + s * stride;
      for (int64_t c = from; c < to; ++c) row[c] += part[c];
    }
  }
}

template <typename T>
CAMTL_INLINE void clear(T* p, int64_t count) {
  for (int64_t i = 0; i < count; ++i) p[i] = T(0);
}

}  // namespace CAMTL_ISA
}  // namespace camtl
