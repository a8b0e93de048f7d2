// Launches the conditional attention's backward pass.
#include "attention/arguments.cuh"
#include "attention/backward.cuh"
#include "attention/backward_blocked.cuh"
#include "attention/band_reduce.cuh"

namespace camtl {
namespace {

// The workspace holds the band's rows, then the deltas of the blocked form.
size_t band_bytes(const CamtlAttention& a, const CamtlLayout& layout) {
  const size_t bytes = sizeof(float) * static_cast<size_t>(query_rows(a, layout)) * static_cast<size_t>(a.heads) *
                       static_cast<size_t>(a.band_width);
  return (bytes + 255) / 256 * 256;
}

template <int HEAD_DIM, int MAX_KEYS>
int single_pass(const AttentionInputs& in, const CamtlLayout& layout, const AttentionGradients& gradients,
                bool dropout, void* stream) {
  constexpr int WARPS = 4;
  const dim3 grid(static_cast<unsigned>(in.heads), static_cast<unsigned>(layout.num_sequences), 1);
  const size_t shared = attention_backward_shared<HEAD_DIM, MAX_KEYS, WARPS>();
  return dropout ? launch(attention_backward_kernel<HEAD_DIM, MAX_KEYS, WARPS, true>, grid, 32 * WARPS, shared, stream,
                          in, gradients)
                 : launch(attention_backward_kernel<HEAD_DIM, MAX_KEYS, WARPS, false>, grid, 32 * WARPS, shared,
                          stream, in, gradients);
}

template <int HEAD_DIM, bool DROPOUT>
int blocked(const AttentionInputs& in, const CamtlLayout& layout, const AttentionGradients& gradients,
            const CamtlAttentionGradients& g, float* deltas, void* stream) {
  const unsigned blocks = static_cast<unsigned>((layout.max_length + BLOCK_ROWS - 1) / BLOCK_ROWS);
  const unsigned heads = static_cast<unsigned>(in.heads), sequences = static_cast<unsigned>(layout.num_sequences);
  const size_t shared = attention_backward_blocked_shared<HEAD_DIM>();
  const int error = launch(attention_backward_queries_kernel<HEAD_DIM, DROPOUT>,
                           dim3(in.first_only ? 1 : blocks, heads, sequences), 32 * BLOCK_WARPS, shared, stream, in,
                           gradients, static_cast<const bf16*>(g.out), g.out_stride, g.log_sums, deltas);
  if (error != 0) return error;
  return launch(attention_backward_keys_kernel<HEAD_DIM, DROPOUT>, dim3(blocks, heads, sequences), 32 * BLOCK_WARPS,
                shared, stream, in, gradients, g.log_sums, static_cast<const float*>(deltas));
}

template <int HEAD_DIM>
int backward(const AttentionInputs& in, const CamtlLayout& layout, const AttentionGradients& gradients,
             const CamtlAttentionGradients& g, float* deltas, bool dropout, void* stream) {
  if (layout.max_length <= 64) return single_pass<HEAD_DIM, 64>(in, layout, gradients, dropout, stream);
  if (layout.max_length <= SINGLE_PASS_ROWS) return single_pass<HEAD_DIM, 128>(in, layout, gradients, dropout, stream);
  return dropout ? blocked<HEAD_DIM, true>(in, layout, gradients, g, deltas, stream)
                 : blocked<HEAD_DIM, false>(in, layout, gradients, g, deltas, stream);
}

}  // namespace
}  // namespace camtl

extern "C" size_t camtl_cuda_attention_backward_workspace(const CamtlAttention* attention, const CamtlLayout* layout,
                                                          int dband) {
  using namespace camtl;
  size_t bytes = dband ? band_bytes(*attention, *layout) : 0;
  if (layout->max_length > SINGLE_PASS_ROWS) {
    bytes += sizeof(float) * static_cast<size_t>(query_rows(*attention, *layout)) *
             static_cast<size_t>(attention->heads);
  }
  return bytes;
}

extern "C" int camtl_cuda_attention_backward(const CamtlAttention* attention, const CamtlLayout* layout,
                                             const CamtlAttentionGradients* g, void* stream) {
  using namespace camtl;
  if (!attention_supported(*attention, *layout) || g->dout_stride % 8 != 0 || g->dq_stride % 8 != 0 ||
      g->dkv_stride % 8 != 0 || (g->dband != nullptr && attention->band == nullptr)) {
    return UNSUPPORTED;
  }
  const AttentionInputs in = attention_inputs(*attention, *layout);
  char* const workspace = static_cast<char*>(g->workspace);
  const bool with_band = g->dband != nullptr;
  AttentionGradients gradients;
  gradients.dout = static_cast<const bf16*>(g->dout);
  gradients.dout_stride = g->dout_stride;
  gradients.dq = static_cast<bf16*>(g->dq);
  gradients.dq_stride = g->dq_stride;
  gradients.dk = static_cast<bf16*>(g->dk);
  gradients.dv = static_cast<bf16*>(g->dv);
  gradients.dkv_stride = g->dkv_stride;
  gradients.band = {with_band ? reinterpret_cast<float*>(workspace) : nullptr, in.heads, in.band_width};
  float* const deltas = reinterpret_cast<float*>(workspace + (with_band ? band_bytes(*attention, *layout) : 0));
  const bool dropout = attention->dropout.on != 0;
  const int error = attention->head_dim == 64
                        ? backward<64>(in, *layout, gradients, *g, deltas, dropout, stream)
                        : backward<32>(in, *layout, gradients, *g, deltas, dropout, stream);
  if (error != 0 || !with_band) return error;
  return launch(band_reduce_kernel,
                dim3(static_cast<unsigned>(in.band_rows), static_cast<unsigned>(layout->num_tasks), 1),
                BAND_REDUCE_THREADS, band_reduce_shared(), stream, in, gradients.band,
                TaskOrder{layout->task_order, layout->task_offsets}, g->dband);
}
