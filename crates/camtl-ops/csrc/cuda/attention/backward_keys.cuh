// Gradients of 16 keys and values from a run of queries: the transposed half of
// the attention's backward pass, shared by the single-pass and the blocked form.
#pragma once

#include "attention/scores.cuh"

namespace camtl {

// Per query, written by the half that owns query rows.
struct QueryStatistics {
  float log_sum;  // base-2 logarithm of the softmax's denominator, maximum included
  float delta;    // sum over keys of P * dP
  int band_start;  // first column of the query's band: a division that the keys need not repeat
};

__device__ __forceinline__ int band_start(const AttentionInputs& in, int position) {
  return in.band == nullptr ? 0 : position / in.band_width * in.band_width;
}

// Keep bits stored by the query half as ballots, or drawn again.
struct StoredKeep {
  // [query tile of 16][key tile of 8][element]: bit l of word e belongs to element e of lane l.
  const uint32_t* ballots;
  int key_tiles;
  __device__ __forceinline__ uint32_t bits(int key_row, int query_tile, int lane) const {
    const int g = lane >> 2, t = lane & 3;
    uint32_t keep = 0;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      // Element e of the transposed tile: key `key_row` + g (+ 8), query `query_tile` + 2t (+ 1).
      const int query = query_tile + 2 * t + (e & 1);
      const int word = ((query / 16) * key_tiles + key_row / 8 + (e >> 1)) * 4 + (query % 16 / 8) * 2 + (g & 1);
      keep |= (ballots[word] >> ((query % 8) * 4 + g / 2) & 1u) << e;
    }
    return keep;
  }
};

struct DrawnKeep {
  DropoutKey key;
  uint32_t threshold;
  int head, sequence, first_key, first_query;
  __device__ __forceinline__ uint32_t bits(int key_row, int query_tile, int lane) const {
    return keep_bits_transposed(key, threshold, first_key + key_row, first_query + query_tile + 2 * (lane & 3), head,
                                sequence, lane);
  }
};

// Adds to dk and dv what the queries in the tiles give. `row` is the warp's first
// key row in the key tiles, whose row 0 is key `first_key`; query tile rows start
// at position `first_query`.
template <int HEAD_DIM, bool DROPOUT, typename Keep>
__device__ __forceinline__ void accumulate_key_gradients(
    float (&dk)[HEAD_DIM / 8][4], float (&dv)[HEAD_DIM / 8][4], const uint32_t (&k)[HEAD_DIM / 16][4],
    const uint32_t (&v)[HEAD_DIM / 16][4], const bf16* tile_q, const bf16* tile_do, const QueryStatistics* statistics,
    const AttentionInputs& in, const SequenceRows& rows, int first_key, int row, int first_query, int query_rows,
    const Keep& keep, int lane) {
  const int g = lane >> 2, t = lane & 3;
  const float scale_log2 = in.scale * LOG2_E;
  const int key_upper = first_key + row + g, key_lower = key_upper + 8;
  const float* const band =
      in.band == nullptr ? nullptr : in.band + static_cast<int64_t>(rows.task) * in.band_rows * in.band_width;
  for (int query_tile = 0; query_tile < query_rows; query_tile += 16) {
    float p[2][4], ds[2][4];
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) p[n][e] = ds[n][e] = 0.0f;
    }
#pragma unroll
    for (int step = 0; step < HEAD_DIM / 16; ++step) {
      uint32_t b[4];
      load_b_rows<HEAD_DIM>(b, tile_q, query_tile, step, lane);
      multiply_accumulate(p[0], k[step], b[0], b[1]);
      multiply_accumulate(p[1], k[step], b[2], b[3]);
      load_b_rows<HEAD_DIM>(b, tile_do, query_tile, step, lane);
      multiply_accumulate(ds[0], v[step], b[0], b[1]);
      multiply_accumulate(ds[1], v[step], b[2], b[3]);
    }
    const int position = first_query + query_tile;
    const BandSpan span = band_span(in, position, min(position + 15, rows.queries - 1));
    const bool in_band = span.touches(first_key + row, 16);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const uint32_t kept = DROPOUT ? keep.bits(row, query_tile + 8 * n, lane) : 0u;
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int in_tile = query_tile + 8 * n + 2 * t + (e & 1);
        const int query = first_query + in_tile;
        const int column = e < 2 ? key_upper : key_lower;
        float score = p[n][e] * scale_log2;
        const QueryStatistics of_query = statistics[in_tile];
        if (in_band) {
          const BandRow entries{band + query * in.band_width, of_query.band_start, in.band_width};
          if (query < rows.queries) score += LOG2_E * entries.at(column);
        }
        float probability = column < rows.keys ? exp2_fast(score - of_query.log_sum) : 0.0f;
        float gradient = ds[n][e];
        if (DROPOUT) gradient = kept >> e & 1u ? gradient * in.dropout.scale : 0.0f;
        ds[n][e] = probability * (gradient - of_query.delta);
        if (DROPOUT) probability = kept >> e & 1u ? probability * in.dropout.scale : 0.0f;
        p[n][e] = probability;
      }
    }
    uint32_t a_p[4], a_ds[4];
    accumulators_to_a(a_p, p[0], p[1]);
    accumulators_to_a(a_ds, ds[0], ds[1]);
#pragma unroll
    for (int pair = 0; pair < HEAD_DIM / 16; ++pair) {
      uint32_t b[4];
      load_b_columns<HEAD_DIM>(b, tile_do, query_tile, pair, lane);
      multiply_accumulate(dv[2 * pair], a_p, b[0], b[1]);
      multiply_accumulate(dv[2 * pair + 1], a_p, b[2], b[3]);
      load_b_columns<HEAD_DIM>(b, tile_q, query_tile, pair, lane);
      multiply_accumulate(dk[2 * pair], a_ds, b[0], b[1]);
      multiply_accumulate(dk[2 * pair + 1], a_ds, b[2], b[3]);
    }
  }
}

template <int HEAD_DIM>
__device__ __forceinline__ void clear(float (&tile)[HEAD_DIM / 8][4]) {
#pragma unroll
  for (int n = 0; n < HEAD_DIM / 8; ++n) tile[n][0] = tile[n][1] = tile[n][2] = tile[n][3] = 0.0f;
}

}  // namespace camtl
