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

// Visible outside the plugin: measured and checked one by one from Python on a GPU machine.
#pragma GCC visibility push(default)

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

// Dropout of one call; `on` = 0 for none. threshold = round(p * 2^32), scale = 1 / (1 - p).
// device_seed, if not null, wins over seed: a captured graph draws anew at each replay.
typedef struct {
  uint64_t seed;
  double scale;
  uint32_t threshold;
  int32_t on;
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

// Element type of activations.
enum { CAMTL_BF16 = 0, CAMTL_FLOAT32 = 1 };

// A float32 table with a row per task; stride 0: one row for all tasks.
typedef struct {
  const float* rows;
  int64_t stride;
} CamtlTaskTable;

// Row operations: `columns` is a multiple of 8 up to 1024 (gelu_bias: any multiple
// of 8). Rows of no sequence get zeros in the forward pass and are left alone in
// the backward pass. Per-task gradients are [T, columns], or [columns] for tables
// with stride 0.

// z = dropout(x) + residual; y = (z - mean) * rstd * weight_t + bias_t. residual
// may be null; so may z (then the backward pass reads x), and mean and rstd together.
int camtl_cuda_layer_norm_forward(const CamtlLayout* layout, int type, int columns, const void* x,
                                  const void* residual, CamtlTaskTable weight, CamtlTaskTable bias, float eps,
                                  CamtlDropout dropout, void* y, void* z, float* mean, float* rstd, void* stream);
// weight_tasks and bias_tasks: rows of dweight and dbias (1: the sum over all tasks).
// dx is written only with dropout; without, it equals dz. dx_sums ([columns], the
// column sums of dx, the bias gradient of the product before) may be null.
size_t camtl_cuda_layer_norm_backward_workspace(const CamtlLayout* layout, int columns, int dx_sums);
int camtl_cuda_layer_norm_backward(const CamtlLayout* layout, int type, int columns, const void* dy, const void* z,
                                   const float* mean, const float* rstd, CamtlTaskTable weight, int weight_tasks,
                                   int bias_tasks, CamtlDropout dropout, void* dz, void* dx, float* dweight,
                                   float* dbias, float* dx_sums, void* workspace, void* stream);

// y = dropout(x); the backward pass is the same on gradients.
int camtl_cuda_dropout(const CamtlLayout* layout, int type, int columns, const void* x, CamtlDropout dropout, void* y,
                       void* stream);

// y = (1 + gamma_t) x + beta_t; gamma and beta [T, columns].
int camtl_cuda_film_forward(const CamtlLayout* layout, int type, int columns, const void* x, const float* gamma,
                            const float* beta, void* y, void* stream);
size_t camtl_cuda_film_backward_workspace(const CamtlLayout* layout, int columns);
int camtl_cuda_film_backward(const CamtlLayout* layout, int type, int columns, const void* dy, const void* x,
                             const float* gamma, void* dx, float* dgamma, float* dbeta, void* workspace, void* stream);

// y = u Phi(u), u = x + bias.
int camtl_cuda_gelu_bias_forward(int type, int rows, int columns, const void* x, const float* bias, void* y,
                                 void* stream);
size_t camtl_cuda_gelu_bias_backward_workspace(int rows, int columns);
int camtl_cuda_gelu_bias_backward(int type, int rows, int columns, const void* dy, const void* x, const float* bias,
                                  void* dx, float* dbias, void* workspace, void* stream);

// y = FiLM_t(dropout(LN(word[id] + token_type[s] + position[p]) * weight + bias)).
typedef struct {
  const int* input_ids;
  const int* token_type_ids;
  const int* position_ids;
  const float* word;
  const float* token_type;
  const float* position;
  const float* weight;
  const float* bias;
  const float* gamma;  // [T, columns], or null with beta
  const float* beta;
  float eps;
  CamtlDropout dropout;
} CamtlEmbedding;

int camtl_cuda_embedding_forward(const CamtlLayout* layout, int type, int columns, const CamtlEmbedding* embedding,
                                 void* y, void* z, float* mean, float* rstd, void* stream);
// dz: float32 [N, columns], the gradient of every gathered sum.
size_t camtl_cuda_embedding_backward_workspace(const CamtlLayout* layout, int columns, int film);
int camtl_cuda_embedding_backward(const CamtlLayout* layout, int type, int columns, const CamtlEmbedding* embedding,
                                  const void* dy, const void* z, const float* mean, const float* rstd, float* dz,
                                  float* dweight, float* dbias, float* dgamma, float* dbeta, void* workspace,
                                  void* stream);

// table[id] += sum of the rows with that id. sorted [count]: the rows' ids, ascending; order [count]: the row of
// each. See rows/table_gradient.cuh.
size_t camtl_cuda_table_gradient_workspace(int count, int columns);
int camtl_cuda_table_gradient(const int* sorted, const int64_t* order, int count, int columns, const float* rows,
                              float* table, void* workspace, void* stream);

// Norm of a flat float32 array; coefficient (or null) = min(1, max_norm / (norm + 1e-6)).
size_t camtl_cuda_norm_workspace(void);
int camtl_cuda_norm(const float* gradient, int64_t count, float max_norm, float* norm, float* coefficient,
                    void* workspace, void* stream);

// One AdamW step over flat float32 arrays; see optimizer/adamw.cuh.
typedef struct {
  float* param;
  const float* gradient;
  float* exp_avg;
  float* exp_avg_sq;
  void* shadow;          // bf16 [count], or null
  const float* clip;     // device scalar, or null
  const float* step;     // device: rate, root_scale, decay_factor, 0 (camtl_cuda_adamw_step fills it on the host)
  const int64_t* decay;  // device [2 * decay_ranges], or null: everything decays
  int decay_ranges;
  double beta1, beta2, eps;
  int hugging_face;      // the other of the two formulas
  int64_t count;
} CamtlAdamW;

void camtl_cuda_adamw_step(double lr, double beta1, double beta2, double weight_decay, int64_t step, int hugging_face,
                           float out[4]);
int camtl_cuda_adamw(const CamtlAdamW* adamw, void* stream);

// Logits of all heads side by side, [B, columns]; offsets [T + 1], regression [T].
typedef struct {
  const int* offsets;
  const int* regression;
  const int* classes;   // [B], -100: none
  const float* scores;  // [B], NaN: none
  int columns;
} CamtlHeads;

int camtl_cuda_heads_forward(const CamtlLayout* layout, int type, const CamtlHeads* heads, const void* logits,
                             float* loss, float* entropy, void* stream);
int camtl_cuda_heads_backward(const CamtlLayout* layout, int type, const CamtlHeads* heads, const void* logits,
                              const float* dloss, void* dlogits, void* stream);

// Indices of the `wanted` largest of `count` scores, falling, ties to the lower index.
int camtl_cuda_top_scores(const float* scores, int count, int wanted, int* indices, void* stream);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
