// Launches the second stage of sums over rows.
#include "rows/segment_sum.cuh"

namespace camtl {

int segment_sum(const float* partial, int64_t stride, const int* offsets, int count, int tasks, int columns,
                       float* out, void* stream) {
  const dim3 grid(static_cast<unsigned>((columns + SEGMENT_SUM_COLUMNS - 1) / SEGMENT_SUM_COLUMNS),
                  static_cast<unsigned>(tasks), 1);
  constexpr int threads = SEGMENT_SUM_COLUMNS * SEGMENT_SUM_PARTS;
  return launch(segment_sum_kernel, grid, threads, threads * sizeof(float), stream, partial, stride, offsets, count,
                columns, out);
}

}  // namespace camtl
