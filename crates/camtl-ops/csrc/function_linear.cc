// Autograd function of a linear map. Both products are libtorch's; what it adds
// is that the weight's gradient goes straight into the flat buffer.
#include <ATen/autocast_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

#include "function.h"

namespace camtl {
namespace {

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const MaybeTensor& bias) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["bias"] = bias.has_value();
    return bias ? at::addmm(*bias, x, weight.t()) : at::mm(x, weight.t());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_single_backward();
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &dy = grads[0];
    Wanted wanted(ctx);
    at::Tensor dx, dweight, dbias;
    if (wanted.next()) dx = at::mm(dy, weight);
    if (wanted.next()) {
      const at::Tensor kept = gradient_view(weight);
      if (kept.defined()) {
        kept.addmm_(dy.t(), x);
      } else {
        dweight = at::mm(dy.t(), x);
      }
    }
    if (wanted.next(ctx->saved_data["bias"].toBool())) dbias = at::sum(dy, 0);
    return {dx, dweight, dbias};
  }
};

}  // namespace

int cpu::linear(at::Tensor** out, const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias,
                const at::Tensor* const* lowered) {
  return guarded([&] {
    TORCH_CHECK(lowered == nullptr, "the CPU's product takes no lowered weights");
    // Autocast chooses types per operation, also in the backward pass.
    *out = new at::Tensor(at::autocast::is_autocast_enabled(at::kCPU) ? at::linear(*x, *weight, maybe(bias))
                                                                      : Linear::apply(*x, *weight, maybe(bias)));
  });
}

}  // namespace camtl
