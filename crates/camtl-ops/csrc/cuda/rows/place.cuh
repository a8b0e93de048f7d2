// Which sequence, position and task a row belongs to, and its dropout mask.
#pragma once

#include "philox.cuh"

namespace camtl {

struct RowLayout {
  const int* cu_seqlens;     // [B + 1]
  const int* row_sequences;  // [N], -1: the row belongs to no sequence
  const int* tasks;          // [B]
  int rows;
};

struct RowPlace {
  int sequence, position, task;
  __device__ __forceinline__ bool exists() const { return sequence >= 0; }
};

__device__ __forceinline__ RowPlace row_place(const RowLayout& layout, int row) {
  const int sequence = load_readonly(layout.row_sequences + row);
  if (sequence < 0) return {-1, 0, 0};
  return {sequence, row - load_readonly(layout.cu_seqlens + sequence), load_readonly(layout.tasks + sequence)};
}

// Multiplies columns 8 * chunk.. by the mask of the row.
__device__ __forceinline__ void drop8(float (&x)[8], const DropoutKey& key, const DropoutCall& dropout,
                                      const RowPlace& place, int chunk) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint32_t keep =
        keep_nibble(key, dropout.threshold, 2 * chunk + half, place.position, 0, place.sequence);
#pragma unroll
    for (int k = 0; k < 4; ++k) x[4 * half + k] = keep >> k & 1u ? x[4 * half + k] * dropout.scale : 0.0f;
  }
}

// A run of rows of one task: the unit of work of the backward passes, whose
// per-task sums are written once per segment and added in a second kernel.
struct Segments {
  const int* list;     // [S, 4]: first row, end row, task, 0
  const int* offsets;  // [T + 1]: segments by task
  int count, tasks;
};

}  // namespace camtl
