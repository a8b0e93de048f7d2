// Tiles of bf16 rows in shared memory, and the fragments the matrix unit reads.
#pragma once

#include "bf16.cuh"

namespace camtl {

__host__ __device__ constexpr int round_up(int x, int multiple) { return (x + multiple - 1) / multiple * multiple; }

// Element offset of 16-byte piece `chunk` of `row`. The pieces of a row are
// permuted by the row number so that the eight rows of a matrix load lie in
// different banks, without padding.
template <int HEAD_DIM>
__device__ __forceinline__ int tile_offset(int row, int chunk) {
  constexpr int chunks = HEAD_DIM / 8;
  constexpr int rows_per_line = 8 / chunks;  // rows in 128 bytes, the width of all banks
  return row * HEAD_DIM + ((chunk ^ (row / rows_per_line)) & (chunks - 1)) * 8;
}

// Starts copying `rows` rows into a tile, and zeros up to `padded_rows`.
template <int HEAD_DIM>
__device__ __forceinline__ void load_tile(bf16* tile, const bf16* source, int64_t stride, int rows, int padded_rows,
                                          int thread, int threads) {
  constexpr int chunks = HEAD_DIM / 8;
  for (int i = thread; i < padded_rows * chunks; i += threads) {
    const int row = i / chunks, chunk = i % chunks;
    const bool valid = row < rows;
    copy_async_16(tile + tile_offset<HEAD_DIM>(row, chunk), source + (valid ? row : 0) * stride + chunk * 8, valid);
  }
}

// A operand: rows `row`..+16, columns 16 * step..+16.
template <int HEAD_DIM>
__device__ __forceinline__ void load_a(uint32_t (&a)[4], const bf16* tile, int row, int step, int lane) {
  load_matrices(a, tile + tile_offset<HEAD_DIM>(row + (lane & 15), 2 * step + (lane >> 4)));
}

// B operands of two products whose n index runs over the tile's rows
// `row`..+8 (b[0], b[1]) and `row` + 8..+16 (b[2], b[3]), k over columns 16 * step..+16.
template <int HEAD_DIM>
__device__ __forceinline__ void load_b_rows(uint32_t (&b)[4], const bf16* tile, int row, int step, int lane) {
  load_matrices(b, tile + tile_offset<HEAD_DIM>(row + (lane & 7) + ((lane >> 4) << 3), 2 * step + ((lane >> 3) & 1)));
}

// B operands of two products whose k index runs over the tile's rows
// `row`..+16, n over columns 16 * pair..+8 (b[0], b[1]) and + 8..+16 (b[2], b[3]).
template <int HEAD_DIM>
__device__ __forceinline__ void load_b_columns(uint32_t (&b)[4], const bf16* tile, int row, int pair, int lane) {
  load_matrices_transposed(b, tile + tile_offset<HEAD_DIM>(row + (lane & 15), 2 * pair + (lane >> 4)));
}

// Two neighbouring accumulator tiles [16, 8] as one A operand [16, 16].
__device__ __forceinline__ void accumulators_to_a(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = pack_bf16(left[0], left[1]);
  a[1] = pack_bf16(left[2], left[3]);
  a[2] = pack_bf16(right[0], right[1]);
  a[3] = pack_bf16(right[2], right[3]);
}

// Sum and maximum over the four lanes that share an accumulator row.
__device__ __forceinline__ float quad_sum(float x) {
  x += shuffle_xor(x, 1);
  return x + shuffle_xor(x, 2);
}
__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, shuffle_xor(x, 1));
  return fmaxf(x, shuffle_xor(x, 2));
}

// Writes 16 accumulator rows as bf16 through `stage` (16 rows of shared memory
// that only this warp uses), so that global stores are 16 bytes wide. The factor
// may differ between the upper and the lower eight rows.
template <int HEAD_DIM>
__device__ __forceinline__ void store_rows(bf16* destination, int64_t stride, int rows, bf16* stage,
                                           const float (&tile)[HEAD_DIM / 8][4], float upper, float lower, int lane) {
  constexpr int chunks = HEAD_DIM / 8;
  const int g = lane >> 2, t = lane & 3;
  sync_warp();  // the lanes may still be reading what the stage held before
#pragma unroll
  for (int n = 0; n < chunks; ++n) {
    *reinterpret_cast<uint32_t*>(stage + tile_offset<HEAD_DIM>(g, n) + 2 * t) =
        pack_bf16(tile[n][0] * upper, tile[n][1] * upper);
    *reinterpret_cast<uint32_t*>(stage + tile_offset<HEAD_DIM>(g + 8, n) + 2 * t) =
        pack_bf16(tile[n][2] * lower, tile[n][3] * lower);
  }
  sync_warp();
#pragma unroll
  for (int i = lane; i < 16 * chunks; i += 32) {
    const int row = i / chunks, chunk = i % chunks;
    if (row < rows) {
      *reinterpret_cast<uint4*>(destination + row * stride + chunk * 8) =
          *reinterpret_cast<const uint4*>(stage + tile_offset<HEAD_DIM>(row, chunk));
    }
  }
}

}  // namespace camtl
