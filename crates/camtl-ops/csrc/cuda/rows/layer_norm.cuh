// Conditional layer norm with the dropout and the residual before it:
//   z = dropout(x) + residual,  y = (z - mean) * rstd * w_t + b_t,
// t the task of the row. One warp per row, the row in registers.
#pragma once

#include "rows/column_sums.cuh"
#include "rows/place.cuh"

namespace camtl {

// A table with a row per task, or (stride 0) one row for all.
struct TaskTable {
  const float* rows;
  int64_t stride;
  __device__ __forceinline__ const float* row(int task) const { return rows + task * stride; }
};

template <typename T>
struct LayerNormForward {
  const T* x;
  const T* residual;  // or null
  TaskTable weight, bias;
  float eps;
  DropoutCall dropout;
  T* y;
  // What the backward pass reads; null when there is none. z is null when it equals x.
  T* z;
  float* mean;
  float* rstd;
};

template <typename T, int CHUNKS, bool DROPOUT>
__global__ void __launch_bounds__(32 * ROW_WARPS)
    layer_norm_forward_kernel(LayerNormForward<T> op, RowLayout layout, int columns) {
  const int row = block_x() * ROW_WARPS + warp_index();
  const int lane = lane_index();
  if (row >= layout.rows) return;
  const int64_t offset = static_cast<int64_t>(row) * columns;
  const RowPlace place = row_place(layout, row);
  const DropoutKey key = DROPOUT ? dropout_key(op.dropout) : DropoutKey{0, 0};
  float z[CHUNKS][8];
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int chunk = lane + 32 * i;
#pragma unroll
    for (int e = 0; e < 8; ++e) z[i][e] = 0.0f;
    // Rows of no sequence become zeros, so that products over all rows stay finite.
    if (8 * chunk < columns && place.exists()) {
      load8(z[i], op.x + offset + 8 * chunk);
      if (DROPOUT) drop8(z[i], key, op.dropout, place, chunk);
      if (op.residual != nullptr) {
        float r[8];
        load8(r, op.residual + offset + 8 * chunk);
#pragma unroll
        for (int e = 0; e < 8; ++e) z[i][e] += r[e];
      }
    }
#pragma unroll
    for (int e = 0; e < 8; ++e) sum += z[i][e];
  }
  const float mean = warp_sum(sum) / static_cast<float>(columns);
  // The row is in registers: a second pass over it costs nothing and loses no digits.
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    if (8 * (lane + 32 * i) < columns) {
#pragma unroll
      for (int e = 0; e < 8; ++e) squares += (z[i][e] - mean) * (z[i][e] - mean);
    }
  }
  const float rstd = place.exists() ? reciprocal_sqrt(warp_sum(squares) / static_cast<float>(columns) + op.eps) : 0.0f;
  if (lane == 0 && op.mean != nullptr) {
    op.mean[row] = mean;
    op.rstd[row] = rstd;
  }
  const float* const weight = op.weight.row(place.task);
  const float* const bias = op.bias.row(place.task);
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int column = 8 * (lane + 32 * i);
    if (column >= columns) continue;
    if (op.z != nullptr) store8(op.z + offset + column, z[i]);
    float w[8], b[8], y[8];
    load8_shared(w, weight + column);
    load8_shared(b, bias + column);
#pragma unroll
    for (int e = 0; e < 8; ++e) y[e] = place.exists() ? (z[i][e] - mean) * rstd * w[e] + b[e] : 0.0f;
    store8(op.y + offset + column, y);
  }
}

template <typename T>
struct LayerNormBackward {
  const T* dy;
  const T* z;
  const float* mean;
  const float* rstd;
  TaskTable weight;
  DropoutCall dropout;
  T* dz;           // gradient of the residual, and of x when there is no dropout
  T* dx;           // gradient of x; null when it equals dz
  float* partial;  // [S][2 or 3][columns]: dweight, dbias and, if wanted, column sums of dx
};

// A row as it is read, for its turn in the backward pass.
template <typename T, int CHUNKS>
struct LayerNormRow {
  Packed8<T> z[CHUNKS], dy[CHUNKS];
  float mean, rstd;

  __device__ __forceinline__ void load(const LayerNormBackward<T>& op, int row, int columns) {
    const int64_t offset = static_cast<int64_t>(row) * columns;
    mean = load_readonly(op.mean + row);
    rstd = load_readonly(op.rstd + row);
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
      const int column = 8 * (lane_index() + 32 * i);
      if (column < columns) {
        z[i].load(op.z + offset + column);
        dy[i].load(op.dy + offset + column);
      }
    }
  }
};

// One block per segment; its warps take the rows in turn. A bf16 row is read while
// the one before it is worked on: few warps fit beside each other's column sums, and
// alone they would wait for memory most of the time.
template <typename T, int CHUNKS, bool DROPOUT, bool SUM_DX>
__global__ void __launch_bounds__(32 * ROW_WARPS, resident_blocks<CHUNKS>())
    layer_norm_backward_kernel(LayerNormBackward<T> op, RowLayout layout, Segments segments, int columns) {
  constexpr int SUMS = SUM_DX ? 3 : 2;
  constexpr bool AHEAD = sizeof(T) == 2;
  const int lane = lane_index();
  const int* const segment = segments.list + 4 * block_x();
  const int end = segment[1];
  const float* const weight = op.weight.row(segment[2]);
  const DropoutKey key = DROPOUT ? dropout_key(op.dropout) : DropoutKey{0, 0};
  ColumnSums<SUMS, CHUNKS> sums;
  sums.clear();
  LayerNormRow<T, CHUNKS> next;
  const int first = segment[0] + warp_index();
  if (AHEAD && first < end) next.load(op, first, columns);
  for (int row = first; row < end; row += ROW_WARPS) {
    if (!AHEAD) next.load(op, row, columns);
    const LayerNormRow<T, CHUNKS> at = next;
    if (AHEAD && row + ROW_WARPS < end) next.load(op, row + ROW_WARPS, columns);
    const RowPlace place = DROPOUT ? row_place(layout, row) : RowPlace{0, 0, 0};
    float sum = 0.0f, dot = 0.0f;
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
      const int column = 8 * (lane + 32 * i);
      if (column >= columns) continue;
      float z[8], gradient[8], w[8];
      at.z[i].unpack(z);
      at.dy[i].unpack(gradient);
      load8_shared(w, weight + column);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const float normed = (z[e] - at.mean) * at.rstd;
        sums.values[0][i][e] += gradient[e] * normed;
        sums.values[1][i][e] += gradient[e];
        sum += gradient[e] * w[e];
        dot += gradient[e] * w[e] * normed;
      }
    }
    sum = warp_sum(sum) / static_cast<float>(columns);
    dot = warp_sum(dot) / static_cast<float>(columns);
    const int64_t offset = static_cast<int64_t>(row) * columns;
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
      const int chunk = lane + 32 * i;
      if (8 * chunk >= columns) continue;
      // Unpacked again rather than kept: registers are what is short here.
      float z[8], gradient[8], w[8];
      at.z[i].unpack(z);
      at.dy[i].unpack(gradient);
      load8_shared(w, weight + 8 * chunk);
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        gradient[e] = at.rstd * (gradient[e] * w[e] - sum - (z[e] - at.mean) * at.rstd * dot);
      }
      if (op.dz != nullptr) store8(op.dz + offset + 8 * chunk, gradient);
      if (DROPOUT) {
        drop8(gradient, key, op.dropout, place, chunk);
        store8(op.dx + offset + 8 * chunk, gradient);
      }
      if (SUM_DX) {
#pragma unroll
        for (int e = 0; e < 8; ++e) sums.values[SUMS - 1][i][e] += gradient[e];
      }
    }
  }
  sums.flush(reinterpret_cast<float*>(dynamic_shared()),
             op.partial + static_cast<int64_t>(block_x()) * SUMS * columns, columns, ROW_WARPS);
}

}  // namespace camtl
