// Scores of 16 queries against a run of keys, in registers, in the base-2 domain:
// s = (scale * q k^T + M) * log2(e), so that exp is one ex2 instruction.
#pragma once

#include "attention/inputs.cuh"
#include "attention/tile.cuh"
#include "logarithm.cuh"

namespace camtl {

// Stands for minus infinity: exp2 of it is 0, and differences of two stay finite.
constexpr float MASKED = -1.0e30f;

// products[n] = rows of the A fragments times rows 8n..8n+8 of `tile`. Pairs of
// tiles at or beyond `padded_rows` (a multiple of 16, the same for the whole warp)
// are left zero.
template <int HEAD_DIM, int COLUMN_TILES>
__device__ __forceinline__ void multiply_rows(float (&products)[COLUMN_TILES][4],
                                              const uint32_t (&a)[HEAD_DIM / 16][4], const bf16* tile,
                                              int padded_rows, int lane) {
#pragma unroll
  for (int pair = 0; pair < COLUMN_TILES / 2; ++pair) {
#pragma unroll
    for (int e = 0; e < 4; ++e) products[2 * pair][e] = products[2 * pair + 1][e] = 0.0f;
    if (pair * 16 < padded_rows) {
#pragma unroll
      for (int step = 0; step < HEAD_DIM / 16; ++step) {
        uint32_t b[4];
        load_b_rows<HEAD_DIM>(b, tile, pair * 16, step, lane);
        multiply_accumulate(products[2 * pair], a[step], b[0], b[1]);
        multiply_accumulate(products[2 * pair + 1], a[step], b[2], b[3]);
      }
    }
  }
}

// Turns products into scores: scale, band, and the mask of columns beyond `keys`.
// Column 0 of the tile is key `first_column`. Tiles without a key cost little: a
// batch's longest sequence decides the instance, and most sequences are shorter.
template <int COLUMN_TILES>
__device__ __forceinline__ void scale_and_mask(float (&s)[COLUMN_TILES][4], float scale, const BandRow& upper,
                                               const BandRow& lower, const BandSpan& span, int first_column, int keys,
                                               int lane) {
  const float scale_log2 = scale * LOG2_E;
#pragma unroll
  for (int n = 0; n < COLUMN_TILES; ++n) {
    if (first_column + 8 * n >= keys) {
      s[n][0] = s[n][1] = s[n][2] = s[n][3] = MASKED;
      continue;
    }
    const int column = first_column + 8 * n + 2 * (lane & 3);
#pragma unroll
    for (int e = 0; e < 4; ++e) s[n][e] *= scale_log2;
    // Most tiles lie outside the band; the test is the same for the whole warp.
    if (span.touches(first_column + 8 * n, 8)) {
      s[n][0] += LOG2_E * upper.at(column);
      s[n][1] += LOG2_E * upper.at(column + 1);
      s[n][2] += LOG2_E * lower.at(column);
      s[n][3] += LOG2_E * lower.at(column + 1);
    }
    // Only the last tile has columns beyond the keys.
    if (first_column + 8 * n + 8 > keys) {
      if (column >= keys) s[n][0] = s[n][2] = MASKED;
      if (column + 1 >= keys) s[n][1] = s[n][3] = MASKED;
    }
  }
}

// Largest scores of this lane's two rows in the tiles below `padded_keys`.
template <int COLUMN_TILES>
__device__ __forceinline__ void row_maxima(const float (&s)[COLUMN_TILES][4], int padded_keys, float& upper, float& lower) {
  upper = lower = MASKED;
#pragma unroll
  for (int n = 0; n < COLUMN_TILES; ++n) {
    if (8 * n >= padded_keys) continue;
    upper = fmaxf(upper, fmaxf(s[n][0], s[n][1]));
    lower = fmaxf(lower, fmaxf(s[n][2], s[n][3]));
  }
  upper = quad_max(upper);
  lower = quad_max(lower);
}

// Keep bits of this lane's four elements of an accumulator tile whose rows are
// queries `row`, `row` + 8 and whose columns start at key `column` (a multiple of
// 8): bit e for element e. Two lanes share each group of four keys, so each of
// them draws one row's words and hands them over.
__device__ __forceinline__ uint32_t keep_bits(const DropoutKey& key, uint32_t threshold, int row, int column, int head,
                                              int sequence, int lane) {
  const int t = lane & 3;
  const int odd = t & 1;
  uint32_t nibbles =
      keep_nibble(key, threshold, column / 4 + (t >> 1), row + 8 * odd, head, sequence) << (4 * odd);
  nibbles |= shuffle_xor(nibbles, 1);
  const uint32_t upper = nibbles >> (2 * odd) & 3u;
  const uint32_t lower = nibbles >> (4 + 2 * odd) & 3u;
  return upper | lower << 2;
}

// The same for a transposed tile: rows are keys `key_row`, `key_row` + 8, columns
// are queries `query`, `query` + 1 of this lane. Four lanes share each group of
// four keys and draw one of the four (key half, query) pairs each.
__device__ __forceinline__ uint32_t keep_bits_transposed(const DropoutKey& key, uint32_t threshold, int key_tile,
                                                         int query, int head, int sequence, int lane) {
  const int g = lane >> 2;
  const int r = g & 3;
  // r = 0, 1: keys g/4*4.. of queries `query`, `query` + 1; r = 2, 3: eight keys on.
  uint32_t nibbles = keep_nibble(key, threshold, key_tile / 4 + (g >> 2) + 2 * (r >> 1), query + (r & 1), head,
                                 sequence)
                     << (4 * r);
  nibbles |= shuffle_xor(nibbles, 4);
  nibbles |= shuffle_xor(nibbles, 8);
  uint32_t keep = 0;
#pragma unroll
  for (int e = 0; e < 4; ++e) keep |= (nibbles >> (4 * e + r) & 1u) << e;
  return keep;
}

}  // namespace camtl
