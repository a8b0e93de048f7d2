// The second stage of sums over rows, for the launchers that need it.
#pragma once

#include <stdint.h>

namespace camtl {

// out[t, j] = sum of partial[s * stride + j] over the segments s of task t: those in
// offsets[t]..offsets[t + 1], or all `count` if offsets is null (then `tasks` is 1).
int segment_sum(const float* partial, int64_t stride, const int* offsets, int count, int tasks, int columns,
                float* out, void* stream);

}  // namespace camtl
