// Conditional attention, forward, any length: 64 queries per block, keys in runs of
// 64 with the softmax rescaled as larger scores appear.
//
// Used beyond 128 rows, where a whole row of scores no longer fits in registers.
// Saves the base-2 logarithm of each softmax's denominator for the backward pass.
#pragma once

#include "attention/scores.cuh"

namespace camtl {

constexpr int BLOCK_ROWS = 64;
constexpr int BLOCK_WARPS = BLOCK_ROWS / 16;

template <int HEAD_DIM>
constexpr size_t attention_forward_blocked_shared() {
  return 5 * sizeof(bf16) * BLOCK_ROWS * HEAD_DIM;
}

// Starts copying key and value rows first..first + 64 of a sequence.
template <int HEAD_DIM>
__device__ __forceinline__ void load_keys_and_values(bf16* tile_k, bf16* tile_v, const AttentionInputs& in,
                                                     const SequenceRows& rows, int head, int first) {
  const int64_t offset = static_cast<int64_t>(rows.begin + first) * in.kv_stride + head * HEAD_DIM;
  const int count = min(rows.keys - first, BLOCK_ROWS);
  const int padded = round_up(count, 16);
  load_tile<HEAD_DIM>(tile_k, in.k + offset, in.kv_stride, count, padded, thread_index(), 32 * BLOCK_WARPS);
  load_tile<HEAD_DIM>(tile_v, in.v + offset, in.kv_stride, count, padded, thread_index(), 32 * BLOCK_WARPS);
}

template <int HEAD_DIM, bool DROPOUT>
__global__ void __launch_bounds__(32 * BLOCK_WARPS)
    attention_forward_blocked_kernel(AttentionInputs in, bf16* __restrict__ out, int64_t out_stride,
                                     float* __restrict__ log_sums) {
  constexpr int COLUMN_TILES = BLOCK_ROWS / 8;
  constexpr int TILE = BLOCK_ROWS * HEAD_DIM;
  const int first_query = block_x() * BLOCK_ROWS;
  const int head = block_y();
  const int lane = lane_index(), warp = warp_index();
  const int g = lane >> 2;
  const SequenceRows rows = sequence_rows(in, block_z());
  out += (static_cast<int64_t>(rows.query_begin) + first_query) * out_stride + head * HEAD_DIM;
  if (rows.queries == 0 && in.first_only && first_query == 0) {
    if (thread_index() < HEAD_DIM) assign(out[thread_index()], 0.0f);
    return;
  }
  if (first_query >= rows.queries) return;

  bf16* const tile_q = reinterpret_cast<bf16*>(dynamic_shared());
  bf16* const tiles_k = tile_q + TILE;
  bf16* const tiles_v = tiles_k + 2 * TILE;
  const int query_count = min(rows.queries - first_query, BLOCK_ROWS);
  load_tile<HEAD_DIM>(
      tile_q, in.q + (static_cast<int64_t>(rows.query_begin) + first_query) * in.q_stride + head * HEAD_DIM,
      in.q_stride, query_count, round_up(query_count, 16), thread_index(), 32 * BLOCK_WARPS);
  load_keys_and_values<HEAD_DIM>(tiles_k, tiles_v, in, rows, head, 0);
  copy_async_commit();
  const DropoutKey key = DROPOUT ? dropout_key(in.dropout) : DropoutKey{0, 0};

  const int row = 16 * warp;
  const bool active = row < query_count;
  const int upper = first_query + row + g, lower = upper + 8;
  const BandRow band_upper = band_row(in, rows.task, upper, upper < rows.queries);
  const BandRow band_lower = band_row(in, rows.task, lower, lower < rows.queries);
  const BandSpan span = band_span(in, first_query + row, min(first_query + row + 15, rows.queries - 1));
  uint32_t a[HEAD_DIM / 16][4];
  float o[HEAD_DIM / 8][4];
#pragma unroll
  for (int n = 0; n < HEAD_DIM / 8; ++n) o[n][0] = o[n][1] = o[n][2] = o[n][3] = 0.0f;
  float max_upper = MASKED, max_lower = MASKED, sum_upper = 0.0f, sum_lower = 0.0f;

  for (int first_key = 0, stage = 0; first_key < rows.keys; first_key += BLOCK_ROWS, stage ^= 1) {
    if (first_key + BLOCK_ROWS < rows.keys) {
      load_keys_and_values<HEAD_DIM>(tiles_k + (stage ^ 1) * TILE, tiles_v + (stage ^ 1) * TILE, in, rows, head,
                                     first_key + BLOCK_ROWS);
    }
    // Committed even if empty, so that "all but the latest group" means this block.
    copy_async_commit();
    copy_async_wait<1>();
    sync_block();
    if (active) {
      if (first_key == 0) {
#pragma unroll
        for (int step = 0; step < HEAD_DIM / 16; ++step) load_a<HEAD_DIM>(a[step], tile_q, row, step, lane);
      }
      const int padded_keys = round_up(min(rows.keys - first_key, BLOCK_ROWS), 16);
      float s[COLUMN_TILES][4];
      multiply_rows<HEAD_DIM, COLUMN_TILES>(s, a, tiles_k + stage * TILE, padded_keys, lane);
      scale_and_mask<COLUMN_TILES>(s, in.scale, band_upper, band_lower, span, first_key, rows.keys, lane);
      float new_upper = max_upper, new_lower = max_lower;
#pragma unroll
      for (int n = 0; n < COLUMN_TILES; ++n) {
        new_upper = fmaxf(new_upper, fmaxf(s[n][0], s[n][1]));
        new_lower = fmaxf(new_lower, fmaxf(s[n][2], s[n][3]));
      }
      new_upper = quad_max(new_upper);
      new_lower = quad_max(new_lower);
      const float shrink_upper = exp2_fast(max_upper - new_upper), shrink_lower = exp2_fast(max_lower - new_lower);
      max_upper = new_upper;
      max_lower = new_lower;
      sum_upper *= shrink_upper;
      sum_lower *= shrink_lower;
#pragma unroll
      for (int n = 0; n < HEAD_DIM / 8; ++n) {
        o[n][0] *= shrink_upper;
        o[n][1] *= shrink_upper;
        o[n][2] *= shrink_lower;
        o[n][3] *= shrink_lower;
      }
#pragma unroll
      for (int n = 0; n < COLUMN_TILES; ++n) {
        if (8 * n < padded_keys) {
          s[n][0] = exp2_fast(s[n][0] - max_upper);
          s[n][1] = exp2_fast(s[n][1] - max_upper);
          s[n][2] = exp2_fast(s[n][2] - max_lower);
          s[n][3] = exp2_fast(s[n][3] - max_lower);
          sum_upper += s[n][0] + s[n][1];
          sum_lower += s[n][2] + s[n][3];
          if (DROPOUT) {
            const uint32_t keep =
                keep_bits(key, in.dropout.threshold, upper, first_key + 8 * n, head, rows.index, lane);
#pragma unroll
            for (int e = 0; e < 4; ++e) s[n][e] = keep >> e & 1u ? s[n][e] : 0.0f;
          }
        }
      }
#pragma unroll
      for (int step = 0; step < COLUMN_TILES / 2; ++step) {
        if (16 * step < padded_keys) {
          uint32_t p[4];
          accumulators_to_a(p, s[2 * step], s[2 * step + 1]);
#pragma unroll
          for (int pair = 0; pair < HEAD_DIM / 16; ++pair) {
            uint32_t b[4];
            load_b_columns<HEAD_DIM>(b, tiles_v + stage * TILE, 16 * step, pair, lane);
            multiply_accumulate(o[2 * pair], p, b[0], b[1]);
            multiply_accumulate(o[2 * pair + 1], p, b[2], b[3]);
          }
        }
      }
    }
    sync_block();  // before the next copy overwrites what was read here
  }
  if (!active) return;
  sum_upper = quad_sum(sum_upper);
  sum_lower = quad_sum(sum_lower);
  if (log_sums != nullptr && (lane & 3) == 0) {
    const int64_t at = static_cast<int64_t>(rows.query_begin) * in.heads + head;
    if (upper < rows.queries) log_sums[at + static_cast<int64_t>(upper) * in.heads] = max_upper + log2_fast(sum_upper);
    if (lower < rows.queries) log_sums[at + static_cast<int64_t>(lower) * in.heads] = max_lower + log2_fast(sum_lower);
  }
  const float factor = DROPOUT ? in.dropout.scale : 1.0f;
  store_rows<HEAD_DIM>(out + row * out_stride, out_stride, query_count - row, tile_q + row * HEAD_DIM, o,
                       factor / sum_upper, factor / sum_lower, lane);
}

}  // namespace camtl
