// The embedding layer in one pass:
//   z = word[id] + token_type[segment] + position[p],
//   y = FiLM_t(dropout(LN(z) * w + b)).
#pragma once

#include "rows/layer_norm.cuh"

namespace camtl {

struct EmbeddingTables {
  const int* input_ids;       // [N]
  const int* token_type_ids;  // [N]
  const int* position_ids;    // [N]
  const float* word;
  const float* token_type;
  const float* position;
  const float* weight;
  const float* bias;
  const float* gamma;  // [T, columns], or null: no FiLM
  const float* beta;
  float eps;
  DropoutCall dropout;
};

template <typename T, int CHUNKS, bool DROPOUT>
__global__ void __launch_bounds__(32 * ROW_WARPS)
    embedding_forward_kernel(EmbeddingTables in, RowLayout layout, int columns, T* __restrict__ y, T* __restrict__ z,
                             float* __restrict__ means, float* __restrict__ rstds) {
  const int row = block_x() * ROW_WARPS + warp_index();
  const int lane = lane_index();
  if (row >= layout.rows) return;
  const int64_t offset = static_cast<int64_t>(row) * columns;
  const RowPlace place = row_place(layout, row);
  const DropoutKey key = DROPOUT ? dropout_key(in.dropout) : DropoutKey{0, 0};
  const float* const word = in.word + static_cast<int64_t>(load_readonly(in.input_ids + row)) * columns;
  const float* const type = in.token_type + static_cast<int64_t>(load_readonly(in.token_type_ids + row)) * columns;
  const float* const position = in.position + static_cast<int64_t>(load_readonly(in.position_ids + row)) * columns;
  float v[CHUNKS][8];
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int column = 8 * (lane + 32 * i);
#pragma unroll
    for (int e = 0; e < 8; ++e) v[i][e] = 0.0f;
    if (column < columns && place.exists()) {
      float t[8], p[8];
      load8_shared(v[i], word + column);
      load8_shared(t, type + column);
      load8_shared(p, position + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        v[i][e] += t[e] + p[e];
        sum += v[i][e];
      }
    }
  }
  const float mean = warp_sum(sum) / static_cast<float>(columns);
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    if (8 * (lane + 32 * i) < columns) {
#pragma unroll
      for (int e = 0; e < 8; ++e) squares += (v[i][e] - mean) * (v[i][e] - mean);
    }
  }
  const float rstd = place.exists() ? reciprocal_sqrt(warp_sum(squares) / static_cast<float>(columns) + in.eps) : 0.0f;
  if (lane == 0 && means != nullptr) {
    means[row] = mean;
    rstds[row] = rstd;
  }
  const int64_t table = static_cast<int64_t>(place.task) * columns;
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int chunk = lane + 32 * i;
    const int column = 8 * chunk;
    if (column >= columns) continue;
    if (z != nullptr) store8(z + offset + column, v[i]);
    float w[8], b[8];
    load8_shared(w, in.weight + column);
    load8_shared(b, in.bias + column);
#pragma unroll
    for (int e = 0; e < 8; ++e) v[i][e] = (v[i][e] - mean) * rstd * w[e] + b[e];
    if (DROPOUT) drop8(v[i], key, in.dropout, place, chunk);
    if (in.gamma != nullptr) {
      float g[8], s[8];
      load8_shared(g, in.gamma + table + column);
      load8_shared(s, in.beta + table + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) v[i][e] = (1.0f + g[e]) * v[i][e] + s[e];
    }
    if (!place.exists()) {
#pragma unroll
      for (int e = 0; e < 8; ++e) v[i][e] = 0.0f;
    }
    store8(y + offset + column, v[i]);
  }
}

// dz per row, and per segment the sums for dweight, dbias and (with FiLM) dgamma, dbeta.
// partial: [S][FILM ? 4 : 2][columns].
template <typename T, int CHUNKS, bool DROPOUT, bool FILM>
__global__ void __launch_bounds__(32 * ROW_WARPS, resident_blocks<CHUNKS>())
    embedding_backward_kernel(EmbeddingTables in, RowLayout layout, Segments segments, int columns,
                              const T* __restrict__ dy, const T* __restrict__ z, const float* __restrict__ means,
                              const float* __restrict__ rstds, float* __restrict__ dz, float* __restrict__ partial) {
  constexpr int SUMS = FILM ? 4 : 2;
  const int lane = lane_index();
  const int* const segment = segments.list + 4 * block_x();
  const int end = segment[1];
  const float* const gamma = FILM ? in.gamma + static_cast<int64_t>(segment[2]) * columns : nullptr;
  const DropoutKey key = DROPOUT ? dropout_key(in.dropout) : DropoutKey{0, 0};
  ColumnSums<SUMS, CHUNKS> sums;
  sums.clear();
  for (int row = segment[0] + warp_index(); row < end; row += ROW_WARPS) {
    const int64_t offset = static_cast<int64_t>(row) * columns;
    const float mean = means[row], rstd = rstds[row];
    const RowPlace place = DROPOUT ? row_place(layout, row) : RowPlace{0, 0, 0};
    float gradient[CHUNKS][8];
    float sum = 0.0f, dot = 0.0f;
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
      const int chunk = lane + 32 * i;
      const int column = 8 * chunk;
#pragma unroll
      for (int e = 0; e < 8; ++e) gradient[i][e] = 0.0f;
      if (column >= columns) continue;
      float normed[8], w[8];
      load8(normed, z + offset + column);
      load8(gradient[i], dy + offset + column);
      load8_shared(w, in.weight + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) normed[e] = (normed[e] - mean) * rstd;
      if (FILM) {
        float b[8], g[8], before[8];
        load8_shared(b, in.bias + column);
        load8_shared(g, gamma + column);
#pragma unroll
        for (int e = 0; e < 8; ++e) before[e] = normed[e] * w[e] + b[e];
        if (DROPOUT) drop8(before, key, in.dropout, place, chunk);
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          sums.values[SUMS - 2][i][e] += gradient[i][e] * before[e];
          sums.values[SUMS - 1][i][e] += gradient[i][e];
          gradient[i][e] *= 1.0f + g[e];
        }
      }
      if (DROPOUT) drop8(gradient[i], key, in.dropout, place, chunk);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        sums.values[0][i][e] += gradient[i][e] * normed[e];
        sums.values[1][i][e] += gradient[i][e];
        gradient[i][e] *= w[e];
        sum += gradient[i][e];
        dot += gradient[i][e] * normed[e];
      }
    }
    sum = warp_sum(sum) / static_cast<float>(columns);
    dot = warp_sum(dot) / static_cast<float>(columns);
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
      const int column = 8 * (lane + 32 * i);
      if (column >= columns) continue;
      // z again, from the cache: four sums leave no registers to keep it in.
      float normed[8];
      load8(normed, z + offset + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        gradient[i][e] = rstd * (gradient[i][e] - sum - (normed[e] - mean) * rstd * dot);
      }
      store8(dz + offset + column, gradient[i]);
    }
  }
  sums.flush(reinterpret_cast<float*>(dynamic_shared()),
             partial + static_cast<int64_t>(block_x()) * SUMS * columns, columns, ROW_WARPS);
}

}  // namespace camtl
