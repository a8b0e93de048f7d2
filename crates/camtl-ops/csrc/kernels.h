// The C interface of the kernels: raw pointers and sizes only, so that a CUDA
// launcher can take the same structures. No torch header.
//
// `dtype` is 0 for float32 and 1 for float64; pointers marked T are of it.
// Strides count elements. Outputs that are null are not computed.
#pragma once
#include <cstdint>

extern "C" {

enum { CAMTL_FLOAT32 = 0, CAMTL_FLOAT64 = 1 };

// A dropout; `on` = 0 for none. threshold = round(p * 2^32), scale = 1/(1-p).
struct CamtlDropout {
  uint64_t seed;
  double scale;
  uint32_t threshold;
  int32_t on;
};

// Layout of a packed batch, as csrc/layout.h makes it from Packing.
//
// Row segments cut the rows, attention segments the sequences, at every change
// of task and at places that depend on the batch alone. Each segment sums its
// part of a per-task gradient by itself and the parts are added in order, so
// results do not depend on the number of threads.
struct CamtlLayout {
  int64_t sequences, rows, max_len;
  const int64_t* cu_seqlens;   // sequences + 1
  const int64_t* key_lengths;  // sequences
  const int64_t* tasks;        // sequences
  const int32_t* row_sequence;  // rows
  int64_t row_segments;
  const int64_t* row_segment;  // (first row, end row, task) each
  int64_t attention_segments;
  const int64_t* attention_segment;  // (first sequence, end sequence, task) each
};

// y = (1 + gamma_t) x + beta_t; tables have `columns` per row.
struct CamtlFilm {
  int32_t dtype;
  int64_t columns;
  int64_t tasks;  // rows of the tables
  const CamtlLayout* layout;
  const void *x, *gamma, *beta;
  void* y;
  const void* dy;
  void *dx, *dgamma, *dbeta;
  void* partial;  // row_segments * 2 * columns T
};
void camtl_film_forward(const CamtlFilm*);
void camtl_film_backward(const CamtlFilm*);

// y = LN(dropout(x) + residual) * w_t + b_t. A table with one row serves all
// tasks (weight_tasks = 1).
struct CamtlLayerNorm {
  int32_t dtype;
  int64_t columns;
  int64_t weight_tasks, bias_tasks;
  double eps;
  CamtlDropout dropout;
  const CamtlLayout* layout;
  const void *x, *residual, *weight, *bias;
  void *y, *mean, *rstd;  // T[rows] statistics
  const void* dy;
  void *dx, *dresidual, *dweight, *dbias;
  void* partial;  // row_segments * 2 * columns T
};
void camtl_layer_norm_forward(const CamtlLayerNorm*);
void camtl_layer_norm_backward(const CamtlLayerNorm*);

// y = gelu(x + bias)
struct CamtlGelu {
  int32_t dtype;
  int64_t rows, columns;
  const void *x, *bias;
  void* y;
  const void* dy;
  void *dx, *dbias;
  void* partial;  // ceil(rows / 32) * columns T
};
void camtl_gelu_forward(const CamtlGelu*);
void camtl_gelu_backward(const CamtlGelu*);

// y = FiLM_t(dropout(LN(word[id] + token_type[segment] + position[p]) * w + b))
struct CamtlEmbedding {
  int32_t dtype;
  int64_t columns;
  int64_t tasks;  // rows of gamma and beta
  double eps;
  CamtlDropout dropout;
  const CamtlLayout* layout;
  const int64_t *input_ids, *token_type_ids, *position_ids;
  const void *word, *token_type, *position, *weight, *bias, *gamma, *beta;
  void *y, *mean, *rstd;
  const void* dy;
  void* dsum;  // T[rows * columns]: gradient of the sum of embeddings
  void *dweight, *dbias, *dgamma, *dbeta;
  void* partial;  // row_segments * 4 * columns T
};
void camtl_embedding_forward(const CamtlEmbedding*);
void camtl_embedding_backward(const CamtlEmbedding*);

// table[id] += sum of dsum's rows with that id, in row order. `order` lists rows
// by (id, row), `starts` the runs of one id (runs + 1 entries).
struct CamtlScatter {
  int32_t dtype;
  int64_t columns, runs;
  const int64_t *ids, *order, *starts;
  const void* dsum;
  void* dtable;
};
void camtl_scatter_rows(const CamtlScatter*);

// Attention within sequences. first_only: one query per sequence; q then has a
// row per sequence if q_per_sequence, else the first row of each is taken.
struct CamtlAttention {
  int32_t dtype;
  int32_t first_only, q_per_sequence;
  int64_t heads, head_dim;
  int64_t band_length, band_width;  // band is [T, band_length, band_width]
  CamtlDropout dropout;
  const CamtlLayout* layout;
  const void *q, *k, *v;
  int64_t q_row, k_row, v_row;
  const void* band;  // null: no bias
  void* out;         // rows (or sequences) x heads * head_dim
  void* lse;         // T[heads * rows (or sequences)]: log of the softmax's denominator
  const void* dout;
  void *dq, *dk, *dv;
  int64_t dq_row, dk_row, dv_row;
  void* dband;      // same shape as band, zero on entry
  void* partial;    // attention_segments * head_groups * max_len * band_width T
  void* workspace;  // camtl_attention_workspace bytes per thread
};
void camtl_attention_forward(const CamtlAttention*);
void camtl_attention_backward(const CamtlAttention*);
int64_t camtl_attention_workspace(const CamtlAttention*);
int64_t camtl_attention_head_groups(int64_t heads);

// Heads of a batch sorted by head: of sequence b, head[b], class[b], score[b].
struct CamtlHeads {
  int32_t dtype;
  int64_t sequences, columns, heads;
  const int64_t* outputs;     // per head: number of outputs
  const int32_t* regression;  // per head
  const void* const* weight;  // per head [outputs, columns]
  const void* const* bias;    // per head [outputs]
  const int64_t* head;        // per sequence
  const int64_t* offset;      // per sequence: its first element of logits
  const int64_t* classes;     // per sequence, or null: no targets
  const void* scores;         // per sequence, T
  const void* pooled;         // [sequences, columns]
  void *logits, *loss, *entropy;
  const void *dlogits, *dloss;  // either may be null
  void* dsaid;                  // workspace, as logits
  void* dpooled;
  void* const* dweight;
  void* const* dbias;
};
void camtl_heads_forward(const CamtlHeads*);
void camtl_heads_backward(const CamtlHeads*);

// One step of AdamW over [begin, end) of a flat buffer; `decay` is lr * wd.
struct CamtlAdamW {
  int32_t dtype;
  int32_t huggingface;
  int64_t count;
  double beta1, beta2, eps, rate, root_correction, decay;
  int64_t decay_ranges;
  const int64_t* decay_range;  // (begin, end) each, ascending
  const void* clip;            // T, or null
  const void* grad;
  void *param, *exp_avg, *exp_avg_sq;
};
void camtl_adamw(const CamtlAdamW*);

struct CamtlNorm {
  int32_t dtype;
  int64_t count;
  const void* x;
  double* partial;  // ceil(count / 65536)
  double* norm;
};
void camtl_norm(const CamtlNorm*);

// Masks of 0 and 1; element counters as src/dropout.rs documents.
void camtl_dropout_flat(float* out, int64_t count, uint64_t seed, uint32_t threshold);
void camtl_dropout_tokens(float* out, int64_t columns, const int64_t* cu_seqlens, int64_t sequences, uint64_t seed,
                          uint32_t threshold);
void camtl_dropout_attention(float* out, const int64_t* members, int64_t count, int64_t heads, int64_t queries,
                             int64_t keys, uint64_t seed, uint32_t threshold);

// Instruction set of the kernels: 0 baseline, 1 AVX2, 2 AVX-512. Setting a set
// the processor lacks chooses the best it has.
int camtl_isa();
void camtl_limit_isa(int level);

}  // extern "C"
