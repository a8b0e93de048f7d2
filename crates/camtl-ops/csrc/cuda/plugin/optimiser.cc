// The optimiser's operations on the GPU; none of them is differentiable, none waits
// for the device.
#include "plugin/table.h"

#include <vector>

#include "plugin/function.h"

namespace camtl::plugin {

int adamw(at::Tensor* param, const at::Tensor* grad, at::Tensor* exp_avg, at::Tensor* exp_avg_sq, at::Tensor* lowered,
          const at::Tensor* clip, double lr, double beta1, double beta2, double eps, double weight_decay,
          int64_t step, int hugging_face, const int64_t* decay, int64_t decay_ranges) {
  return guarded([&] {
    const at::NoGradGuard no_grad;
    const Launch launch(*param);
    // Constants and ranges in one small copy.
    const int64_t words = 4 + (decay ? 4 * decay_ranges : 0);
    at::Tensor constants = host_words(words, at::kFloat, param->device());
    float* const host = constants.mutable_data_ptr<float>();
    camtl_cuda_adamw_step(lr, beta1, beta2, weight_decay, step, hugging_face, host);
    if (decay) std::memcpy(host + 4, decay, static_cast<size_t>(decay_ranges) * 2 * sizeof(int64_t));
    constants = constants.to(param->device(), /*non_blocking=*/true);
    const at::Tensor factor = clip ? clip->to(param->device(), at::kFloat) : at::Tensor();
    CamtlAdamW a{};
    a.param = mutable_floats(*param);
    a.gradient = floats(*grad);
    a.exp_avg = mutable_floats(*exp_avg);
    a.exp_avg_sq = mutable_floats(*exp_avg_sq);
    a.shadow = lowered ? lowered->mutable_data_ptr<at::BFloat16>() : nullptr;
    a.clip = floats(factor);
    a.step = floats(constants);
    a.decay = decay ? reinterpret_cast<const int64_t*>(a.step + 4) : nullptr;
    a.decay_ranges = static_cast<int>(decay_ranges);
    a.beta1 = beta1;
    a.beta2 = beta2;
    a.eps = eps;
    a.hugging_face = hugging_face;
    a.count = param->numel();
    Launch::check(camtl_cuda_adamw(&a, launch.stream()), "AdamW");
    // The kernel writes behind libtorch's back: caches of what depends on the
    // parameters notice changes by their version.
    param->unsafeGetTensorImpl()->bump_version();
  });
}

int norm(at::Tensor** out, const at::Tensor* flat) {
  return guarded([&] {
    const at::NoGradGuard no_grad;
    const Launch launch(*flat);
    const at::Tensor x = flat->contiguous();
    const at::Tensor result = at::empty({}, x.options());
    const at::Tensor memory = workspace(camtl_cuda_norm_workspace(), x);
    Launch::check(camtl_cuda_norm(floats(x), x.numel(), 0.0f, mutable_floats(result), nullptr, mutable_data(memory),
                                  launch.stream()),
                  "gradient norm");
    *out = new at::Tensor(result);
  });
}

int top_scores(at::Tensor** out, const at::Tensor* scores, int64_t wanted) {
  return guarded([&] {
    const at::NoGradGuard no_grad;
    const Launch launch(*scores);
    const at::Tensor x = scores->to(at::kFloat).contiguous();
    TORCH_CHECK(wanted >= 0 && wanted <= x.numel(), wanted, " of ", x.numel(), " scores wanted");
    const at::Tensor indices = at::empty({wanted}, x.options().dtype(at::kInt));
    Launch::check(camtl_cuda_top_scores(floats(x), static_cast<int>(x.numel()), static_cast<int>(wanted),
                                        indices.mutable_data_ptr<int>(), launch.stream()),
                  "top scores");
    *out = new at::Tensor(indices.to(at::kLong));
  });
}

}  // namespace camtl::plugin
