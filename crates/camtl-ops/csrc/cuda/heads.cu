// Launches the heads' losses and entropies, and the selection of the top scores.
#include "heads/heads.cuh"
#include "heads/top_scores.cuh"
#include "rows/arguments.cuh"

using namespace camtl;

namespace {

Heads heads_of(const CamtlLayout& layout, const CamtlHeads& heads) {
  return {heads.offsets, heads.regression, layout.tasks, layout.num_sequences, heads.columns};
}

dim3 heads_grid(const CamtlLayout& layout) {
  return dim3(static_cast<unsigned>((layout.num_sequences + HEADS_WARPS - 1) / HEADS_WARPS), 1, 1);
}

}  // namespace

extern "C" int camtl_cuda_heads_forward(const CamtlLayout* layout, int type, const CamtlHeads* heads,
                                        const void* logits, float* loss, float* entropy, void* stream) {
  return with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return launch(heads_forward_kernel<T>, heads_grid(*layout), 32 * HEADS_WARPS, 0, stream,
                  static_cast<const T*>(logits), heads_of(*layout, *heads), HeadTargets{heads->classes, heads->scores},
                  loss, entropy);
  });
}

extern "C" int camtl_cuda_heads_backward(const CamtlLayout* layout, int type, const CamtlHeads* heads,
                                         const void* logits, const float* dloss, void* dlogits, void* stream) {
  return with_type(type, [&](auto element) {
    using T = typename decltype(element)::type;
    return launch(heads_backward_kernel<T>, heads_grid(*layout), 32 * HEADS_WARPS, 0, stream,
                  static_cast<const T*>(logits), heads_of(*layout, *heads), HeadTargets{heads->classes, heads->scores},
                  dloss, static_cast<T*>(dlogits));
  });
}

extern "C" int camtl_cuda_top_scores(const float* scores, int count, int wanted, int* indices, void* stream) {
  return launch(top_scores_kernel, dim3(static_cast<unsigned>((count + TOP_THREADS - 1) / TOP_THREADS), 1, 1),
                TOP_THREADS, TOP_THREADS * sizeof(float), stream, scores, count, wanted, indices);
}
