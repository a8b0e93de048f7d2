// The CUDA operations' C interface: raw device pointers, sizes, a stream; the
// result is a cudaError_t, or -1 if the shapes are not supported.
//
// Rows of different types: activations (bf16) are `const void*`; parameters,
// tables and statistics are float32; indices are int32. Every array is dense
// and aligned to 16 bytes; widths are multiples of 8. Nothing is allocated here:
// `*_workspace` functions say how many bytes the caller must bring.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Layout of a packed batch, on the device.
typedef struct {
  const int* cu_seqlens;      // [B + 1]
  const int* key_lengths;     // [B], or null: every row is a key
  const int* tasks;           // [B]
  const int* task_order;      // [B]: sequences sorted by task, stable
  const int* task_offsets;    // [T + 1]: where each task's sequences start in task_order
  const int* row_sequences;   // [N]: sequence of each row, -1 for rows of none
  const int* segments;        // [S, 4]: first row, end row, task, 0; runs of rows of one task
  const int* segment_offsets; // [T + 1]: segments by task
  int num_sequences;          // B
  int num_tasks;              // T
  int num_rows;               // N
  int num_segments;           // S
  int max_length;
} CamtlLayout;

// Dropout of one call; probability 0 means none. device_seed, if not null, wins over seed.
typedef struct {
  double probability;
  uint64_t seed;
  const uint64_t* device_seed;
} CamtlDropout;

// out = dropout(softmax(scale * q k^T + band)) v for head_dim 32 and 64 and up to
// 512 rows a sequence; see attention/inputs.cuh. With first_only, q and out have
// one row per sequence. band: [T, band_rows, band_width] or null.
typedef struct {
  const void* q;
  const void* k;
  const void* v;
  int64_t q_stride, kv_stride;  // elements between rows
  const float* band;
  int band_rows, band_width;
  int heads, head_dim;
  int first_only;
  float scale;
  CamtlDropout dropout;
} CamtlAttention;

// log_sums: [query rows, heads], needed by the backward pass of sequences above
// 128 rows (camtl_cuda_attention_saves_log_sums), else null.
int camtl_cuda_attention_saves_log_sums(int max_length);
int camtl_cuda_attention_forward(const CamtlAttention* attention, const CamtlLayout* layout, void* out,
                                 int64_t out_stride, float* log_sums, void* stream);

// dband: [T, band_rows, band_width] or null. out and log_sums are read only above 128 rows.
typedef struct {
  const void* dout;
  int64_t dout_stride;
  const void* out;
  int64_t out_stride;
  const float* log_sums;
  void* dq;
  int64_t dq_stride;
  void* dk;
  void* dv;
  int64_t dkv_stride;
  float* dband;
  void* workspace;
} CamtlAttentionGradients;

size_t camtl_cuda_attention_backward_workspace(const CamtlAttention* attention, const CamtlLayout* layout, int dband);
int camtl_cuda_attention_backward(const CamtlAttention* attention, const CamtlLayout* layout,
                                  const CamtlAttentionGradients* gradients, void* stream);

#ifdef __cplusplus
}
#endif
