// Launches the embedding layer and the gradients of its tables.
#include "rows/arguments.cuh"
#include "rows/embedding.cuh"
#include "rows/segment_sum.h"
#include "rows/table_gradient.cuh"

using namespace camtl;

namespace {

EmbeddingTables tables(const CamtlEmbedding& e) {
  return {e.input_ids, e.token_type_ids, e.position_ids, e.word,  e.token_type, e.position,
          e.weight,    e.bias,           e.gamma,        e.beta, e.eps,        dropout_call(e.dropout)};
}

}  // namespace

extern "C" int camtl_cuda_embedding_forward(const CamtlLayout* layout, int type, int columns,
                                            const CamtlEmbedding* embedding, void* y, void* z, float* mean,
                                            float* rstd, void* stream) {
  if (!columns_supported(columns)) return UNSUPPORTED;
  return with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return with_chunks(columns, [&](auto chunks) {
      return with_flag(embedding->dropout.on != 0, [&](auto drop) {
        return launch(embedding_forward_kernel<T, decltype(chunks)::value, decltype(drop)::value != 0>,
                      row_blocks(layout->num_rows), 32 * ROW_WARPS, 0, stream, tables(*embedding),
                      row_layout(*layout), columns, static_cast<T*>(y), static_cast<T*>(z), mean, rstd);
      });
    });
  });
}

extern "C" size_t camtl_cuda_embedding_backward_workspace(const CamtlLayout* layout, int columns, int film) {
  return sizeof(float) * static_cast<size_t>(layout->num_segments) * static_cast<size_t>(film ? 4 : 2) *
         static_cast<size_t>(columns);
}

extern "C" int camtl_cuda_embedding_backward(const CamtlLayout* layout, int type, int columns,
                                             const CamtlEmbedding* embedding, const void* dy, const void* z,
                                             const float* mean, const float* rstd, float* dz, float* dweight,
                                             float* dbias, float* dgamma, float* dbeta, void* workspace,
                                             void* stream) {
  if (!columns_supported(columns)) return UNSUPPORTED;
  float* const partial = static_cast<float*>(workspace);
  const bool film = embedding->gamma != nullptr;
  const int sums = film ? 4 : 2;
  int error = with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return with_chunks(columns, [&](auto chunks) {
      return with_flag(embedding->dropout.on != 0, [&](auto drop) {
        return with_flag(film, [&](auto modulated) {
          return launch(embedding_backward_kernel<T, decltype(chunks)::value, decltype(drop)::value != 0,
                                                  decltype(modulated)::value != 0>,
                        dim3(static_cast<unsigned>(layout->num_segments), 1, 1), 32 * ROW_WARPS,
                        sizeof(float) * static_cast<size_t>(sums * columns), stream, tables(*embedding),
                        row_layout(*layout), segments(*layout), columns, static_cast<const T*>(dy),
                        static_cast<const T*>(z), mean, rstd, dz, partial);
        });
      });
    });
  });
  const int64_t stride = static_cast<int64_t>(sums) * columns;
  const auto add = [&](int quantity, bool per_task, float* out) {
    if (error != 0 || out == nullptr) return;
    error = segment_sum(partial + quantity * columns, stride, per_task ? layout->segment_offsets : nullptr,
                        layout->num_segments, per_task ? layout->num_tasks : 1, columns, out, stream);
  };
  add(0, false, dweight);
  add(1, false, dbias);
  if (film) {
    add(2, true, dgamma);
    add(3, true, dbeta);
  }
  return error;
}

extern "C" size_t camtl_cuda_table_gradient_workspace(int count, int columns) {
  const auto pieces = static_cast<size_t>((count + TABLE_PIECE - 1) / TABLE_PIECE);
  return sizeof(float) * 2 * pieces * static_cast<size_t>(columns);
}

extern "C" int camtl_cuda_table_gradient(const int* sorted, const int64_t* order, int count, int columns,
                                         const float* rows, float* table, void* workspace, void* stream) {
  if (!columns_supported(columns)) return UNSUPPORTED;
  float* const partial = static_cast<float*>(workspace);
  const SortedIds ids{sorted, order, count};
  return with_chunks(columns, [&](auto chunks) {
    constexpr int CHUNKS = decltype(chunks)::value;
    const int error = launch(table_gradient_pieces_kernel<CHUNKS>, row_blocks(count), 32 * ROW_WARPS, 0, stream, rows,
                             ids, columns, partial, table);
    if (error != 0) return error;
    return launch(table_gradient_ids_kernel<CHUNKS>, row_blocks(count), 32 * ROW_WARPS, 0, stream,
                  static_cast<const float*>(partial), ids, columns, table);
  });
}
