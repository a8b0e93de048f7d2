// From the C interface's structures to the row kernels', and from run-time widths
// and types to instances.
#pragma once

#include "dropout_call.cuh"
#include "rows/layer_norm.cuh"

namespace camtl {

inline RowLayout row_layout(const CamtlLayout& layout) {
  return {layout.cu_seqlens, layout.row_sequences, layout.tasks, layout.num_rows};
}
inline Segments segments(const CamtlLayout& layout) {
  return {layout.segments, layout.segment_offsets, layout.num_segments, layout.num_tasks};
}
inline TaskTable task_table(const CamtlTaskTable& table) { return {table.rows, table.stride}; }

inline bool columns_supported(int columns) { return columns > 0 && columns % 8 == 0 && columns <= MAX_COLUMNS; }

inline dim3 row_blocks(int rows) { return dim3(static_cast<unsigned>((rows + ROW_WARPS - 1) / ROW_WARPS), 1, 1); }

template <int VALUE>
struct Constant {
  static constexpr int value = VALUE;
};
template <typename T>
struct Type {
  using type = T;
};

// Calls body(Constant<CHUNKS>) for the number of 256-column pieces of a row.
template <typename Body>
int with_chunks(int columns, Body body) {
  switch ((columns + 255) / 256) {
    case 1: return body(Constant<1>{});
    case 2: return body(Constant<2>{});
    case 3: return body(Constant<3>{});
    default: return body(Constant<4>{});
  }
}

// Calls body(Type<T>) for the activations' type.
template <typename Body>
int with_type(int type, Body body) {
  return type == CAMTL_BF16 ? body(Type<bf16>{}) : body(Type<float>{});
}

template <typename Body>
int with_flag(bool flag, Body body) {
  return flag ? body(Constant<1>{}) : body(Constant<0>{});
}

}  // namespace camtl
