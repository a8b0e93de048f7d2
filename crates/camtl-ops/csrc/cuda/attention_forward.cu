// Launches the conditional attention's forward pass.
#include "attention/arguments.cuh"
#include "attention/forward.cuh"
#include "attention/forward_blocked.cuh"

namespace camtl {
namespace {

template <int HEAD_DIM, int MAX_KEYS, int WARPS>
int single_pass(const AttentionInputs& in, const CamtlLayout& layout, bf16* out, int64_t out_stride, bool dropout,
                void* stream) {
  const dim3 grid(static_cast<unsigned>(in.heads), static_cast<unsigned>(layout.num_sequences), 1);
  const size_t shared = attention_forward_shared<HEAD_DIM, MAX_KEYS>();
  return dropout ? launch(attention_forward_kernel<HEAD_DIM, MAX_KEYS, WARPS, true>, grid, 32 * WARPS, shared, stream,
                          in, out, out_stride)
                 : launch(attention_forward_kernel<HEAD_DIM, MAX_KEYS, WARPS, false>, grid, 32 * WARPS, shared, stream,
                          in, out, out_stride);
}

template <int HEAD_DIM>
int forward(const AttentionInputs& in, const CamtlLayout& layout, bf16* out, int64_t out_stride, float* log_sums,
            bool dropout, void* stream) {
  if (layout.max_length <= 32) return single_pass<HEAD_DIM, 32, 2>(in, layout, out, out_stride, dropout, stream);
  if (layout.max_length <= 64) return single_pass<HEAD_DIM, 64, 4>(in, layout, out, out_stride, dropout, stream);
  if (layout.max_length <= SINGLE_PASS_ROWS) {
    return single_pass<HEAD_DIM, 128, 4>(in, layout, out, out_stride, dropout, stream);
  }
  const int query_blocks = in.first_only ? 1 : (layout.max_length + BLOCK_ROWS - 1) / BLOCK_ROWS;
  const dim3 grid(static_cast<unsigned>(query_blocks), static_cast<unsigned>(in.heads),
                  static_cast<unsigned>(layout.num_sequences));
  const size_t shared = attention_forward_blocked_shared<HEAD_DIM>();
  return dropout ? launch(attention_forward_blocked_kernel<HEAD_DIM, true>, grid, 32 * BLOCK_WARPS, shared, stream, in,
                          out, out_stride, log_sums)
                 : launch(attention_forward_blocked_kernel<HEAD_DIM, false>, grid, 32 * BLOCK_WARPS, shared, stream, in,
                          out, out_stride, log_sums);
}

}  // namespace
}  // namespace camtl

extern "C" int camtl_cuda_attention_saves_log_sums(int max_length) { return max_length > camtl::SINGLE_PASS_ROWS; }

extern "C" int camtl_cuda_attention_forward(const CamtlAttention* attention, const CamtlLayout* layout, void* out,
                                            int64_t out_stride, float* log_sums, void* stream) {
  using namespace camtl;
  if (!attention_supported(*attention, *layout) || out_stride % 8 != 0) return UNSUPPORTED;
  const AttentionInputs in = attention_inputs(*attention, *layout);
  const bool dropout = attention->dropout.on != 0;
  bf16* const to = static_cast<bf16*>(out);
  return attention->head_dim == 64 ? forward<64>(in, *layout, to, out_stride, log_sums, dropout, stream)
                                   : forward<32>(in, *layout, to, out_stride, log_sums, dropout, stream);
}
