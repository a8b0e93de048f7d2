// Conditional attention, backward, any length, in two kernels that each own what
// they write: one block per 64 queries for dq and the band, one per 64 keys for dk
// and dv. The second draws the dropout mask again, transposed.
#pragma once

#include "attention/backward_keys.cuh"
#include "attention/backward_queries.cuh"
#include "attention/forward_blocked.cuh"

namespace camtl {

template <int HEAD_DIM>
constexpr size_t attention_backward_blocked_shared() {
  return 7 * sizeof(bf16) * BLOCK_ROWS * HEAD_DIM + 2 * sizeof(QueryStatistics) * BLOCK_ROWS;
}

// delta = dout . out per query and head, which equals the sum over keys of P * dP.
// Two lanes share a row.
template <int HEAD_DIM>
__device__ __forceinline__ void compute_deltas(QueryStatistics* statistics, const bf16* out, int64_t out_stride,
                                               const bf16* dout, int64_t dout_stride, int rows, int lane) {
  const int row = lane >> 1;
  float sum = 0.0f;
  if (row < rows) {
#pragma unroll
    for (int i = 0; i < HEAD_DIM / 16; ++i) {
      const int chunk = (lane & 1) * (HEAD_DIM / 16) + i;
      const uint4 a = *reinterpret_cast<const uint4*>(out + row * out_stride + chunk * 8);
      const uint4 b = *reinterpret_cast<const uint4*>(dout + row * dout_stride + chunk * 8);
      sum += low_float(a.x) * low_float(b.x) + high_float(a.x) * high_float(b.x);
      sum += low_float(a.y) * low_float(b.y) + high_float(a.y) * high_float(b.y);
      sum += low_float(a.z) * low_float(b.z) + high_float(a.z) * high_float(b.z);
      sum += low_float(a.w) * low_float(b.w) + high_float(a.w) * high_float(b.w);
    }
  }
  sum += shuffle_xor(sum, 1);
  if ((lane & 1) == 0) statistics[row].delta = sum;
  sync_warp();
}

// Two blocks per multiprocessor are asked for, not because more would not fit but
// because the compiler otherwise spills a few registers for a third.
template <int HEAD_DIM, bool DROPOUT>
__global__ void __launch_bounds__(32 * BLOCK_WARPS, 2)
    attention_backward_queries_kernel(AttentionInputs in, AttentionGradients gradients, const bf16* __restrict__ out,
                                      int64_t out_stride, const float* __restrict__ log_sums,
                                      float* __restrict__ deltas) {
  constexpr int COLUMN_TILES = BLOCK_ROWS / 8;
  constexpr int TILE = BLOCK_ROWS * HEAD_DIM;
  const int first_query = block_x() * BLOCK_ROWS;
  const int head = block_y();
  const int lane = lane_index(), warp = warp_index();
  const int g = lane >> 2;
  const SequenceRows rows = sequence_rows(in, block_z());
  const int64_t first_row = static_cast<int64_t>(rows.query_begin) + first_query;
  bf16* const dq = gradients.dq + first_row * gradients.dq_stride + head * HEAD_DIM;
  if (rows.queries == 0 && in.first_only && first_query == 0) {
    if (thread_index() < HEAD_DIM) assign(dq[thread_index()], 0.0f);
    return;
  }
  if (first_query >= rows.queries) return;

  bf16* const tile_q = reinterpret_cast<bf16*>(dynamic_shared());
  bf16* const tile_do = tile_q + TILE;
  bf16* const tiles_k = tile_do + TILE;
  bf16* const tiles_v = tiles_k + 2 * TILE;
  bf16* const stage_rows = tiles_v + 2 * TILE + 16 * warp * HEAD_DIM;
  QueryStatistics* const statistics = reinterpret_cast<QueryStatistics*>(tiles_v + 3 * TILE) + 16 * warp;
  const int query_count = min(rows.queries - first_query, BLOCK_ROWS);
  const bf16* const dout = gradients.dout + first_row * gradients.dout_stride + head * HEAD_DIM;
  load_tile<HEAD_DIM>(tile_q, in.q + first_row * in.q_stride + head * HEAD_DIM, in.q_stride, query_count,
                      round_up(query_count, 16), thread_index(), 32 * BLOCK_WARPS);
  load_tile<HEAD_DIM>(tile_do, dout, gradients.dout_stride, query_count, round_up(query_count, 16), thread_index(),
                      32 * BLOCK_WARPS);
  load_keys_and_values<HEAD_DIM>(tiles_k, tiles_v, in, rows, head, 0);
  copy_async_commit();
  const DropoutKey key = DROPOUT ? dropout_key(in.dropout) : DropoutKey{0, 0};

  const int row = 16 * warp;
  const bool active = row < query_count;
  const int upper = first_query + row + g, lower = upper + 8;
  const BandRow band_upper = band_row(in, rows.task, upper, upper < rows.queries);
  const BandRow band_lower = band_row(in, rows.task, lower, lower < rows.queries);
  const BandSpan span = band_span(in, first_query + row, min(first_query + row + 15, rows.queries - 1));
  float log_upper = 0.0f, log_lower = 0.0f, delta_upper = 0.0f, delta_lower = 0.0f;
  if (active) {
    compute_deltas<HEAD_DIM>(statistics, out + (first_row + row) * out_stride + head * HEAD_DIM, out_stride,
                             dout + row * gradients.dout_stride, gradients.dout_stride, query_count - row, lane);
    delta_upper = statistics[g].delta;
    delta_lower = statistics[g + 8].delta;
    const int64_t at = (static_cast<int64_t>(rows.query_begin) + upper) * in.heads + head;
    const int64_t at_lower = at + 8 * static_cast<int64_t>(in.heads);
    if (upper < rows.queries) log_upper = log_sums[at];
    if (lower < rows.queries) log_lower = log_sums[at_lower];
    if ((lane & 3) == 0) {
      if (upper < rows.queries) deltas[at] = delta_upper;
      if (lower < rows.queries) deltas[at_lower] = delta_lower;
    }
  }
  float dq_tile[HEAD_DIM / 8][4];
  clear<HEAD_DIM>(dq_tile);

  for (int first_key = 0, stage = 0; first_key < rows.keys; first_key += BLOCK_ROWS, stage ^= 1) {
    if (first_key + BLOCK_ROWS < rows.keys) {
      load_keys_and_values<HEAD_DIM>(tiles_k + (stage ^ 1) * TILE, tiles_v + (stage ^ 1) * TILE, in, rows, head,
                                     first_key + BLOCK_ROWS);
    }
    copy_async_commit();
    copy_async_wait<1>();
    sync_block();
    if (active) {
      const int padded_keys = round_up(min(rows.keys - first_key, BLOCK_ROWS), 16);
      float p[COLUMN_TILES][4], ds[COLUMN_TILES][4];
      // The fragments are read again for each run of keys: cheaper than keeping
      // them in registers beside two score tiles.
      uint32_t a[HEAD_DIM / 16][4];
#pragma unroll
      for (int step = 0; step < HEAD_DIM / 16; ++step) load_a<HEAD_DIM>(a[step], tile_q, row, step, lane);
      multiply_rows<HEAD_DIM, COLUMN_TILES>(p, a, tiles_k + stage * TILE, padded_keys, lane);
      scale_and_mask<COLUMN_TILES>(p, in.scale, band_upper, band_lower, span, first_key, rows.keys, lane);
#pragma unroll
      for (int step = 0; step < HEAD_DIM / 16; ++step) load_a<HEAD_DIM>(a[step], tile_do, row, step, lane);
      multiply_rows<HEAD_DIM, COLUMN_TILES>(ds, a, tiles_v + stage * TILE, padded_keys, lane);
#pragma unroll
      for (int n = 0; n < COLUMN_TILES; ++n) {
        if (8 * n < padded_keys) {
          uint32_t keep = 0xfu;
          if (DROPOUT) keep = keep_bits(key, in.dropout.threshold, upper, first_key + 8 * n, head, rows.index, lane);
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const float probability = exp2_fast(p[n][e] - (e < 2 ? log_upper : log_lower));
            float gradient = ds[n][e];
            if (DROPOUT) gradient = keep >> e & 1u ? gradient * in.dropout.scale : 0.0f;
            ds[n][e] = probability * (gradient - (e < 2 ? delta_upper : delta_lower));
          }
        }
      }
      if (gradients.band.rows != nullptr) {
        store_band_gradient<COLUMN_TILES>(
            ds, upper < rows.queries ? gradients.band.row(rows.query_begin + upper, head) : nullptr,
            lower < rows.queries ? gradients.band.row(rows.query_begin + lower, head) : nullptr, band_upper.start,
            band_lower.start, in.band_width, span, first_key, rows.keys, lane);
      }
      multiply_columns<HEAD_DIM, COLUMN_TILES>(dq_tile, ds, tiles_k + stage * TILE, padded_keys, lane);
    }
    sync_block();
  }
  if (!active) return;
  store_rows<HEAD_DIM>(dq + row * gradients.dq_stride, gradients.dq_stride, query_count - row, stage_rows, dq_tile,
                       in.scale, in.scale, lane);
}

// Starts copying query rows first..first + 64 with their dout, and their statistics.
template <int HEAD_DIM>
__device__ __forceinline__ void load_queries(bf16* tile_q, bf16* tile_do, QueryStatistics* statistics,
                                             const AttentionInputs& in, const AttentionGradients& gradients,
                                             const SequenceRows& rows, const float* log_sums, const float* deltas,
                                             int head, int first) {
  const int64_t first_row = static_cast<int64_t>(rows.query_begin) + first;
  const int count = min(rows.queries - first, BLOCK_ROWS);
  const int padded = round_up(count, 16);
  load_tile<HEAD_DIM>(tile_q, in.q + first_row * in.q_stride + head * HEAD_DIM, in.q_stride, count, padded,
                      thread_index(), 32 * BLOCK_WARPS);
  load_tile<HEAD_DIM>(tile_do, gradients.dout + first_row * gradients.dout_stride + head * HEAD_DIM,
                      gradients.dout_stride, count, padded, thread_index(), 32 * BLOCK_WARPS);
  const int i = thread_index();
  if (i < padded) {
    const int64_t at = (first_row + i) * in.heads + head;
    statistics[i] = i < count ? QueryStatistics{log_sums[at], deltas[at], band_start(in, first + i)}
                              : QueryStatistics{0.0f, 0.0f, 0};
  }
}

template <int HEAD_DIM, bool DROPOUT>
__global__ void __launch_bounds__(32 * BLOCK_WARPS)
    attention_backward_keys_kernel(AttentionInputs in, AttentionGradients gradients, const float* __restrict__ log_sums,
                                   const float* __restrict__ deltas) {
  constexpr int TILE = BLOCK_ROWS * HEAD_DIM;
  const int first_key = block_x() * BLOCK_ROWS;
  const int head = block_y();
  const int lane = lane_index(), warp = warp_index();
  const SequenceRows rows = sequence_rows(in, block_z());
  if (first_key >= rows.length) return;

  bf16* const tile_k = reinterpret_cast<bf16*>(dynamic_shared());
  bf16* const tile_v = tile_k + TILE;
  bf16* const tiles_q = tile_v + TILE;
  bf16* const tiles_do = tiles_q + 2 * TILE;
  bf16* const stage_rows = tiles_do + 2 * TILE + 16 * warp * HEAD_DIM;
  QueryStatistics* const statistics = reinterpret_cast<QueryStatistics*>(tiles_do + 3 * TILE);
  const int row = 16 * warp;
  const bool has_keys = first_key < rows.keys;  // the same for the whole block
  const bool active = first_key + row < rows.keys;
  float dk[HEAD_DIM / 8][4], dv[HEAD_DIM / 8][4];
  clear<HEAD_DIM>(dk);
  clear<HEAD_DIM>(dv);
  if (has_keys) {
    load_keys_and_values<HEAD_DIM>(tile_k, tile_v, in, rows, head, first_key);
    load_queries<HEAD_DIM>(tiles_q, tiles_do, statistics, in, gradients, rows, log_sums, deltas, head, 0);
    copy_async_commit();
    const DropoutKey key = DROPOUT ? dropout_key(in.dropout) : DropoutKey{0, 0};
    uint32_t k[HEAD_DIM / 16][4], v[HEAD_DIM / 16][4];
    for (int first_query = 0, stage = 0; first_query < rows.queries; first_query += BLOCK_ROWS, stage ^= 1) {
      if (first_query + BLOCK_ROWS < rows.queries) {
        load_queries<HEAD_DIM>(tiles_q + (stage ^ 1) * TILE, tiles_do + (stage ^ 1) * TILE,
                               statistics + (stage ^ 1) * BLOCK_ROWS, in, gradients, rows, log_sums, deltas, head,
                               first_query + BLOCK_ROWS);
      }
      copy_async_commit();
      copy_async_wait<1>();
      sync_block();
      if (active) {
        if (first_query == 0) {
#pragma unroll
          for (int step = 0; step < HEAD_DIM / 16; ++step) {
            load_a<HEAD_DIM>(k[step], tile_k, row, step, lane);
            load_a<HEAD_DIM>(v[step], tile_v, row, step, lane);
          }
        }
        accumulate_key_gradients<HEAD_DIM, DROPOUT>(
            dk, dv, k, v, tiles_q + stage * TILE, tiles_do + stage * TILE, statistics + stage * BLOCK_ROWS, in, rows,
            first_key, row, first_query, round_up(min(rows.queries - first_query, BLOCK_ROWS), 16),
            DrawnKeep{key, in.dropout.threshold, head, rows.index, first_key, first_query}, lane);
      }
      sync_block();
    }
  }
  const int remaining = rows.length - first_key - row;
  if (remaining <= 0) return;
  const int64_t at = (static_cast<int64_t>(rows.begin) + first_key + row) * gradients.dkv_stride + head * HEAD_DIM;
  store_rows<HEAD_DIM>(gradients.dk + at, gradients.dkv_stride, remaining, stage_rows, dk, in.scale, in.scale, lane);
  store_rows<HEAD_DIM>(gradients.dv + at, gradients.dkv_stride, remaining, stage_rows, dv, 1.0f, 1.0f, lane);
}

}  // namespace camtl
