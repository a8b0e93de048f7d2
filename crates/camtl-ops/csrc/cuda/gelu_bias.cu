// Launches the GELU with bias.
#include "rows/arguments.cuh"
#include "rows/gelu_bias.cuh"
#include "rows/segment_sum.h"

using namespace camtl;

namespace {

int blocks_of_rows(int rows) {
  const int per_block = gelu_rows_per_block(rows);
  return (rows + per_block - 1) / per_block;
}

dim3 gelu_grid(int rows, int columns) {
  return dim3(static_cast<unsigned>((columns / 8 + GELU_THREADS - 1) / GELU_THREADS),
              static_cast<unsigned>(blocks_of_rows(rows)), 1);
}

}  // namespace

extern "C" int camtl_cuda_gelu_bias_forward(int type, int rows, int columns, const void* x, const float* bias, void* y,
                                            void* stream) {
  if (columns % 8 != 0) return UNSUPPORTED;
  return with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return launch(gelu_bias_forward_kernel<T>, gelu_grid(rows, columns), GELU_THREADS, 0, stream,
                  static_cast<const T*>(x), bias, rows, columns, gelu_rows_per_block(rows), static_cast<T*>(y));
  });
}

extern "C" size_t camtl_cuda_gelu_bias_backward_workspace(int rows, int columns) {
  return sizeof(float) * static_cast<size_t>(blocks_of_rows(rows)) * static_cast<size_t>(columns);
}

extern "C" int camtl_cuda_gelu_bias_backward(int type, int rows, int columns, const void* dy, const void* x,
                                             const float* bias, void* dx, float* dbias, void* workspace,
                                             void* stream) {
  if (columns % 8 != 0) return UNSUPPORTED;
  float* const partial = static_cast<float*>(workspace);
  const int error = with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return launch(gelu_bias_backward_kernel<T>, gelu_grid(rows, columns), GELU_THREADS, 0, stream,
                  static_cast<const T*>(dy), static_cast<const T*>(x), bias, rows, columns, gelu_rows_per_block(rows),
                  static_cast<T*>(dx), partial);
  });
  if (error != 0) return error;
  return segment_sum(partial, columns, nullptr, blocks_of_rows(rows), 1, columns, dbias, stream);
}
