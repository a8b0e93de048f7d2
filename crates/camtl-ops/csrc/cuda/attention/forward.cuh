// Conditional attention, forward, sequences of at most MAX_KEYS (32, 64, 128) rows.
//
// One block per (head, sequence). All keys of a query lie in registers at once, so
// the softmax is exact and takes one pass. Nothing is saved for the backward
// pass: it recomputes the scores.
#pragma once

#include "attention/scores.cuh"

namespace camtl {

template <int HEAD_DIM, int MAX_KEYS>
constexpr size_t attention_forward_shared() {
  return 3 * sizeof(bf16) * MAX_KEYS * HEAD_DIM;
}

template <int HEAD_DIM, int MAX_KEYS, int WARPS, bool DROPOUT>
__global__ void __launch_bounds__(32 * WARPS)
    attention_forward_kernel(AttentionInputs in, bf16* __restrict__ out, int64_t out_stride) {
  constexpr int COLUMN_TILES = MAX_KEYS / 8;
  const int head = block_x();
  const int lane = lane_index(), warp = warp_index();
  const int g = lane >> 2;
  const SequenceRows rows = sequence_rows(in, block_y());
  out += static_cast<int64_t>(rows.query_begin) * out_stride + head * HEAD_DIM;
  if (rows.queries == 0) {
    // An empty sequence still has its row of first tokens, which is zero.
    if (in.first_only && thread_index() < HEAD_DIM) assign(out[thread_index()], 0.0f);
    return;
  }

  bf16* const tile_q = reinterpret_cast<bf16*>(dynamic_shared());
  bf16* const tile_k = tile_q + MAX_KEYS * HEAD_DIM;
  bf16* const tile_v = tile_k + MAX_KEYS * HEAD_DIM;
  const int padded_keys = round_up(rows.keys, 16);
  const int64_t kv_offset = static_cast<int64_t>(rows.begin) * in.kv_stride + head * HEAD_DIM;
  load_tile<HEAD_DIM>(tile_q, in.q + static_cast<int64_t>(rows.query_begin) * in.q_stride + head * HEAD_DIM,
                      in.q_stride, rows.queries, round_up(rows.queries, 16), thread_index(), 32 * WARPS);
  load_tile<HEAD_DIM>(tile_k, in.k + kv_offset, in.kv_stride, rows.keys, padded_keys, thread_index(), 32 * WARPS);
  copy_async_commit();
  load_tile<HEAD_DIM>(tile_v, in.v + kv_offset, in.kv_stride, rows.keys, padded_keys, thread_index(), 32 * WARPS);
  copy_async_commit();
  const DropoutKey key = DROPOUT ? dropout_key(in.dropout) : DropoutKey{0, 0};

  copy_async_wait<1>();
  sync_block();

  for (int tile = 0; tile * 16 < MAX_KEYS; tile += WARPS) {
    const int row = (tile + warp) * 16;
    const bool active = row < rows.queries;  // the same for the whole warp
    float s[COLUMN_TILES][4];
    if (active) {
      uint32_t a[HEAD_DIM / 16][4];
#pragma unroll
      for (int step = 0; step < HEAD_DIM / 16; ++step) load_a<HEAD_DIM>(a[step], tile_q, row, step, lane);
      multiply_rows<HEAD_DIM, COLUMN_TILES>(s, a, tile_k, padded_keys, lane);
    }
    if (tile == 0) {
      // The values were still on their way during the first scores.
      copy_async_wait<0>();
      sync_block();
    }
    if (!active) return;

    const int upper = row + g, lower = row + g + 8;
    scale_and_mask<COLUMN_TILES>(s, in.scale, band_row(in, rows.task, upper, upper < rows.queries),
                                 band_row(in, rows.task, lower, lower < rows.queries),
                                 band_span(in, row, min(row + 15, rows.queries - 1)), 0, rows.keys, lane);

    float max_upper, max_lower;
    row_maxima<COLUMN_TILES>(s, padded_keys, max_upper, max_lower);
    float sum_upper = 0.0f, sum_lower = 0.0f;
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
          const uint32_t keep = keep_bits(key, in.dropout.threshold, upper, 8 * n, head, rows.index, lane);
#pragma unroll
          for (int e = 0; e < 4; ++e) s[n][e] = keep >> e & 1u ? s[n][e] : 0.0f;
        }
      }
    }
    sum_upper = quad_sum(sum_upper);
    sum_lower = quad_sum(sum_lower);

    float o[HEAD_DIM / 8][4];
#pragma unroll
    for (int n = 0; n < HEAD_DIM / 8; ++n) o[n][0] = o[n][1] = o[n][2] = o[n][3] = 0.0f;
#pragma unroll
    for (int step = 0; step < COLUMN_TILES / 2; ++step) {
      if (16 * step < padded_keys) {
        uint32_t p[4];
        accumulators_to_a(p, s[2 * step], s[2 * step + 1]);
#pragma unroll
        for (int pair = 0; pair < HEAD_DIM / 16; ++pair) {
          uint32_t b[4];
          load_b_columns<HEAD_DIM>(b, tile_v, 16 * step, pair, lane);
          multiply_accumulate(o[2 * pair], p, b[0], b[1]);
          multiply_accumulate(o[2 * pair + 1], p, b[2], b[3]);
        }
      }
    }
    const float factor = DROPOUT ? in.dropout.scale : 1.0f;
    // The warp's own query rows are not read again: they become its stage.
    store_rows<HEAD_DIM>(out + row * out_stride, out_stride, rows.queries - row, tile_q + row * HEAD_DIM, o,
                         factor / sum_upper, factor / sum_lower, lane);
  }
}

}  // namespace camtl
