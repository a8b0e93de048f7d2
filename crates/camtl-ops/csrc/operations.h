// The operations as Rust calls them: one list of C functions, of which the CPU and
// the GPU's plugin each have their own.
//
// Every function returns 0, or 1 and leaves a message for last_error (of the same
// thread). Tensors are at::Tensor on the heap, as tch holds them; results are given
// away. What may be null says so.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace camtl {

// A dropout; `on` = 0 for none. threshold = round(p * 2^32), scale = 1/(1-p). As the
// crate's Rust side lays it out.
struct DropoutArguments {
  uint64_t seed;
  double scale;
  uint32_t threshold;
  int32_t on;
};

namespace operation {

// `starts` has sequences + 1 entries, the others `sequences`. fixed_tasks and
// fixed_length: 0, or what sizes depend on instead of the batch's own (for the GPU,
// see cuda/plugin/layout.h; the CPU has no use for them).
using LayoutNew = int(void** out, const int64_t* starts, const int64_t* keys, const int64_t* tasks, int64_t sequences,
                      int64_t fixed_tasks, int64_t fixed_length, int64_t device);
using LayoutFree = void(void* layout);

using Film = int(at::Tensor** out, const at::Tensor* x, const at::Tensor* gamma, const at::Tensor* beta, void* layout);

// residual may be null; weight and bias are [D] or [T, D].
using LayerNorm = int(at::Tensor** out, const at::Tensor* x, const at::Tensor* residual, const at::Tensor* weight,
                      const at::Tensor* bias, double eps, const DropoutArguments* dropout, void* layout);

using Gelu = int(at::Tensor** out, const at::Tensor* x, const at::Tensor* bias);

// bias may be null. lowered: null, or weight and bias (or null) in the type of the
// product, made from them by the caller; gradients go to weight and bias.
using Linear = int(at::Tensor** out, const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias,
                   const at::Tensor* const* lowered);

// k and v null: q holds all three side by side. band may be null.
using Attention = int(at::Tensor** out, const at::Tensor* q, const at::Tensor* k, const at::Tensor* v,
                      const at::Tensor* band, int64_t heads, int first_only, const DropoutArguments* dropout,
                      void* layout);

// ids: input, token type, position. tables: word, token type, position, weight, bias,
// gamma, beta; the last two may be null.
using Embedding = int(at::Tensor** out, const at::Tensor* const* ids, const at::Tensor* const* tables, double eps,
                      const DropoutArguments* dropout, void* layout);

// weights, biases and regression have an entry per head; a sequence's task is its head.
// classes (int64) and scores may both be null. out[0]: logits [B, C], the outputs of
// all heads side by side, of which those of the sequence's own head mean something;
// out[1]: entropies; out[2]: losses, or null without targets.
using Heads = int(at::Tensor** out, const at::Tensor* pooled, const at::Tensor* const* weights,
                  const at::Tensor* const* biases, const int32_t* regression, int64_t heads, const at::Tensor* classes,
                  const at::Tensor* scores, void* layout);

// In place on flat buffers. lowered: null, or what takes the new parameters in bf16 as
// well (on the GPU). clip may be null; decay: (begin, end) pairs, or null for everything.
using AdamW = int(at::Tensor* param, const at::Tensor* grad, at::Tensor* exp_avg, at::Tensor* exp_avg_sq,
                  at::Tensor* lowered, const at::Tensor* clip, double lr, double beta1, double beta2, double eps, double weight_decay,
                  int64_t step, int hugging_face, const int64_t* decay, int64_t decay_ranges);

using Norm = int(at::Tensor** out, const at::Tensor* flat);

// Indices (int64) of the `wanted` largest scores, falling, ties to the lower index, NaN last.
using TopScores = int(at::Tensor** out, const at::Tensor* scores, int64_t wanted);

}  // namespace operation

struct Operations {
  const char* (*last_error)();
  operation::LayoutNew* layout_new;
  operation::LayoutFree* layout_free;
  operation::Film* film;
  operation::LayerNorm* layer_norm;
  operation::Gelu* gelu;
  operation::Linear* linear;
  operation::Attention* attention;
  operation::Embedding* embedding;
  operation::Heads* heads;
  operation::AdamW* adamw;
  operation::Norm* norm;
  operation::TopScores* top_scores;
};

}  // namespace camtl
