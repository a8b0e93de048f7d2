// Where the attention's gradients are read and written.
#pragma once

#include "bf16.cuh"

namespace camtl {

// Where the band's gradient goes: one row of `width` entries per (query row, head),
// summed over heads and sequences by a second kernel. Entries at keys beyond the
// sequence's are not written.
struct BandGradient {
  float* rows;  // [query rows, heads, width], or null
  int heads, width;

  __device__ __forceinline__ float* row(int query_row, int head) const {
    return rows + (static_cast<int64_t>(query_row) * heads + head) * width;
  }
};

struct AttentionGradients {
  const bf16* dout;
  int64_t dout_stride;
  bf16* dq;
  int64_t dq_stride;
  bf16* dk;
  bf16* dv;
  int64_t dkv_stride;
  BandGradient band;
};

}  // namespace camtl
