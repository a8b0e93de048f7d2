// The optimiser's step and norm over flat buffers; none of them is differentiable.
#include <ATen/ops/scalar_tensor.h>

#include <cmath>
#include <vector>

#include "function.h"

namespace camtl {

int cpu::adamw(at::Tensor* param, const at::Tensor* grad, at::Tensor* exp_avg, at::Tensor* exp_avg_sq,
               at::Tensor* lowered, const at::Tensor* clip, double lr, double beta1, double beta2, double eps, double weight_decay,
               int64_t step, int hugging_face, const int64_t* decay, int64_t decay_ranges) {
  return guarded([&] {
    TORCH_CHECK(lowered == nullptr, "the CPU's AdamW writes no second copy of the parameters");
    const at::NoGradGuard no_grad;
    const double correction1 = 1.0 - std::pow(beta1, double(step));
    const double correction2 = std::sqrt(1.0 - std::pow(beta2, double(step)));
    const int64_t everything[2] = {0, param->numel()};
    const at::Tensor factor = clip ? clip->to(param->options()).contiguous() : at::Tensor();
    CamtlAdamW a{};
    a.dtype = dtype_of(*param);
    a.huggingface = hugging_face;
    a.count = param->numel();
    a.beta1 = beta1;
    a.beta2 = beta2;
    a.eps = eps;
    a.rate = lr / correction1 * (hugging_face != 0 ? correction2 : 1.0);
    a.root_correction = correction2;
    a.decay = lr * weight_decay;
    if (a.decay != 0.0) {
      a.decay_ranges = decay != nullptr ? decay_ranges : 1;
      a.decay_range = decay != nullptr ? decay : everything;
    }
    a.clip = data(factor);
    a.grad = data(*grad);
    a.param = mutable_data(*param);
    a.exp_avg = mutable_data(*exp_avg);
    a.exp_avg_sq = mutable_data(*exp_avg_sq);
    camtl_adamw(&a);
    // The kernel writes behind libtorch's back: caches of what depends on the
    // parameters notice changes by their version.
    param->unsafeGetTensorImpl()->bump_version();
  });
}

int cpu::norm(at::Tensor** out, const at::Tensor* flat) {
  return guarded([&] {
    const at::NoGradGuard no_grad;
    const at::Tensor x = flat->contiguous();
    // One sum per block of 65536 elements.
    std::vector<double> partial(size_t((x.numel() + 65535) / 65536));
    double norm = 0.0;
    const CamtlNorm a{dtype_of(x), x.numel(), data(x), partial.data(), &norm};
    camtl_norm(&a);
    *out = new at::Tensor(at::scalar_tensor(norm, x.options()));
  });
}

}  // namespace camtl
