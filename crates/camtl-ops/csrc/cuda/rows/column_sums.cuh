// Sums over rows kept by a warp that walks down a segment, and their union over
// the warps of a block.
#pragma once

#include "rows/vectors.cuh"

namespace camtl {

// SUMS quantities for the columns 8 * (lane + 32 * i)..+8, i < CHUNKS, of one warp.
template <int SUMS, int CHUNKS>
struct ColumnSums {
  float values[SUMS][CHUNKS][8];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int q = 0; q < SUMS; ++q) {
#pragma unroll
      for (int i = 0; i < CHUNKS; ++i) {
#pragma unroll
        for (int e = 0; e < 8; ++e) values[q][i][e] = 0.0f;
      }
    }
  }

  // Writes the block's sums to partial[q * columns + j]; warps add in their order.
  // `shared` holds SUMS * columns floats. Every thread of the block must call this.
  __device__ __forceinline__ void flush(float* shared, float* __restrict__ partial, int columns, int warps) const {
    const int lane = lane_index(), warp = warp_index();
    for (int turn = 0; turn < warps; ++turn) {
      if (warp == turn) {
#pragma unroll
        for (int q = 0; q < SUMS; ++q) {
#pragma unroll
          for (int i = 0; i < CHUNKS; ++i) {
            const int column = 8 * (lane + 32 * i);
            if (column < columns) {
#pragma unroll
              for (int e = 0; e < 8; ++e) {
                float* const at = shared + q * columns + column + e;
                *at = turn == 0 ? values[q][i][e] : *at + values[q][i][e];
              }
            }
          }
        }
      }
      sync_block();
    }
    for (int i = thread_index(); i < SUMS * columns; i += block_threads()) partial[i] = shared[i];
  }
};

constexpr int ROW_WARPS = 4;

// Blocks per multiprocessor that a backward pass is compiled for. Left alone, the
// compiler aims higher and spills a few sums.
template <int CHUNKS>
constexpr int resident_blocks() {
  return CHUNKS >= 3 ? 2 : CHUNKS == 2 ? 3 : 4;
}

// Rows up to this many columns fit in the registers of one warp.
constexpr int MAX_COLUMNS = 1024;

}  // namespace camtl
