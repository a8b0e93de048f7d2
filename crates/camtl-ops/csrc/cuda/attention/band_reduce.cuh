// Sums the band's gradient over heads and over the sequences of each task.
#pragma once

#include "attention/gradients.cuh"
#include "attention/inputs.cuh"

namespace camtl {

constexpr int BAND_REDUCE_THREADS = 256;

// Sequences by task: those of task t are order[offsets[t]..offsets[t + 1]].
struct TaskOrder {
  const int* order;    // [B]
  const int* offsets;  // [T + 1]
};

// Row of the workspace at this block's position, and the entries it has; 0 if none.
struct BandReduceItem {
  int query_row, entries;
};

constexpr size_t band_reduce_shared() { return BAND_REDUCE_THREADS * (sizeof(float) + sizeof(BandReduceItem)); }

// dband[t, i, c] = sum over sequences of task t and heads. One block per (i, t);
// threads take (part of the sequences, c), and the parts are added in a fixed
// order, so two runs agree bit for bit.
__global__ void __launch_bounds__(BAND_REDUCE_THREADS)
    band_reduce_kernel(AttentionInputs in, BandGradient gradient, TaskOrder tasks, float* __restrict__ dband) {
  const int position = block_x(), task = block_y();
  const int width = gradient.width;
  const int columns = min(width, BAND_REDUCE_THREADS);
  const int parts = BAND_REDUCE_THREADS / columns;
  const int part = thread_index() / columns;
  float* const sums = reinterpret_cast<float*>(dynamic_shared());
  BandReduceItem* const items = reinterpret_cast<BandReduceItem*>(sums + BAND_REDUCE_THREADS);
  const int start = position / width * width;
  const int end = tasks.offsets[task + 1];
  dband += (static_cast<int64_t>(task) * in.band_rows + position) * width;
  for (int first_column = 0; first_column < width; first_column += columns) {
    const int c = first_column + thread_index() % columns;
    float sum = 0.0f;
    for (int first = tasks.offsets[task]; first < end; first += BAND_REDUCE_THREADS) {
      // Each thread looks up one sequence, so that the additions below wait for no index.
      if (first + thread_index() < end) {
        const SequenceRows rows = sequence_rows(in, tasks.order[first + thread_index()]);
        // Entries beyond the keys were never written.
        items[thread_index()] = {rows.query_begin + position,
                                 position < rows.queries ? min(width, rows.keys - start) : 0};
      }
      sync_block();
      const int count = min(end - first, BAND_REDUCE_THREADS);
      if (part < parts) {
        for (int s = part; s < count; s += parts) {
          if (c >= items[s].entries) continue;
          const float* row = gradient.row(items[s].query_row, 0) + c;
#pragma unroll 4
          for (int head = 0; head < gradient.heads; ++head) sum += load_readonly(row + head * width);
        }
      }
      sync_block();
    }
    sums[thread_index()] = sum;
    sync_block();
    if (part == 0 && c < width) {
      for (int other = 1; other < parts; ++other) sum += sums[other * columns + thread_index()];
      dband[c] = sum;
    }
    sync_block();
  }
}

}  // namespace camtl
