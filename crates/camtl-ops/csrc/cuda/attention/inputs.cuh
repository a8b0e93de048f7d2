// What every attention kernel reads, and where a sequence's rows lie.
#pragma once

#include "bf16.cuh"
#include "philox.cuh"

namespace camtl {

// Packed attention with the additive band of the sequence's task:
//   out = dropout(softmax(scale * q k^T + M)) v,
//   M[i, j] = band[task, i, j - start(i)] where 0 <= j - start(i) < width, else 0,
//   start(i) = floor(i / width) * width.
// Position i must be below band_rows. q, k and v may be slices of one matrix.
struct AttentionInputs {
  const bf16* q;
  const bf16* k;
  const bf16* v;
  int64_t q_stride;   // elements between rows
  int64_t kv_stride;
  const int* cu_seqlens;    // [B + 1]
  const int* key_lengths;   // [B], or null: every row of a sequence is a key
  const int* tasks;         // [B]
  const float* band;        // [T, band_rows, band_width], or null
  int band_rows;
  int band_width;
  int heads;
  // Only the first row of each sequence is a query; q and out have one row per sequence.
  int first_only;
  float scale;
  DropoutCall dropout;
};

struct SequenceRows {
  int begin, length, keys;       // rows of k and v, and how many of them are attended
  int query_begin, queries;      // rows of q and out
  int index, task;
};

__device__ __forceinline__ SequenceRows sequence_rows(const AttentionInputs& in, int index) {
  SequenceRows rows;
  rows.index = index;
  rows.begin = in.cu_seqlens[index];
  rows.length = in.cu_seqlens[index + 1] - rows.begin;
  rows.keys = in.key_lengths != nullptr ? in.key_lengths[index] : rows.length;
  rows.query_begin = in.first_only ? index : rows.begin;
  rows.queries = in.first_only ? (rows.length > 0 ? 1 : 0) : rows.length;
  rows.task = in.tasks[index];
  return rows;
}

// One query's piece of the band: entries for columns start .. start + width.
struct BandRow {
  const float* entries;
  int start, width;

  __device__ __forceinline__ float at(int column) const {
    const int c = column - start;
    return static_cast<unsigned>(c) < static_cast<unsigned>(width) ? load_readonly(entries + c) : 0.0f;
  }
};

__device__ __forceinline__ BandRow band_row(const AttentionInputs& in, int task, int position, bool valid) {
  // A row that is no query has an empty band: nothing is read out of bounds for it.
  if (in.band == nullptr || !valid) return {in.band, 0, 0};
  const int64_t row = static_cast<int64_t>(task) * in.band_rows + position;
  return {in.band + row * in.band_width, position / in.band_width * in.band_width, in.band_width};
}

// Columns that the bands of positions first..=last can touch; [begin, end).
struct BandSpan {
  int begin, end;
  __device__ __forceinline__ bool touches(int column, int count) const {
    return column < end && column + count > begin;
  }
};

__device__ __forceinline__ BandSpan band_span(const AttentionInputs& in, int first, int last) {
  if (in.band == nullptr || last < first) return {0, 0};
  const int width = in.band_width;
  return {first / width * width, last / width * width + width};
}

}  // namespace camtl
