// What the plugin exports: one table of functions, found under one name.
//
// The operations are those of csrc/operations.h, whose conventions hold for the rest too.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "../../operations.h"

namespace camtl::plugin {

// Raised whenever the table changes: a plugin of another build is refused, not misread.
constexpr uint32_t kTableVersion = 5;

struct Table {
  uint32_t version;
  uint32_t size;  // sizeof(Table)
  const char* torch_version;
  Operations operations;
  // Number of GPUs and, of one, its compute capability (major * 10 + minor).
  int (*devices)(int64_t* count);
  int (*capability)(int64_t device, int64_t* capability);
  // Whether bf16 autocast is on for CUDA on this thread.
  int (*autocast)();
  // Copies `from` into `to`, of the same sizes.
  int (*layout_assign)(void* to, void* from);
  // The CPU multiplies by a mask.
  int (*dropout)(at::Tensor** out, const at::Tensor* x, const DropoutArguments* dropout, void* layout);
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

operation::LayoutNew layout_new;
operation::LayoutFree layout_free;
operation::Film film;
operation::LayerNorm layer_norm;
operation::Gelu gelu;
operation::Linear linear;
operation::Attention attention;
operation::Embedding embedding;
operation::Heads heads;
operation::AdamW adamw;
operation::Norm norm;
operation::TopScores top_scores;
int autocast();
int layout_assign(void* to, void* from);
int dropout(at::Tensor** out, const at::Tensor* x, const DropoutArguments* dropout, void* layout);
int graph_enter(int64_t device);
int graph_leave();
int graph_begin(void** out, int64_t device, void* shared);
int graph_end(void* graph);
int graph_seeds(void* graph, uint64_t* seeds, int64_t* count);
int graph_replay(void* graph, const uint64_t* seeds, int64_t count);
void graph_free(void* graph);

}  // namespace camtl::plugin

extern "C" __attribute__((visibility("default"))) const camtl::plugin::Table* camtl_cuda_table();
