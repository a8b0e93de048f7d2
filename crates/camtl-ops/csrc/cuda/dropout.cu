// Launches dropout by itself.
#include "rows/arguments.cuh"
#include "rows/dropout.cuh"

using namespace camtl;

extern "C" int camtl_cuda_dropout(const CamtlLayout* layout, int type, int columns, const void* x,
                                  CamtlDropout dropout, void* y, void* stream) {
  if (!columns_supported(columns)) return UNSUPPORTED;
  return with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return with_chunks(columns, [&](auto chunks) {
      return launch(dropout_kernel<T, decltype(chunks)::value>, row_blocks(layout->num_rows), 32 * ROW_WARPS, 0, stream,
                    static_cast<const T*>(x), dropout_call(dropout), row_layout(*layout), columns,
                    static_cast<T*>(y));
    });
  });
}
