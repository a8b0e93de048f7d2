// Launches the conditional layer norm.
#include "rows/arguments.cuh"
#include "rows/segment_sum.h"

using namespace camtl;

extern "C" int camtl_cuda_layer_norm_forward(const CamtlLayout* layout, int type, int columns, const void* x,
                                             const void* residual, CamtlTaskTable weight, CamtlTaskTable bias,
                                             float eps, CamtlDropout dropout, void* y, void* z, float* mean,
                                             float* rstd, void* stream) {
  if (!columns_supported(columns)) return UNSUPPORTED;
  return with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    const LayerNormForward<T> op{static_cast<const T*>(x), static_cast<const T*>(residual), task_table(weight),
                                 task_table(bias), eps, dropout_call(dropout), static_cast<T*>(y),
                                 static_cast<T*>(z), mean, rstd};
    return with_chunks(columns, [&](auto chunks) {
      return with_flag(dropout.on != 0, [&](auto drop) {
        return launch(layer_norm_forward_kernel<T, decltype(chunks)::value, decltype(drop)::value != 0>,
                      row_blocks(layout->num_rows), 32 * ROW_WARPS, 0, stream, op, row_layout(*layout), columns);
      });
    });
  });
}

extern "C" size_t camtl_cuda_layer_norm_backward_workspace(const CamtlLayout* layout, int columns, int dx_sums) {
  return sizeof(float) * static_cast<size_t>(layout->num_segments) * static_cast<size_t>(dx_sums ? 3 : 2) *
         static_cast<size_t>(columns);
}

extern "C" int camtl_cuda_layer_norm_backward(const CamtlLayout* layout, int type, int columns, const void* dy,
                                              const void* z, const float* mean, const float* rstd,
                                              CamtlTaskTable weight, int weight_tasks, int bias_tasks,
                                              CamtlDropout dropout, void* dz, void* dx, float* dweight, float* dbias,
                                              float* dx_sums, void* workspace, void* stream) {
  if (!columns_supported(columns)) return UNSUPPORTED;
  float* const partial = static_cast<float*>(workspace);
  const int sums = dx_sums != nullptr ? 3 : 2;
  int error = with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    const LayerNormBackward<T> op{static_cast<const T*>(dy), static_cast<const T*>(z), mean, rstd, task_table(weight),
                                  dropout_call(dropout), static_cast<T*>(dz), static_cast<T*>(dx), partial};
    return with_chunks(columns, [&](auto chunks) {
      return with_flag(dropout.on != 0, [&](auto drop) {
        return with_flag(dx_sums != nullptr, [&](auto sum_dx) {
          return launch(layer_norm_backward_kernel<T, decltype(chunks)::value, decltype(drop)::value != 0,
                                                   decltype(sum_dx)::value != 0>,
                        dim3(static_cast<unsigned>(layout->num_segments), 1, 1), 32 * ROW_WARPS,
                        sizeof(float) * static_cast<size_t>(sums * columns), stream, op, row_layout(*layout),
                        segments(*layout), columns);
        });
      });
    });
  });
  const int64_t stride = static_cast<int64_t>(sums) * columns;
  const auto add = [&](int quantity, int tasks, float* out) {
    if (error != 0 || out == nullptr) return;
    error = segment_sum(partial + quantity * columns, stride, tasks > 1 ? layout->segment_offsets : nullptr,
                        layout->num_segments, tasks, columns, out, stream);
  };
  add(0, weight_tasks, dweight);
  add(1, bias_tasks, dbias);
  add(2, 1, dx_sums);
  return error;
}
