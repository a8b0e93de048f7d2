// Loss and entropy of each sequence under its own head, from the logits of all
// heads side by side (one matrix product).
#pragma once

#include "bf16.cuh"
#include "logarithm.cuh"
#include "rows/vectors.cuh"

namespace camtl {

constexpr int HEADS_WARPS = 4;
// A class that means "no label": loss and gradient 0.
constexpr int IGNORED_CLASS = -100;

struct Heads {
  const int* offsets;     // [T + 1]: columns of each task's head in the logits
  const int* regression;  // [T]: 1 for a squared error
  const int* tasks;       // [B]
  int sequences;
  int columns;            // row length of the logits
};

struct HeadTargets {
  const int* classes;   // [B]
  const float* scores;  // [B]; NaN: no label
};

// Largest logit of the slice and the logarithm of the sum of exponentials, over a warp.
template <typename T>
__device__ __forceinline__ float log_sum_exp(const T* logits, int count, int lane) {
  float largest = -INFINITY;
  for (int c = lane; c < count; c += 32) largest = fmaxf(largest, to_float(logits[c]));
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, shuffle_xor(largest, mask));
  float sum = 0.0f;
  for (int c = lane; c < count; c += 32) sum += exp2_fast((to_float(logits[c]) - largest) * LOG2_E);
  return largest + log2_fast(warp_sum(sum)) * LN_2;
}

// loss[b]: cross-entropy in nats or squared error (null: not wanted);
// entropy[b]: of the softmax, in nats; 0 for regressions. One warp per sequence.
template <typename T>
__global__ void __launch_bounds__(32 * HEADS_WARPS)
    heads_forward_kernel(const T* __restrict__ logits, Heads heads, HeadTargets targets, float* __restrict__ loss,
                         float* __restrict__ entropy) {
  const int b = block_x() * HEADS_WARPS + warp_index();
  const int lane = lane_index();
  if (b >= heads.sequences) return;
  const int task = heads.tasks[b];
  const int first = heads.offsets[task], count = heads.offsets[task + 1] - first;
  const T* const row = logits + static_cast<int64_t>(b) * heads.columns + first;
  if (heads.regression[task]) {
    if (lane == 0) {
      entropy[b] = 0.0f;
      if (loss != nullptr) {
        const float error = to_float(row[0]) - targets.scores[b];
        // A NaN score is a missing label.
        loss[b] = targets.scores[b] == targets.scores[b] ? error * error : 0.0f;
      }
    }
    return;
  }
  const float log_sum = log_sum_exp(row, count, lane);
  float sum = 0.0f;
  for (int c = lane; c < count; c += 32) {
    const float log_p = to_float(row[c]) - log_sum;
    const float p = exp2_fast(log_p * LOG2_E);
    // A class of probability 0 adds 0, not 0 times infinity.
    sum -= p > 0.0f ? p * log_p : 0.0f;
  }
  sum = warp_sum(sum);
  if (lane == 0) {
    entropy[b] = sum;
    if (loss != nullptr) {
      const int label = targets.classes[b];
      // A class that is not the head's is the caller's error; it must be seen, not read out of bounds.
      const bool known = label >= 0 && label < count;
      loss[b] = known ? log_sum - to_float(row[label]) : label == IGNORED_CLASS ? 0.0f : NAN;
    }
  }
}

// dlogits[b, :] = dloss[b] times the loss's gradient in the sequence's own head, 0 in the others.
template <typename T>
__global__ void __launch_bounds__(32 * HEADS_WARPS)
    heads_backward_kernel(const T* __restrict__ logits, Heads heads, HeadTargets targets,
                          const float* __restrict__ dloss, T* __restrict__ dlogits) {
  const int b = block_x() * HEADS_WARPS + warp_index();
  const int lane = lane_index();
  if (b >= heads.sequences) return;
  const int task = heads.tasks[b];
  const int first = heads.offsets[task], count = heads.offsets[task + 1] - first;
  const T* const row = logits + static_cast<int64_t>(b) * heads.columns + first;
  T* const gradient = dlogits + static_cast<int64_t>(b) * heads.columns;
  const bool regression = heads.regression[task] != 0;
  const float log_sum = regression ? 0.0f : log_sum_exp(row, count, lane);
  const int label = regression ? 0 : targets.classes[b];
  const bool labelled = regression ? targets.scores[b] == targets.scores[b] : label != IGNORED_CLASS;
  const float factor = dloss[b];
  for (int column = lane; column < heads.columns; column += 32) {
    const int c = column - first;
    float value = 0.0f;
    if (c >= 0 && c < count && labelled) {
      const float logit = to_float(row[c]);
      value = regression ? 2.0f * (logit - targets.scores[b])
                         : exp2_fast((logit - log_sum) * LOG2_E) - (c == label ? 1.0f : 0.0f);
      value *= factor;
    }
    assign(gradient[column], value);
  }
}

}  // namespace camtl
