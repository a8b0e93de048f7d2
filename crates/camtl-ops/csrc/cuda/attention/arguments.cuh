// From the C interface's structures to the kernels'.
#pragma once

#include "attention/gradients.cuh"
#include "attention/inputs.cuh"
#include "dropout_call.cuh"

namespace camtl {

// One kernel form serves 1..=128 rows, the other the rest.
constexpr int SINGLE_PASS_ROWS = 128;
constexpr int MAX_ROWS = 512;
// Grid dimensions other than x are 16 bits wide.
constexpr int MAX_SEQUENCES = 65535;

inline AttentionInputs attention_inputs(const CamtlAttention& a, const CamtlLayout& layout) {
  AttentionInputs in;
  in.q = static_cast<const bf16*>(a.q);
  in.k = static_cast<const bf16*>(a.k);
  in.v = static_cast<const bf16*>(a.v);
  in.q_stride = a.q_stride;
  in.kv_stride = a.kv_stride;
  in.cu_seqlens = layout.cu_seqlens;
  in.key_lengths = layout.key_lengths;
  in.tasks = layout.tasks;
  in.band = a.band;
  in.band_rows = a.band_rows;
  in.band_width = a.band_width;
  in.heads = a.heads;
  in.first_only = a.first_only;
  in.scale = a.scale;
  in.dropout = dropout_call(a.dropout);
  return in;
}

inline bool attention_supported(const CamtlAttention& a, const CamtlLayout& layout) {
  const bool band_fits =
      a.band == nullptr || (a.band_width > 0 && (a.first_only ? 1 : layout.max_length) <= a.band_rows);
  return (a.head_dim == 32 || a.head_dim == 64) && layout.max_length <= MAX_ROWS && a.heads > 0 &&
         layout.num_sequences <= MAX_SEQUENCES && a.q_stride % 8 == 0 && a.kv_stride % 8 == 0 && band_fits;
}

inline int query_rows(const CamtlAttention& a, const CamtlLayout& layout) {
  return a.first_only ? layout.num_sequences : layout.num_rows;
}

}  // namespace camtl
