// What the plugin exports: one table of functions, found under one name.
//
// Every function returns 0, or 1 and leaves a message for last_error (of the same
// thread). Tensors are at::Tensor on the heap, as tch holds them; results are given
// away. Arguments that may be null say so.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace camtl::plugin {

// As the crate's Rust side lays it out.
struct Dropout {
  uint64_t seed;
  double scale;
  uint32_t threshold;
  int32_t on;
};

// Raised whenever the table changes: a plugin of another build is refused, not misread.
constexpr uint32_t kTableVersion = 3;

struct Table {
  uint32_t version;
  uint32_t size;  // sizeof(Table)
  const char* torch_version;
  const char* (*last_error)();
  // Number of GPUs and, of one, its compute capability (major * 10 + minor).
  int (*devices)(int64_t* count);
  int (*capability)(int64_t device, int64_t* capability);
  // Whether bf16 autocast is on for CUDA on this thread.
  int (*autocast)();
  // fixed_tasks and fixed_length: 0, or see plugin/layout.h.
  int (*layout_new)(void** out, const int64_t* starts, const int64_t* keys, const int64_t* tasks, int64_t sequences,
                    int64_t fixed_tasks, int64_t fixed_length, int64_t device);
  // Copies `from` into `to`, of the same sizes.
  int (*layout_assign)(void* to, void* from);
  void (*layout_free)(void* layout);
  int (*film)(at::Tensor** out, const at::Tensor* x, const at::Tensor* gamma, const at::Tensor* beta, void* layout);
  // residual may be null; weight and bias are [D] or [T, D].
  int (*layer_norm)(at::Tensor** out, const at::Tensor* x, const at::Tensor* residual, const at::Tensor* weight,
                    const at::Tensor* bias, double eps, const Dropout* dropout, void* layout);
  int (*dropout)(at::Tensor** out, const at::Tensor* x, const Dropout* dropout, void* layout);
  int (*gelu)(at::Tensor** out, const at::Tensor* x, const at::Tensor* bias);
  // k and v null: q holds all three side by side. band may be null.
  int (*attention)(at::Tensor** out, const at::Tensor* q, const at::Tensor* k, const at::Tensor* v,
                   const at::Tensor* band, int64_t heads, int first_only, const Dropout* dropout, void* layout);
  // ids: input, token type, position. tables: word, token type, position, weight, bias, gamma, beta; the last
  // two may be null.
  int (*embedding)(at::Tensor** out, const at::Tensor* const* ids, const at::Tensor* const* tables, double eps,
                   const Dropout* dropout, void* layout);
  // Logits of all heads side by side, [B, C]; offsets [heads + 1], regression [heads]. classes (int64) and scores
  // may both be null. out[0]: entropies; out[1]: losses, or null without targets.
  int (*heads)(at::Tensor** out, const at::Tensor* logits, const int64_t* offsets, const int64_t* regression,
               int64_t heads, const at::Tensor* classes, const at::Tensor* scores, void* layout);
  // shadow (bf16) and clip may be null; decay: (begin, end) pairs, or null for everything.
  int (*adamw)(at::Tensor* param, const at::Tensor* grad, at::Tensor* exp_avg, at::Tensor* exp_avg_sq,
               at::Tensor* shadow, const at::Tensor* clip, double lr, double beta1, double beta2, double eps,
               double weight_decay, int64_t step, int hugging_face, const int64_t* decay, int64_t decay_ranges);
  int (*norm)(at::Tensor** out, const at::Tensor* flat);
  // Indices (int64) of the `wanted` largest scores, falling, ties to the lower index.
  int (*top_scores)(at::Tensor** out, const at::Tensor* scores, int64_t wanted);
  // Captured graphs, see plugin/graph.cc. graph_enter and graph_leave put this thread on the stream that graphs are
  // captured on, and back. graph_begin starts a capture there; `shared` (null, or another graph) lends its memory.
  int (*graph_enter)(int64_t device);
  int (*graph_leave)();
  int (*graph_begin)(void** out, int64_t device, void* shared);
  int (*graph_end)(void* graph);
  // Number of dropouts captured; `seeds`, if not null, takes the seeds they were captured with.
  int (*graph_seeds)(void* graph, uint64_t* seeds, int64_t* count);
  int (*graph_replay)(void* graph, const uint64_t* seeds, int64_t count);
  void (*graph_free)(void* graph);
};

int autocast();
int layout_new(void** out, const int64_t* starts, const int64_t* keys, const int64_t* tasks, int64_t sequences,
               int64_t fixed_tasks, int64_t fixed_length, int64_t device);
int layout_assign(void* to, void* from);
void layout_free(void* layout);
int film(at::Tensor** out, const at::Tensor* x, const at::Tensor* gamma, const at::Tensor* beta, void* layout);
int layer_norm(at::Tensor** out, const at::Tensor* x, const at::Tensor* residual, const at::Tensor* weight,
               const at::Tensor* bias, double eps, const Dropout* dropout, void* layout);
int dropout(at::Tensor** out, const at::Tensor* x, const Dropout* dropout, void* layout);
int gelu(at::Tensor** out, const at::Tensor* x, const at::Tensor* bias);
int attention(at::Tensor** out, const at::Tensor* q, const at::Tensor* k, const at::Tensor* v, const at::Tensor* band,
              int64_t heads, int first_only, const Dropout* dropout, void* layout);
int embedding(at::Tensor** out, const at::Tensor* const* ids, const at::Tensor* const* tables, double eps,
              const Dropout* dropout, void* layout);
int heads(at::Tensor** out, const at::Tensor* logits, const int64_t* offsets, const int64_t* regression,
          int64_t heads, const at::Tensor* classes, const at::Tensor* scores, void* layout);
int adamw(at::Tensor* param, const at::Tensor* grad, at::Tensor* exp_avg, at::Tensor* exp_avg_sq, at::Tensor* shadow,
          const at::Tensor* clip, double lr, double beta1, double beta2, double eps, double weight_decay,
          int64_t step, int hugging_face, const int64_t* decay, int64_t decay_ranges);
int norm(at::Tensor** out, const at::Tensor* flat);
int top_scores(at::Tensor** out, const at::Tensor* scores, int64_t wanted);
int graph_enter(int64_t device);
int graph_leave();
int graph_begin(void** out, int64_t device, void* shared);
int graph_end(void* graph);
int graph_seeds(void* graph, uint64_t* seeds, int64_t* count);
int graph_replay(void* graph, const uint64_t* seeds, int64_t count);
void graph_free(void* graph);

}  // namespace camtl::plugin

extern "C" __attribute__((visibility("default"))) const camtl::plugin::Table* camtl_cuda_table();
