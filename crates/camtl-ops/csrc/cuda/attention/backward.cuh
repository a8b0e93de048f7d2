// Conditional attention, backward, sequences of at most MAX_KEYS (64, 128) rows.
//
// One block per (head, sequence), no atomics. First warps own query rows: they
// recompute the probabilities, and with them in registers delta, the gradient of
// the queries and of the band follow without reading the forward's output. Then
// warps own key rows and recompute the scores transposed for the gradients of
// keys and values.
#pragma once

#include "attention/backward_keys.cuh"
#include "attention/backward_queries.cuh"

namespace camtl {

template <int HEAD_DIM, int MAX_KEYS, int WARPS>
constexpr size_t attention_backward_shared() {
  return sizeof(bf16) * HEAD_DIM * (4 * MAX_KEYS + 16 * WARPS) + sizeof(QueryStatistics) * MAX_KEYS +
         sizeof(uint32_t) * (MAX_KEYS / 16) * (MAX_KEYS / 8) * 4;
}

template <int HEAD_DIM, int MAX_KEYS, int WARPS, bool DROPOUT>
__global__ void __launch_bounds__(32 * WARPS, 2)
    attention_backward_kernel(AttentionInputs in, AttentionGradients gradients) {
  constexpr int COLUMN_TILES = MAX_KEYS / 8;
  const int head = block_x();
  const int lane = lane_index(), warp = warp_index();
  const int g = lane >> 2;
  const SequenceRows rows = sequence_rows(in, block_y());
  bf16* const dq = gradients.dq + static_cast<int64_t>(rows.query_begin) * gradients.dq_stride + head * HEAD_DIM;
  if (rows.queries == 0) {
    if (in.first_only && thread_index() < HEAD_DIM) assign(dq[thread_index()], 0.0f);
    return;
  }

  bf16* const tile_q = reinterpret_cast<bf16*>(dynamic_shared());
  bf16* const tile_do = tile_q + MAX_KEYS * HEAD_DIM;
  bf16* const tile_k = tile_do + MAX_KEYS * HEAD_DIM;
  bf16* const tile_v = tile_k + MAX_KEYS * HEAD_DIM;
  bf16* const stage = tile_v + (MAX_KEYS + 16 * warp) * HEAD_DIM;
  QueryStatistics* const statistics = reinterpret_cast<QueryStatistics*>(tile_v + (MAX_KEYS + 16 * WARPS) * HEAD_DIM);
  uint32_t* const ballots = reinterpret_cast<uint32_t*>(statistics + MAX_KEYS);

  const int padded_queries = round_up(rows.queries, 16);
  const int padded_keys = round_up(rows.keys, 16);
  // Rows beyond the keys get zero gradients below, so their tiles must hold zeros.
  const int padded_length = round_up(rows.length, 16);
  const int64_t kv_offset = static_cast<int64_t>(rows.begin) * in.kv_stride + head * HEAD_DIM;
  load_tile<HEAD_DIM>(tile_q, in.q + static_cast<int64_t>(rows.query_begin) * in.q_stride + head * HEAD_DIM,
                      in.q_stride, rows.queries, padded_queries, thread_index(), 32 * WARPS);
  load_tile<HEAD_DIM>(tile_k, in.k + kv_offset, in.kv_stride, rows.keys, padded_length, thread_index(), 32 * WARPS);
  copy_async_commit();
  load_tile<HEAD_DIM>(tile_do,
                      gradients.dout + static_cast<int64_t>(rows.query_begin) * gradients.dout_stride + head * HEAD_DIM,
                      gradients.dout_stride, rows.queries, padded_queries, thread_index(), 32 * WARPS);
  load_tile<HEAD_DIM>(tile_v, in.v + kv_offset, in.kv_stride, rows.keys, padded_length, thread_index(), 32 * WARPS);
  copy_async_commit();
  const DropoutKey key = DROPOUT ? dropout_key(in.dropout) : DropoutKey{0, 0};
  copy_async_wait<0>();
  sync_block();

  for (int row = 16 * warp; row < rows.queries; row += 16 * WARPS) {
    const int upper = row + g, lower = row + g + 8;
    const BandRow band_upper = band_row(in, rows.task, upper, upper < rows.queries);
    const BandRow band_lower = band_row(in, rows.task, lower, lower < rows.queries);
    const BandSpan span = band_span(in, row, min(row + 15, rows.queries - 1));
    if (DROPOUT) {
      // Drawn while the registers are free, and kept as bits: two kilobytes spare the
      // second half its Philox rounds too.
#pragma unroll 2
      for (int n = 0; 8 * n < padded_keys; ++n) {
        const uint32_t keep = keep_bits(key, in.dropout.threshold, upper, 8 * n, head, rows.index, lane);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const uint32_t word = ballot(keep >> e & 1u);
          if (lane == e) ballots[(row / 16 * COLUMN_TILES + n) * 4 + e] = word;
        }
      }
      sync_warp();
    }
    float p[COLUMN_TILES][4];
    {
      uint32_t a[HEAD_DIM / 16][4];
#pragma unroll
      for (int step = 0; step < HEAD_DIM / 16; ++step) load_a<HEAD_DIM>(a[step], tile_q, row, step, lane);
      multiply_rows<HEAD_DIM, COLUMN_TILES>(p, a, tile_k, padded_keys, lane);
    }
    scale_and_mask<COLUMN_TILES>(p, in.scale, band_upper, band_lower, span, 0, rows.keys, lane);
    float max_upper, max_lower;
    row_maxima<COLUMN_TILES>(p, padded_keys, max_upper, max_lower);
    float sum_upper = 0.0f, sum_lower = 0.0f;
#pragma unroll
    for (int n = 0; n < COLUMN_TILES; ++n) {
      if (8 * n >= padded_keys) continue;
      p[n][0] = exp2_fast(p[n][0] - max_upper);
      p[n][1] = exp2_fast(p[n][1] - max_upper);
      p[n][2] = exp2_fast(p[n][2] - max_lower);
      p[n][3] = exp2_fast(p[n][3] - max_lower);
      sum_upper += p[n][0] + p[n][1];
      sum_lower += p[n][2] + p[n][3];
    }
    sum_upper = quad_sum(sum_upper);
    sum_lower = quad_sum(sum_lower);
    const float inverse_upper = 1.0f / sum_upper, inverse_lower = 1.0f / sum_lower;

    float ds[COLUMN_TILES][4];
    {
      uint32_t a[HEAD_DIM / 16][4];
#pragma unroll
      for (int step = 0; step < HEAD_DIM / 16; ++step) load_a<HEAD_DIM>(a[step], tile_do, row, step, lane);
      multiply_rows<HEAD_DIM, COLUMN_TILES>(ds, a, tile_v, padded_keys, lane);
    }
    float delta_upper = 0.0f, delta_lower = 0.0f;
#pragma unroll
    for (int n = 0; n < COLUMN_TILES; ++n) {
      if (8 * n < padded_keys) {
        if (DROPOUT) {
          const uint4 kept = *reinterpret_cast<const uint4*>(ballots + (row / 16 * COLUMN_TILES + n) * 4);
          ds[n][0] = kept.x >> lane & 1u ? ds[n][0] * in.dropout.scale : 0.0f;
          ds[n][1] = kept.y >> lane & 1u ? ds[n][1] * in.dropout.scale : 0.0f;
          ds[n][2] = kept.z >> lane & 1u ? ds[n][2] * in.dropout.scale : 0.0f;
          ds[n][3] = kept.w >> lane & 1u ? ds[n][3] * in.dropout.scale : 0.0f;
        }
        p[n][0] *= inverse_upper;
        p[n][1] *= inverse_upper;
        p[n][2] *= inverse_lower;
        p[n][3] *= inverse_lower;
        delta_upper += p[n][0] * ds[n][0] + p[n][1] * ds[n][1];
        delta_lower += p[n][2] * ds[n][2] + p[n][3] * ds[n][3];
      }
    }
    delta_upper = quad_sum(delta_upper);
    delta_lower = quad_sum(delta_lower);
#pragma unroll
    for (int n = 0; n < COLUMN_TILES; ++n) {
      if (8 * n >= padded_keys) continue;
      ds[n][0] = p[n][0] * (ds[n][0] - delta_upper);
      ds[n][1] = p[n][1] * (ds[n][1] - delta_upper);
      ds[n][2] = p[n][2] * (ds[n][2] - delta_lower);
      ds[n][3] = p[n][3] * (ds[n][3] - delta_lower);
    }
    if ((lane & 3) == 0) {
      statistics[upper] = {max_upper + log2_fast(sum_upper), delta_upper, band_upper.start};
      statistics[lower] = {max_lower + log2_fast(sum_lower), delta_lower, band_lower.start};
    }
    if (gradients.band.rows != nullptr) {
      store_band_gradient<COLUMN_TILES>(
          ds, upper < rows.queries ? gradients.band.row(rows.query_begin + upper, head) : nullptr,
          lower < rows.queries ? gradients.band.row(rows.query_begin + lower, head) : nullptr, band_upper.start,
          band_lower.start, in.band_width, span, 0, rows.keys, lane);
    }
    float tile[HEAD_DIM / 8][4];
    clear<HEAD_DIM>(tile);
    multiply_columns<HEAD_DIM, COLUMN_TILES>(tile, ds, tile_k, padded_keys, lane);
    store_rows<HEAD_DIM>(dq + row * gradients.dq_stride, gradients.dq_stride, rows.queries - row, stage, tile,
                         in.scale, in.scale, lane);
  }
  sync_block();

  bf16* const dk = gradients.dk + static_cast<int64_t>(rows.begin) * gradients.dkv_stride + head * HEAD_DIM;
  bf16* const dv = gradients.dv + static_cast<int64_t>(rows.begin) * gradients.dkv_stride + head * HEAD_DIM;
  for (int row = 16 * warp; row < rows.length; row += 16 * WARPS) {
    float tile_dk[HEAD_DIM / 8][4], tile_dv[HEAD_DIM / 8][4];
    clear<HEAD_DIM>(tile_dk);
    clear<HEAD_DIM>(tile_dv);
    if (row < rows.keys) {
      uint32_t k[HEAD_DIM / 16][4], v[HEAD_DIM / 16][4];
#pragma unroll
      for (int step = 0; step < HEAD_DIM / 16; ++step) {
        load_a<HEAD_DIM>(k[step], tile_k, row, step, lane);
        load_a<HEAD_DIM>(v[step], tile_v, row, step, lane);
      }
      accumulate_key_gradients<HEAD_DIM, DROPOUT>(tile_dk, tile_dv, k, v, tile_q, tile_do, statistics, in, rows, 0, row,
                                                  0, padded_queries, StoredKeep{ballots, COLUMN_TILES}, lane);
    }
    store_rows<HEAD_DIM>(dk + row * gradients.dkv_stride, gradients.dkv_stride, rows.length - row, stage, tile_dk,
                         in.scale, in.scale, lane);
    store_rows<HEAD_DIM>(dv + row * gradients.dkv_stride, gradients.dkv_stride, rows.length - row, stage, tile_dv, 1.0f,
                         1.0f, lane);
  }
}

}  // namespace camtl
