// AdamW over one flat buffer in one pass: reads p, g, m, v; writes p, m, v and the
// bf16 copy that the next forward pass reads.
#pragma once

#include "rows/vectors.cuh"

namespace camtl {

constexpr int ADAMW_THREADS = 256;

// Constants that change from step to step, on the device so that a captured graph
// sees new ones. Filled by the host in double precision, rounded once.
struct AdamWStep {
  float rate;           // torch: lr / (1 - b1^t); Hugging Face: lr sqrt(1 - b2^t) / (1 - b1^t)
  float root_scale;     // torch: 1 / sqrt(1 - b2^t); Hugging Face: 1
  float decay_factor;   // 1 - lr * weight_decay
  float unused;
};

struct AdamWOperation {
  float* param;
  const float* gradient;
  float* exp_avg;
  float* exp_avg_sq;
  bf16* shadow;                // or null
  const float* clip;           // scalar factor on the gradient, or null
  const AdamWStep* step;
  const int64_t* decay;        // [2 * ranges]: begin, end, ascending; null: everything decays
  int decay_ranges;
  float beta1, one_minus_beta1, beta2, one_minus_beta2, eps;
  int decay_first;             // torch decays before the update, Hugging Face after
  int64_t count;
};

__device__ __forceinline__ bool decays(const AdamWOperation& op, int64_t index) {
  if (op.decay == nullptr) return true;
  // First range that ends beyond the element.
  int low = 0, high = op.decay_ranges;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (load_readonly(op.decay + 2 * middle + 1) > index) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low < op.decay_ranges && load_readonly(op.decay + 2 * low) <= index;
}

__device__ __forceinline__ void adamw_element(const AdamWOperation& op, const AdamWStep& step, float clip, bool decay,
                                              float& p, float g, float& m, float& v) {
  g *= clip;
  m = op.beta1 * m + op.one_minus_beta1 * g;
  v = op.beta2 * v + op.one_minus_beta2 * (g * g);
  if (decay && op.decay_first) p *= step.decay_factor;
  p -= step.rate * (m / (sqrtf(v) * step.root_scale + op.eps));
  if (decay && !op.decay_first) p *= step.decay_factor;
}

// Four neighbouring elements per thread.
__global__ void __launch_bounds__(ADAMW_THREADS) adamw_kernel(AdamWOperation op) {
  const int64_t first = 4 * (static_cast<int64_t>(block_x()) * ADAMW_THREADS + thread_index());
  if (first >= op.count) return;
  const AdamWStep step = *op.step;
  const float clip = op.clip != nullptr ? *op.clip : 1.0f;
  if (first + 4 <= op.count) {
    float4 p = *reinterpret_cast<const float4*>(op.param + first);
    const float4 g = load_streaming(reinterpret_cast<const float4*>(op.gradient + first));
    float4 m = load_streaming(reinterpret_cast<const float4*>(op.exp_avg + first));
    float4 v = load_streaming(reinterpret_cast<const float4*>(op.exp_avg_sq + first));
    // Range borders fall where tensors end, not on multiples of four.
    const bool d0 = decays(op, first);
    bool d1 = d0, d2 = d0, d3 = d0;
    if (op.decay != nullptr && d0 != decays(op, first + 3)) {
      d1 = decays(op, first + 1);
      d2 = decays(op, first + 2);
      d3 = !d0;
    }
    adamw_element(op, step, clip, d0, p.x, g.x, m.x, v.x);
    adamw_element(op, step, clip, d1, p.y, g.y, m.y, v.y);
    adamw_element(op, step, clip, d2, p.z, g.z, m.z, v.z);
    adamw_element(op, step, clip, d3, p.w, g.w, m.w, v.w);
    *reinterpret_cast<float4*>(op.param + first) = p;
    store_streaming(reinterpret_cast<float4*>(op.exp_avg + first), m);
    store_streaming(reinterpret_cast<float4*>(op.exp_avg_sq + first), v);
    if (op.shadow != nullptr) {
      uint32_t* const shadow = reinterpret_cast<uint32_t*>(op.shadow + first);
      shadow[0] = pack_bf16(p.x, p.y);
      shadow[1] = pack_bf16(p.z, p.w);
    }
  } else {
    for (int64_t i = first; i < op.count; ++i) {
      adamw_element(op, step, clip, decays(op, i), op.param[i], op.gradient[i], op.exp_avg[i], op.exp_avg_sq[i]);
      if (op.shadow != nullptr) assign(op.shadow[i], op.param[i]);
    }
  }
}

}  // namespace camtl
