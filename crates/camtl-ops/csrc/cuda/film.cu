// Launches the feature-wise linear modulation.
#include "rows/arguments.cuh"
#include "rows/film.cuh"
#include "rows/segment_sum.h"

using namespace camtl;

extern "C" int camtl_cuda_film_forward(const CamtlLayout* layout, int type, int columns, const void* x,
                                       const float* gamma, const float* beta, void* y, void* stream) {
  if (!columns_supported(columns)) return UNSUPPORTED;
  return with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return with_chunks(columns, [&](auto chunks) {
      return launch(film_forward_kernel<T, decltype(chunks)::value>, row_blocks(layout->num_rows), 32 * ROW_WARPS, 0,
                    stream, static_cast<const T*>(x), gamma, beta, row_layout(*layout), columns, static_cast<T*>(y));
    });
  });
}

extern "C" size_t camtl_cuda_film_backward_workspace(const CamtlLayout* layout, int columns) {
  return sizeof(float) * static_cast<size_t>(layout->num_segments) * 2 * static_cast<size_t>(columns);
}

extern "C" int camtl_cuda_film_backward(const CamtlLayout* layout, int type, int columns, const void* dy,
                                        const void* x, const float* gamma, void* dx, float* dgamma, float* dbeta,
                                        void* workspace, void* stream) {
  if (!columns_supported(columns)) return UNSUPPORTED;
  float* const partial = static_cast<float*>(workspace);
  int error = with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return with_chunks(columns, [&](auto chunks) {
      return launch(film_backward_kernel<T, decltype(chunks)::value>,
                    dim3(static_cast<unsigned>(layout->num_segments), 1, 1), 32 * ROW_WARPS,
                    sizeof(float) * static_cast<size_t>(2 * columns), stream, static_cast<const T*>(dy),
                    static_cast<const T*>(x), gamma, segments(*layout), columns, static_cast<T*>(dx), partial);
    });
  });
  for (int quantity = 0; quantity < 2 && error == 0; ++quantity) {
    error = segment_sum(partial + quantity * columns, 2 * static_cast<int64_t>(columns), layout->segment_offsets,
                        layout->num_segments, layout->num_tasks, columns, quantity == 0 ? dgamma : dbeta, stream);
  }
  return error;
}
